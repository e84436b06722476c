//! 2-D convolution, in one of two ways: as one product over the pixels (`direct`, or `few` where there are hardly any
//! results), or with fewer multiplications on transformed tiles (`winograd`). Images are (B, H, W, C).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::element::Element;
use crate::host::with_element;
use crate::product::{Activation, Epilogue, Kind, Packed, ReadRow, RowsFor, Target, with_rows_for};
use crate::weights::{self, Weights};
use crate::{Extras, cuda, host, reference, shift};

mod backward;
mod direct;
mod few;
mod geometry;
mod winograd;

pub(crate) use geometry::Geometry;
use winograd::Tile;

/// A convolution with its weights: cross-correlation, as everywhere in this field, with dilation and groups of one.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weights: Arc<Weights<Algorithm, Form>>,
    bias: Option<Tensor>,
    /// (O, C, kh, kw)
    shape: (usize, usize, usize, usize),
    stride: usize,
    padding: (usize, usize),
    upsample: bool,
    method: Option<Method>,
}

/// How a convolution without a graph is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As one product.
    Direct,
    /// On tiles of 2 × 2 results.
    WinogradF2,
    /// On tiles of 4 × 4 results.
    WinogradF4,
}

/// How weights are laid out and multiplied: a [`Method`] in one arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Direct(Kind),
    Few(Kind),
    Winograd(Tile, Kind),
}

/// Weights laid out for an [`Algorithm`].
#[derive(Debug)]
enum Form {
    Direct(Packed),
    Few(few::Few),
    Winograd(Tile, Packed),
}

impl weights::Form for Form {
    fn as_packed(&self) -> Option<&Packed> {
        match self {
            Self::Direct(packed) => Some(packed),
            Self::Few(_) | Self::Winograd(..) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Direct(packed) | Self::Winograd(_, packed) => packed.bytes(),
            Self::Few(few) => few.bytes(),
        }
    }
}

impl Conv2d {
    /// With weights (O, C, kh, kw) and bias (O); "same" padding, stride 1.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let shape = weight.dims4()?;
        let padding = (shape.2 / 2, shape.2 / 2);
        let weights = Arc::new(Weights::new(weight));
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

    /// (B, H, W, C) to (B, H', W', O), with `extras` folded in. Gradients for the image, the weights and the bias where
    /// one of them is a variable or comes from one.
    pub fn forward(&self, x: &Tensor, extras: Extras<'_>) -> Result<Tensor> {
        let geometry = self.geometry(x)?;
        let learns = host::in_graph(&[x])
            || self.weights.in_graph()
            || extras.residual.is_some_and(Tensor::track_op)
            || extras.shift.is_some_and(Tensor::track_op);
        match host::fast(&[x]) {
            Some(dtype) if !learns => {
                let algorithm = Algorithm::new(&geometry, self.method(x)?, dtype == DType::BF16);
                let form = self.weights.form(algorithm, |read| Form::pack(algorithm, &geometry, read))?;
                let y = with_element!(dtype, E => infer::<E>(&geometry, &form, x, self.bias.as_ref(), &extras)?);
                Ok(y)
            }
            fast => {
                let weight = self.weights.given()?;
                if !learns && cuda::fit(&[x, &weight]) {
                    let weight = cuda::rows_of_channels(&weight)?;
                    self.weights.replace(weight.clone());
                    return cuda::conv2d(&geometry, x, &weight, self.bias.as_ref(), &extras);
                }
                let y = if fast == Some(DType::F32) && weight.dtype() == DType::F32 && weight.device().is_cpu() {
                    let op = Training { stride: self.stride, padding: self.padding, upsample: self.upsample };
                    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
                    match &self.bias {
                        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op)?,
                        None => x.apply_op2(&weight, op)?,
                    }
                } else {
                    let y = reference::conv2d(x, &weight, self.stride, self.padding, self.upsample)?;
                    match &self.bias {
                        Some(bias) => y.broadcast_add(bias)?,
                        None => y,
                    }
                };
                extras.apply(&y)
            }
        }
    }

    /// How an image of this shape and type is convolved where no gradient is asked for: it depends on nothing else, so that
    /// the same image gives the same numbers whatever came before it.
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

    fn geometry(&self, x: &Tensor) -> Result<Geometry> {
        Geometry::new(x.shape(), self.shape, self.stride, self.padding, self.upsample)
    }
}

