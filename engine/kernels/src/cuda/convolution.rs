//! Convolutions by cuDNN, channels last, with sums in f32 whatever the values are.
//!
//! cuDNN's own estimate chooses the algorithm, once per shape; a timed search could choose another from run to run, and
//! with it another picture. Handles belong to one thread each, as cuDNN asks, and so does the memory that algorithms work
//! in: it grows to the largest need and is used again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::cudnn::sys::{
    cudnnActivationMode_t, cudnnConvolutionFwdAlgo_t, cudnnConvolutionMode_t, cudnnMathType_t, cudnnNanPropagation_t,
    cudnnTensorFormat_t,
};
use candle_core::cuda_backend::cudarc::cudnn::{
    ConvBiasActivationForward, ConvDescriptor, ConvForward, Cudnn, CudnnDataType, CudnnError, FilterDescriptor,
    TensorDescriptor,
};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceSlice, SyncOnDrop,
};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, DType, Result, Storage, Tensor, WithDType};
use half::{bf16, f16};

use super::device::{self, pointer_mut, with_pointers};
use super::epilogue::finish;
use super::operations::spread::Spread;
use crate::conv2d::Geometry;
use crate::fused_ops::FusedOps;
use crate::packed_gemm::Activation;

/// See [`crate::Conv2d`]; `weight` (O, C, kh, kw) lies as (O, kh, kw, C), and no fewer zeros come after the image than
/// before. `None` where cuDNN has no such convolution channels last.
pub(super) fn conv2d(
    g: &Geometry,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    fused_ops: &FusedOps<'_>,
) -> Result<Option<Tensor>> {
    let Some(plan) = plan(g, x)? else { return Ok(None) };
    let spread = Spread { dtype: x.dtype(), geometry: g };
    let (height, width) = spread.size();
    let whole = if (height, width) == (g.height, g.width) {
        x.clone()
    } else {
        device::run(&spread, &[Some(x)], (g.batch, height, width, g.channels))?
    };
    let run = match x.dtype() {
        DType::F16 => typed::<f16>,
        DType::BF16 => typed::<bf16>,
        _ => typed::<f32>,
    };
    let with_residual = usize::from(fused_ops.residual.is_some());
    let fuses = plan.fuses[with_residual] && fused_ops.channel_bias.is_none();
    if let Some(bias) = bias.filter(|_| fuses && fused_ops.activation == Activation::None) {
        if let Some(y) = run(plan, g, &whole, weight, Some((bias, fused_ops.residual)))? {
            return Ok(Some(y));
        }
        with_state(x.device().as_cuda_device()?, |state| {
            let mut refused = plan;
            refused.fuses[with_residual] = false;
            state.plans.insert((*g, x.dtype()), Some(refused));
            Ok(())
        })?;
    }
    let y = run(plan, g, &whole, weight, None)?;
    y.map(|y| finish(&y, bias, fused_ops)).transpose()
}

/// How one shape is convolved.
#[derive(Clone, Copy, Debug)]
struct Plan {
    algorithm: cudnnConvolutionFwdAlgo_t,
    /// Bytes that the algorithm works in.
    workspace: usize,
    /// Whether cuDNN may add the bias itself, without a residual and with one; unset where it turns out not to. Each is a
    /// question of its own, so that a call is not answered by what another one met.
    fuses: [bool; 2],
}

/// The plan for images like `x`, chosen at the first one.
fn plan(g: &Geometry, x: &Tensor) -> Result<Option<Plan>> {
    with_state(x.device().as_cuda_device()?, |state| {
        let key = (*g, x.dtype());
        if let Some(plan) = state.plans.get(&key) {
            return Ok(*plan);
        }
        let plan = match x.dtype() {
            DType::F16 => choose::<f16>(&state.cudnn, g),
            DType::BF16 => choose::<bf16>(&state.cudnn, g),
            _ => choose::<f32>(&state.cudnn, g),
        };
        // What it refuses is an answer, not a fault; what is wrong with the device shows at the next call.
        let plan = plan.ok();
        state.plans.insert(key, plan);
        Ok(plan)
    })
}

