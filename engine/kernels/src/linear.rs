//! Linear layers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, DType, Layout, Result, Shape, Tensor, bail};

use crate::cpu_tensor::with_element;
use crate::element::Element;
use crate::fused_ops::FusedOps;
use crate::gemm::{Matrix, gemm};
use crate::packed_gemm::{
    Activation, Contiguous, Epilogue, Packed, RowsFor, Target, WeightFormat, multiply, with_rows_for,
};
use crate::replaceable::Replaceable;
use crate::weights::Weights;
use crate::{channel_bias, cpu_tensor, cuda, parallel, reference};

/// `y = x Wᵀ + b` with its weights.
#[derive(Clone, Debug)]
pub struct Linear {
    weights: Arc<Weights<Key, Packed>>,
    bias: Option<Replaceable>,
    /// (output, input)
    shape: (usize, usize),
}

/// What the packed weights depend on.
#[derive(Debug, PartialEq)]
struct Key {
    format: WeightFormat,
    gated: bool,
}

impl Linear {
    /// With weights (output, input) and bias (output).
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let shape = weight.dims2()?;
        if let Some(bias) = bias.as_ref().filter(|bias| bias.dims() != [shape.0]) {
            bail!("linear: a bias {:?} does not suit weights {:?}", bias.shape(), weight.shape());
        }
        Ok(Self { weights: Arc::new(Weights::new(weight)), bias: bias.map(Replaceable::new), shape })
    }

    /// Puts other weights in their place, as many as there were and of the same type; clones of this layer have them, too.
    pub fn set_weight(&self, weight: &Tensor) -> Result<()> {
        self.weights.set(weight.reshape(self.shape)?)
    }

    /// Its bias, which can be replaced, too.
    pub fn bias(&self) -> Option<&Replaceable> {
        self.bias.as_ref()
    }

    /// (output, input)
    pub fn weight_shape(&self) -> [usize; 2] {
        self.shape.into()
    }

    /// Values of a result.
    pub fn outputs(&self) -> usize {
        self.shape.0
    }

    /// (…, input) to (…, output), with `fused_ops` folded in. Gradients for the input, the weights and the bias if one of
    /// them is a variable or comes from one.
    pub fn forward(&self, x: &Tensor, fused_ops: FusedOps<'_>) -> Result<Tensor> {
        let (outputs, inputs) = self.shape;
        if x.dim(D::Minus1)? != inputs || fused_ops.channel_bias.is_some() {
            bail!("linear: weights ({outputs}, {inputs}) do not suit {:?}", x.shape());
        }
        let bias = self.bias.as_ref().map(Replaceable::get);
        let learns =
            cpu_tensor::in_graph(&[x]) || self.weights.in_graph() || fused_ops.residual.is_some_and(Tensor::track_op);
        match cpu_tensor::fast(&[x]) {
            Some(dtype) if !learns => {
                let packed = self.packed(x, fused_ops.activation == Activation::Geglu)?;
                with_element!(dtype, E => Self::infer::<E>(&packed, x, bias.as_ref(), &fused_ops))
            }
            _ => {
                let weight = self.weights.given()?;
                if !learns && cuda::fit(&[x, &weight]) {
                    return cuda::linear(x, &weight, bias.as_ref(), &fused_ops);
                }
                let learns_fast = cpu_tensor::fast(&[x, &weight]) == Some(DType::F32);
                let y = match &bias {
                    Some(bias) if learns_fast => {
                        x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Training)?
                    }
                    None if learns_fast => x.contiguous()?.apply_op2(&weight.contiguous()?, Training)?,
                    bias => reference::linear(x, &weight, bias.as_ref())?,
                };
                fused_ops.apply(&y)
            }
        }
    }

    fn packed(&self, x: &Tensor, gated: bool) -> Result<Arc<Packed>> {
        let (outputs, inputs) = self.shape;
        if gated && outputs % 2 == 1 {
            bail!("linear: {outputs} outputs do not divide into values and gates");
        }
        let format = if x.dtype() == DType::BF16 { WeightFormat::bf16() } else { WeightFormat::F32 };
        let columns = if gated { outputs / 2 } else { outputs };
        self.weights.form(Key { format, gated }, |read| Packed::new(format, (1, inputs, columns), gated, read))
    }

    fn infer<E: Element>(
        packed: &Packed,
        x: &Tensor,
        bias: Option<&Tensor>,
        fused_ops: &FusedOps<'_>,
    ) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = packed.columns;
        }
        let rows: usize = x.dims()[..x.rank() - 1].iter().product();
        fused_ops.check(&shape.as_slice().into())?;
        let bias = bias.map(|bias| bias.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose()?;
        let mut out = Vec::new();
        let target = Target::new(&mut out, rows * packed.columns);
        cpu_tensor::with_some::<E, _>(fused_ops.residual, |residual| {
            let epilogue = Epilogue {
                bias: bias.as_deref(),
                channel_bias: None,
                rows_per_sample: 1,
                residual,
                activation: fused_ops.activation,
                columns: packed.columns,
                out: target,
            };
            cpu_tensor::with::<E, _>(x, |x| {
                let depth = packed.depth;
                with_rows_for(packed, true, x, |values| match values {
                    RowsFor::Given(values) => multiply(packed, rows, &Contiguous { values, depth }, &epilogue),
                    RowsFor::Wide(values) => multiply(packed, rows, &Contiguous { values, depth }, &epilogue),
                    RowsFor::Even(values) => {
                        multiply(packed, rows, &Contiguous { values, depth: depth + 1 }, &epilogue);
                    }
                });
                Ok(())
            })
        })?;
        #[allow(unsafe_code)]
        // SAFETY: room for as many values was reserved, and every one of them was written.
        unsafe {
            out.set_len(rows * packed.columns);
        }
        Tensor::from_vec(out, shape, x.device())
    }
}

