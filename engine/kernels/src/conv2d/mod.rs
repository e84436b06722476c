//! 2-D convolution: as one product over the pixels (`direct`; `narrow_output` for a few output channels), or with fewer
//! multiplications on transformed tiles (`winograd`). `algorithm` chooses for each image. Images are (B, H, W, C).

use std::sync::Arc;

use candle_core::{DType, Result, Tensor, bail};

use crate::cpu_tensor::with_element;
use crate::element::Element;
use crate::fused_ops::FusedOps;
use crate::packed_gemm::{Epilogue, Target};
use crate::replaceable::Replaceable;
use crate::weights::Weights;
use crate::{cpu_tensor, cuda, reference};

mod geometry;

mod algorithm;
mod direct;
mod narrow_output;
mod winograd;

mod backward;
mod outer_product;
mod training;

pub use algorithm::Method;
use algorithm::{Algorithm, Form, best_method, run};
pub(crate) use geometry::Geometry;
use training::Training;

/// A convolution with its weights: cross-correlation, as everywhere in this field, with dilation and groups of one.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weights: Arc<Weights<Algorithm, Form>>,
    bias: Option<Replaceable>,
    /// (O, C, kh, kw)
    shape: (usize, usize, usize, usize),
    stride: usize,
    padding: (usize, usize),
    upsample: bool,
    method: Option<Method>,
}