thread_local! {
    static STATES: RefCell<HashMap<DeviceId, State>> = RefCell::default();
}

/// What a thread keeps for a device.
struct State {
    cudnn: Arc<Cudnn>,
    plans: HashMap<(Geometry, DType), Option<Plan>>,
    workspace: Option<CudaSlice<u8>>,
}

fn with_state<R>(device: &CudaDevice, f: impl FnOnce(&mut State) -> Result<R>) -> Result<R> {
    STATES.with(|states| {
        let mut states = states.borrow_mut();
        if let Some(state) = states.get_mut(&device.id()) {
            return f(state);
        }
        let cudnn = Cudnn::new(device.cuda_stream())?;
        f(states.entry(device.id()).or_insert(State { cudnn, plans: HashMap::new(), workspace: None }))
    })
}

/// What cuDNN is told about a convolution of values of type `T`.
struct Descriptors<T> {
    conv: ConvDescriptor<f32>,
    x: TensorDescriptor<T>,
    weight: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
}

impl<T: CudnnDataType> Descriptors<T> {
    fn new(cudnn: &Arc<Cudnn>, g: &Geometry) -> std::result::Result<Self, CudnnError> {
        let before = g.padding.0 as i32;
        let scale = if g.upsample { 2 } else { 1 };
        let side = |side: usize| (scale * side + g.padding.1 - g.padding.0) as i32;
        let stride = g.stride as i32;
        let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let mut conv = cudnn.create_conv2d::<f32>([before; 2], [stride; 2], [1; 2], mode)?;
        // Without this, f32 would be cut to TF32's ten bits.
        conv.set_math_type(if T::DATA_TYPE == f32::DATA_TYPE {
            cudnnMathType_t::CUDNN_FMA_MATH
        } else {
            cudnnMathType_t::CUDNN_TENSOR_OP_MATH
        })?;
        let format = cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let (batch, channels, out_channels) = (g.batch as i32, g.channels as i32, g.out_channels as i32);
        // Dimensions are named in the order N, C, H, W whatever the format.
        let image = [batch, channels, side(g.height), side(g.width)];
        let kernel = [out_channels, channels, g.kernel.0 as i32, g.kernel.1 as i32];
        let result = [batch, out_channels, g.out_height as i32, g.out_width as i32];
        Ok(Self {
            conv,
            x: cudnn.create_4d_tensor(format, image)?,
            weight: cudnn.create_4d_filter(format, kernel)?,
            y: cudnn.create_4d_tensor(format, result)?,
        })
    }

    fn forward(&self) -> ConvForward<'_, T, f32, T> {
        ConvForward { conv: &self.conv, x: &self.x, w: &self.weight, y: &self.y }
    }
}

fn choose<T: CudnnDataType>(cudnn: &Arc<Cudnn>, g: &Geometry) -> std::result::Result<Plan, CudnnError> {
    let descriptors = Descriptors::<T>::new(cudnn, g)?;
    let forward = descriptors.forward();
    let algorithm = forward.pick_algorithm()?;
    let workspace = forward.get_workspace_size(algorithm)?;
    // The only algorithm with which cuDNN adds a bias and no activation (cuDNN API, cudnnConvolutionBiasActivationForward).
    let fuses = algorithm == cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    Ok(Plan { algorithm, workspace, fuses: [fuses; 2] })
}