impl Algorithm {
    fn new(g: &Geometry, method: Method, bf16: bool) -> Self {
        let tiles = |tile: Tile| {
            let kind = match tile {
                _ if !bf16 => Kind::F32,
                // Rounding transformed tiles costs 0.4 % of the results' root mean square, and would cost 1.1 % with the
                // larger tile; rounding results costs 0.1 %.
                Tile::Two if Kind::bf16() == Kind::Bf16Pairs && g.channels.is_multiple_of(2) => Kind::Bf16Pairs,
                // f16 keeps transformed weights closer than bf16 keeps plain ones, in half the memory of f32.
                _ => Kind::F16Weights,
            };
            Self::Winograd(tile, kind)
        };
        match method {
            Method::WinogradF2 => tiles(Tile::Two),
            Method::WinogradF4 => tiles(Tile::Four),
            Method::Direct => {
                let kind = if bf16 { Kind::bf16() } else { Kind::F32 };
                if few::fits(g, kind) { Self::Few(kind) } else { Self::Direct(kind) }
            }
        }
    }
}

impl Form {
    fn pack(algorithm: Algorithm, g: &Geometry, read: ReadRow<'_>) -> Self {
        match algorithm {
            Algorithm::Winograd(tile, kind) => {
                Self::Winograd(tile, winograd::pack(tile, kind, (g.out_channels, g.channels), read))
            }
            Algorithm::Few(kind) => Self::Few(few::pack(g, kind, read)),
            Algorithm::Direct(kind) => {
                let (kh, kw) = g.kernel;
                Self::Direct(direct::pack(kind, (g.out_channels, g.channels, kh, kw), read))
            }
        }
    }
}

/// Whether tiles pay, and of which size. Measured (`cargo bench -p instaflow-kernels`): the transforms want channels to
/// spread over, and the transformed weights, up to four times as many, want tiles to be read for. 16-bit weights are asked
/// for to save memory: large ones grow only where it pays most.
fn best_method(g: &Geometry, bf16: bool) -> Method {
    let tiles = |side: usize| g.batch * g.out_height.div_ceil(side) * g.out_width.div_ceil(side);
    let weights = g.channels * g.out_channels;
    if g.kernel != (3, 3) || g.stride != 1 || g.channels < 16 || g.out_channels < 16 {
        Method::Direct
    } else if bf16 && weights > SMALL && tiles(4) < 1024 && Kind::bf16() == Kind::Bf16Pairs {
        // Pairs are the fastest on tiles of 2 × 2. Larger maps, those of decoders, whose errors are seen in the picture,
        // take the closer way below, which costs a tenth there.
        if tiles(2) >= 64 { Method::WinogradF2 } else { Method::Direct }
    } else if tiles(4) >= if bf16 && weights > SMALL { 256 } else { 64 } {
        Method::WinogradF4
    } else if tiles(2) >= if bf16 { 256 } else { 64 } || tiles(2) >= 16 && weights <= SMALL {
        Method::WinogradF2
    } else {
        Method::Direct
    }
}

/// Weights of one tap that stay in the cache, transformed.
const SMALL: usize = 128 * 128;