impl Conv2d {
    /// With weights (O, C, kh, kw) and bias (O); "same" padding, stride 1.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let shape = weight.dims4()?;
        if let Some(bias) = bias.as_ref().filter(|bias| bias.dims() != [shape.0]) {
            bail!("conv2d: a bias {:?} does not suit weights {:?}", bias.shape(), weight.shape());
        }
        let padding = (shape.2 / 2, shape.2 / 2);
        let (weights, bias) = (Arc::new(Weights::new(weight)), bias.map(Replaceable::new));
        Ok(Self { weights, bias, shape, stride: 1, padding, upsample: false, method: None })
    }

    /// The same layer with that stride, and that many zeros before the first and after the last row and column.
    #[must_use]
    pub fn strided(self, stride: usize, padding: (usize, usize)) -> Self {
        Self { stride, padding, ..self }
    }

    /// The same layer after nearest-neighbour upsampling by two.
    #[must_use]
    pub fn upsampled(self) -> Self {
        Self { upsample: true, ..self }
    }

    /// The same layer by this method instead of the one that suits an image best. Only a 3×3 kernel with stride 1
    /// has tiles.
    #[must_use]
    pub fn by(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// (B, H, W, C) to (B, H', W', O), with `fused_ops` folded in. Gradients for the image, the weights and the bias where
    /// one of them is a variable or comes from one.
    pub fn forward(&self, x: &Tensor, fused_ops: FusedOps<'_>) -> Result<Tensor> {
        let geometry = self.geometry(x)?;
        let bias = self.bias.as_ref().map(Replaceable::get);
        let learns = cpu_tensor::in_graph(&[x])
            || self.weights.in_graph()
            || fused_ops.residual.is_some_and(Tensor::track_op)
            || fused_ops.channel_bias.is_some_and(Tensor::track_op);
        match cpu_tensor::fast(&[x]) {
            Some(dtype) if !learns => {
                let algorithm = Algorithm::new(&geometry, self.method(x)?, dtype == DType::BF16);
                let form = self.weights.form(algorithm, |read| Form::pack(algorithm, &geometry, read))?;
                let y = with_element!(dtype, E => infer::<E>(&geometry, &form, x, bias.as_ref(), &fused_ops)?);
                Ok(y)
            }
            fast => {
                let weight = self.weights.given()?;
                if !learns && cuda::fit(&[x, &weight]) {
                    let weight = cuda::rows_of_channels(&weight)?;
                    self.weights.replace(weight.clone());
                    return cuda::conv2d(&geometry, x, &weight, bias.as_ref(), &fused_ops);
                }
                let y = if fast == Some(DType::F32) && weight.dtype() == DType::F32 && weight.device().is_cpu() {
                    let op = Training { stride: self.stride, padding: self.padding, upsample: self.upsample };
                    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
                    match &bias {
                        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op)?,
                        None => x.apply_op2(&weight, op)?,
                    }
                } else {
                    let y = reference::conv2d(x, &weight, self.stride, self.padding, self.upsample)?;
                    match &bias {
                        Some(bias) => y.broadcast_add(bias)?,
                        None => y,
                    }
                };
                fused_ops.apply(&y)
            }
        }
    }

    /// Puts other weights in their place, as many as there were and of the same type; clones of this layer have them, too.
    pub fn set_weight(&self, weight: &Tensor) -> Result<()> {
        self.weights.set(weight.reshape(self.shape)?)
    }

    /// (O, C, kh, kw)
    pub fn weight_shape(&self) -> [usize; 4] {
        self.shape.into()
    }

    /// Its bias, which can be replaced, too.
    pub fn bias(&self) -> Option<&Replaceable> {
        self.bias.as_ref()
    }

    /// How an image of this shape and type is convolved if no gradient is asked for. It depends on nothing else, so the same
    /// image gives the same numbers whatever came before it.
    pub fn method(&self, x: &Tensor) -> Result<Method> {
        let g = self.geometry(x)?;
        let method = self.method.unwrap_or_else(|| best_method(&g, x.dtype() == DType::BF16));
        if method != Method::Direct && (g.kernel != (3, 3) || g.stride != 1) {
            bail!("conv2d: only a 3×3 kernel with stride 1 has tiles");
        }
        Ok(method)
    }

    /// Bytes that its weights take now: as they were given, and packed in every form that is in use.
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// About how many bytes an image (B, H, W) of this type adds to [`Self::bytes`]: those of the packed form that it needs,
    /// unless that is at hand or takes the place of the weights as they were given.
    pub fn bytes_to_pack(&self, (batch, height, width): (usize, usize, usize), dtype: DType) -> Result<usize> {
        let image = (batch, height, width, self.shape.1).into();
        let g = Geometry::new(&image, self.shape, self.stride, self.padding, self.upsample)?;
        let bf16 = dtype == DType::BF16;
        let algorithm = Algorithm::new(&g, self.method.unwrap_or_else(|| best_method(&g, bf16)), bf16);
        let (format, bytes) = algorithm.packed(&g);
        let stands_alone = matches!(algorithm, Algorithm::Direct(_)) && self.weights.gives_way_to(format);
        Ok(if stands_alone || self.weights.has(&algorithm) { 0 } else { bytes })
    }

    fn geometry(&self, x: &Tensor) -> Result<Geometry> {
        Geometry::new(x.shape(), self.shape, self.stride, self.padding, self.upsample)
    }
}

/// Without a graph: everything folded into one pass.
fn infer<E: Element>(
    g: &Geometry,
    form: &Form,
    x: &Tensor,
    bias: Option<&Tensor>,
    fused_ops: &FusedOps<'_>,
) -> Result<Tensor> {
    let bias = bias.map(|bias| bias.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose()?;
    let shape = g.out_shape();
    fused_ops.check(&shape)?;
    let mut out = Vec::new();
    let target = Target::new(&mut out, shape.elem_count());
    cpu_tensor::with_some::<E, _>(fused_ops.channel_bias, |channel_bias| {
        cpu_tensor::with_some::<E, _>(fused_ops.residual, |residual| {
            let epilogue = Epilogue {
                bias: bias.as_deref(),
                channel_bias,
                rows_per_sample: g.out_height * g.out_width,
                residual,
                activation: fused_ops.activation,
                columns: g.out_channels,
                out: target,
            };
            cpu_tensor::with::<E, _>(x, |x| {
                run(g, form, x, &epilogue);
                Ok(())
            })
        })
    })?;
    #[allow(unsafe_code)]
    // SAFETY: room for as many values was reserved, and `run` wrote every one of them.
    unsafe {
        out.set_len(shape.elem_count());
    }
    Tensor::from_vec(out, shape, x.device())
}