/// The convolution, with a bias and a residual in the same call where given: `None` where cuDNN does not do that.
fn typed<T: CudnnDataType + WithDType>(
    plan: Plan,
    g: &Geometry,
    x: &Tensor,
    weight: &Tensor,
    fused: Option<(&Tensor, Option<&Tensor>)>,
) -> Result<Option<Tensor>> {
    let device = x.device().as_cuda_device()?;
    let shape = g.out_shape();
    #[allow(unsafe_code)]
    // SAFETY: the convolution writes every value.
    let mut out = unsafe { device.alloc_uninit(&shape, x.dtype())? };
    let stream = device.cuda_stream();
    let rows = weight.permute((0, 2, 3, 1))?;
    let (bias, residual) = (fused.map(|(bias, _)| bias), fused.and_then(|(_, residual)| residual));
    let done = with_pointers(&[Some(x), Some(&rows), bias, residual], &stream, |pointers| {
        let (to, _written) = pointer_mut(&mut out, &stream)?;
        let raw = |pointer: u64, len: usize| Raw { pointer, len, stream: stream.clone() };
        let (source, filter) = (raw(pointers[0], x.elem_count()), raw(pointers[1], rows.elem_count()));
        let mut target = raw(to, shape.elem_count());
        with_state(device, |state| {
            let descriptors = Descriptors::<T>::new(&state.cudnn, g)?;
            let workspace = working_memory(&mut state.workspace, device, plan.workspace)?;
            if bias.is_none() {
                let scales = (T::from_f64(1.0), T::from_f64(0.0));
                #[allow(unsafe_code)]
                // SAFETY: pointers and descriptors are of the same shapes and types.
                unsafe {
                    descriptors.forward().launch(plan.algorithm, workspace, scales, &source, &filter, &mut target)?;
                }
                return Ok(true);
            }
            let format = cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
            let bias = state.cudnn.create_4d_tensor::<T>(format, [1, g.out_channels as i32, 1, 1])?;
            let act = state.cudnn.create_activation::<f32>(
                cudnnActivationMode_t::CUDNN_ACTIVATION_IDENTITY,
                cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN,
                0.0,
            )?;
            let Descriptors { conv, x, weight: w, y } = &descriptors;
            let operation = ConvBiasActivationForward { conv, act: &act, x, w, z: y, bias: &bias, y };
            // Without a residual, the result stands in for it, times 0, as PyTorch calls this.
            let (z, share) = if residual.is_some() { (pointers[3], 1.0) } else { (to, 0.0) };
            let (z, bias) = (raw(z, shape.elem_count()), raw(pointers[2], g.out_channels));
            let scales = (T::from_f64(1.0), T::from_f64(share));
            #[allow(unsafe_code)]
            // SAFETY: pointers and descriptors are of the same shapes and types; `z` may be the target.
            let result = unsafe {
                operation.launch(plan.algorithm, workspace, scales, &source, &filter, &z, &bias, &mut target)
            };
            Ok(result.is_ok())
        })
    })?;
    Ok(done.then(|| Tensor::from_storage(Storage::Cuda(out), shape, BackpropOp::none(), false)))
}

/// At least that many bytes, `None` for none.
fn working_memory<'a>(
    memory: &'a mut Option<CudaSlice<u8>>,
    device: &CudaDevice,
    bytes: usize,
) -> Result<Option<&'a mut CudaSlice<u8>>> {
    if bytes == 0 {
        return Ok(None);
    }
    if memory.as_ref().is_none_or(|memory| memory.len() < bytes) {
        // Given back first, so that the two need not fit together.
        *memory = None;
        #[allow(unsafe_code)]
        // SAFETY: cuDNN writes it before it reads it.
        let fresh = unsafe { device.alloc::<u8>(bytes)? };
        *memory = Some(fresh);
    }
    Ok(memory.as_mut())
}

/// Memory whose reads and writes someone else keeps in order.
struct Raw {
    pointer: u64,
    len: usize,
    stream: Arc<CudaStream>,
}

impl<T> DeviceSlice<T> for Raw {
    fn len(&self) -> usize {
        self.len
    }

    fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }
}

impl<T> DevicePtr<T> for Raw {
    fn device_ptr<'a>(&'a self, _: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.pointer, SyncOnDrop::Record(None))
    }
}

impl<T> DevicePtrMut<T> for Raw {
    fn device_ptr_mut<'a>(&'a mut self, _: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.pointer, SyncOnDrop::Record(None))
    }
}