/// Without a graph: everything folded into one pass.
fn infer<E: Element>(
    g: &Geometry,
    form: &Form,
    x: &Tensor,
    bias: Option<&Tensor>,
    extras: &Extras<'_>,
) -> Result<Tensor> {
    let bias = bias.map(|bias| bias.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose()?;
    let shape = g.out_shape();
    extras.check(&shape)?;
    let mut out = Vec::new();
    let target = Target::new(&mut out, shape.elem_count());
    host::with_some::<E, _>(extras.shift, |shift| {
        host::with_some::<E, _>(extras.residual, |residual| {
            let epilogue = Epilogue {
                bias: bias.as_deref(),
                shift,
                rows_per_sample: g.out_height * g.out_width,
                residual,
                activation: extras.activation,
                columns: g.out_channels,
                out: target,
            };
            host::with::<E, _>(x, |x| {
                run(g, form, x, &epilogue);
                Ok(())
            })
        })
    })?;
    #[allow(unsafe_code)]
    // SAFETY: every value was written, once.
    unsafe {
        out.set_len(shape.elem_count());
    }
    Tensor::from_vec(out, shape, x.device())
}

fn run<E: Element>(g: &Geometry, form: &Form, x: &[E], epilogue: &Epilogue<'_, E>) {
    match form {
        Form::Few(weights) => few::forward(g, weights, x, epilogue),
        Form::Winograd(tile, weights) => winograd::forward(*tile, g, weights, x, epilogue),
        Form::Direct(weights) => with_rows_for(weights, g.is_pointwise(), x, |rows| match rows {
            RowsFor::Given(x) => direct::forward(g, weights, x, epilogue),
            RowsFor::Wide(x) => direct::forward(g, weights, x, epilogue),
            RowsFor::Even(x) => {
                direct::forward(&Geometry { channels: g.channels + 1, ..*g }, weights, x, epilogue);
            }
        }),
    }
}

/// `x` (B, H, W, C) with `weight` (O, C, kh, kw), f32 on the CPU, with gradients for both.
struct Training {
    stride: usize,
    padding: (usize, usize),
    upsample: bool,
}

impl Training {
    fn geometry(&self, x: &Shape, weight: &Shape) -> Result<Geometry> {
        Geometry::new(x, weight.dims4()?, self.stride, self.padding, self.upsample)
    }

    fn gradients(&self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = self.geometry(x.shape(), w.shape())?;
        host::with::<f32, _>(grad, |dy| {
            let dx = if x.track_op() {
                let dx = host::with::<f32, _>(w, |w| Ok(backward::image(&g, w, dy)))?;
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            } else {
                None
            };
            let dw = if w.track_op() {
                let dw = host::with::<f32, _>(x, |x| Ok(backward::weight(&g, x, dy)))?;
                Some(Tensor::from_vec(dw, w.shape(), w.device())?)
            } else {
                None
            };
            Ok((dx, dw))
        })
    }
}

impl CustomOp2 for Training {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(lx.shape(), lw.shape())?;
        let (x, w) = (host::values(x.as_slice::<f32>()?, lx)?, host::values(w.as_slice::<f32>()?, lw)?);
        Ok((CpuStorage::F32(forward(&g, x, w, None)), g.out_shape()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, grad)
    }
}

impl CustomOp3 for Training {
    fn name(&self) -> &'static str {
        "conv2d-bias"
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
        let g = self.geometry(lx.shape(), lw.shape())?;
        let (x, w) = (host::values(x.as_slice::<f32>()?, lx)?, host::values(w.as_slice::<f32>()?, lw)?);
        let bias = host::values(bias.as_slice::<f32>()?, lb)?;
        if bias.len() != g.out_channels {
            bail!("conv2d: {} biases for {} output channels", bias.len(), g.out_channels);
        }
        Ok((CpuStorage::F32(forward(&g, x, w, Some(bias))), g.out_shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, w, grad)?;
        Ok((dx, dw, Some(shift::sum_rows(grad, bias)?)))
    }
}

/// The plain convolution of slices, weights (O, C, kh, kw) packed on the way.
fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let algorithm = Algorithm::new(g, best_method(g, false), false);
    let form = Form::pack(algorithm, g, &|row, to| to.copy_from_slice(&weight[row * to.len()..][..to.len()]));
    let len = g.out_shape().elem_count();
    let mut out = Vec::new();
    let epilogue = Epilogue {
        bias,
        shift: None,
        rows_per_sample: 1,
        residual: None,
        activation: Activation::None,
        columns: g.out_channels,
        out: Target::new(&mut out, len),
    };
    run(g, &form, x, &epilogue);
    #[allow(unsafe_code)]
    // SAFETY: every value was written, once.
    unsafe {
        out.set_len(len);
    }
    out
}