/// Rows that one task multiplies.
const BLOCK: usize = 256;

/// Outputs whose weights' gradients are one task's. Not a share of the threads: the order of a sum, and with it the last
/// bits, may depend on how many rows a product has.
const OUTPUTS: usize = 64;

/// `x` (…, input) with `weight` (output, input), and a bias (output) where there is one; f32 on the CPU, with gradients.
struct Training;

impl Training {
    fn forward(x: &[f32], (outputs, inputs): (usize, usize), weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let rows = x.len() / inputs;
        let mut out = vec![0.0f32; rows * outputs];
        let target = parallel::Shared::new(&mut out);
        parallel::for_each(rows.div_ceil(BLOCK), |block| {
            let (first, count) = (block * BLOCK, BLOCK.min(rows - block * BLOCK));
            #[allow(unsafe_code)]
            // SAFETY: every block of rows belongs to one task.
            let out = unsafe { target.slice(first * outputs, count * outputs) };
            if let Some(bias) = bias {
                out.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
            }
            let (x, w) = (Matrix::rows(&x[first * inputs..], inputs), Matrix::rows(weight, inputs).transposed());
            gemm((count, outputs, inputs), out, outputs, bias.is_some(), 1.0, x, w);
        });
        out
    }

    fn gradients(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = weight.dims2()?;
        cpu_tensor::with::<f32, _>(grad, |dy| {
            let rows = dy.len() / outputs;
            let dx = if x.track_op() {
                let mut dx = vec![0.0f32; rows * inputs];
                let target = parallel::Shared::new(&mut dx);
                cpu_tensor::with::<f32, _>(weight, |weight| {
                    parallel::for_each(rows.div_ceil(BLOCK), |block| {
                        let (first, count) = (block * BLOCK, BLOCK.min(rows - block * BLOCK));
                        #[allow(unsafe_code)]
                        // SAFETY: every block of rows belongs to one task.
                        let dx = unsafe { target.slice(first * inputs, count * inputs) };
                        let (dy, w) = (Matrix::rows(&dy[first * outputs..], outputs), Matrix::rows(weight, inputs));
                        gemm((count, inputs, outputs), dx, inputs, false, 1.0, dy, w);
                    });
                    Ok(())
                })?;
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let mut dw = vec![0.0f32; outputs * inputs];
                let target = parallel::Shared::new(&mut dw);
                cpu_tensor::with::<f32, _>(x, |x| {
                    parallel::for_each(outputs.div_ceil(OUTPUTS), |block| {
                        let (first, count) = (block * OUTPUTS, OUTPUTS.min(outputs - block * OUTPUTS));
                        #[allow(unsafe_code)]
                        // SAFETY: every block of outputs belongs to one task.
                        let dw = unsafe { target.slice(first * inputs, count * inputs) };
                        let dy = Matrix::rows(&dy[first..], outputs).transposed();
                        gemm((count, inputs, rows), dw, inputs, false, 1.0, dy, Matrix::rows(x, inputs));
                    });
                    Ok(())
                })?;
                Some(Tensor::from_vec(dw, weight.shape(), weight.device())?)
            } else {
                None
            };
            Ok((dx, dw))
        })
    }

    fn out_shape(x: &Shape, weight: &Shape) -> Result<((usize, usize), Shape)> {
        let (outputs, inputs) = weight.dims2()?;
        let mut dims = x.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == inputs && inputs > 0 => *last = outputs,
            _ => bail!("linear: weights {weight:?} do not suit {x:?}"),
        }
        Ok(((outputs, inputs), dims.into()))
    }
}

impl CustomOp2 for Training {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (sizes, shape) = Self::out_shape(lx.shape(), lw.shape())?;
        let (x, w) = (cpu_tensor::values(x.as_slice::<f32>()?, lx)?, cpu_tensor::values(w.as_slice::<f32>()?, lw)?);
        Ok((CpuStorage::F32(Self::forward(x, sizes, w, None)), shape))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Self::gradients(x, w, grad)
    }
}

impl CustomOp3 for Training {
    fn name(&self) -> &'static str {
        "linear-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (sizes, shape) = Self::out_shape(lx.shape(), lw.shape())?;
        let (x, w) = (cpu_tensor::values(x.as_slice::<f32>()?, lx)?, cpu_tensor::values(w.as_slice::<f32>()?, lw)?);
        let bias = cpu_tensor::values(bias.as_slice::<f32>()?, lb)?;
        if bias.len() != sizes.0 {
            bail!("linear: {} biases for {} outputs", bias.len(), sizes.0);
        }
        Ok((CpuStorage::F32(Self::forward(x, sizes, w, Some(bias))), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = Self::gradients(x, w, grad)?;
        Ok((dx, dw, Some(channel_bias::sum_rows(grad, bias)?)))
    }
}
