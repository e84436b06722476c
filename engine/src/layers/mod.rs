//! The layers that all networks here are made of, on top of the operations of `instaflow-kernels`. Parameters that are
//! created for training start as PyTorch's do.

mod registry;
pub(crate) use registry::{Registry, collect};

mod resnet;
pub(crate) use resnet::Resnet;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, TensorId};
use candle_nn::{Init, VarBuilder};
use instaflow_kernels::{self as kernels, FusedOps, Replaceable};

use registry::Slot;

/// Most levels of a network that halves its feature maps from level to level.
const MOST_LEVELS: usize = 16;

/// The largest value of any other number in a config: far above any network of this kind, and small enough that no
/// product of such numbers overflows.
const MOST: usize = 1 << 20;

/// Checks a config's number of levels and its other sizes, given by name. The error is one sentence.
pub(crate) fn check_sizes(
    levels: usize,
    sizes: impl IntoIterator<Item = (&'static str, usize)>,
) -> std::result::Result<(), String> {
    if !(1..=MOST_LEVELS).contains(&levels) {
        return Err(format!("the network has {levels} levels, but must have 1 to {MOST_LEVELS}"));
    }
    match sizes.into_iter().find(|(_, size)| !(1..=MOST).contains(size)) {
        Some((name, size)) => Err(format!("{name} holds {size}, but 1 to {MOST} is expected")),
        None => Ok(()),
    }
}

/// Uniform in ±1/√fan-in: PyTorch's start for convolutions and linear layers.
fn fan_in_init(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A 2-D convolution of images (B, H, W, C).
#[derive(Clone, Debug)]
pub struct Conv2d(kernels::Conv2d);

impl Conv2d {
    /// `weight` (output, input, kernel, kernel) and `bias` (output) under `vb`; "same" padding, stride 1.
    pub fn new(vb: &VarBuilder, input: usize, output: usize, kernel: usize) -> Result<Self> {
        Self::build(vb, input, output, kernel, true)
    }

    /// Without a bias.
    pub fn without_bias(vb: &VarBuilder, input: usize, output: usize, kernel: usize) -> Result<Self> {
        Self::build(vb, input, output, kernel, false)
    }

    fn build(vb: &VarBuilder, input: usize, output: usize, kernel: usize, bias: bool) -> Result<Self> {
        let init = fan_in_init(input * kernel * kernel);
        let weight = vb.get_with_hints((output, input, kernel, kernel), "weight", init)?;
        let bias = if bias { Some(vb.get_with_hints(output, "bias", init)?) } else { None };
        let layer = kernels::Conv2d::new(weight, bias)?;
        registry::enter(vb, Slot::Conv2d(layer.clone()), layer.bias());
        Ok(Self(layer))
    }

    /// The same layer with stride 2 and this many zeros before the first and after the last row and column.
    #[must_use]
    pub fn strided(self, padding: (usize, usize)) -> Self {
        Self(self.0.strided(2, padding))
    }

    /// The same layer after nearest-neighbour upsampling by two.
    #[must_use]
    pub fn upsampled(self) -> Self {
        Self(self.0.upsampled())
    }

    /// About how many bytes of packed weights an image (B, H, W) of this type adds to those at hand.
    pub fn bytes_to_pack(&self, image: (usize, usize, usize), dtype: DType) -> Result<usize> {
        self.0.bytes_to_pack(image, dtype)
    }

    /// (B, H, W, input) to (B, H', W', output).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x, FusedOps::default())
    }

    /// [`Self::forward`] with more work in the same pass.
    pub fn forward_with(&self, x: &Tensor, fused_ops: FusedOps<'_>) -> Result<Tensor> {
        self.0.forward(x, fused_ops)
    }
}

/// Group normalisation, alone or followed by SiLU.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Replaceable,
    bias: Replaceable,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// `weight` and `bias` (channels) under `vb`.
    pub fn new(vb: &VarBuilder, groups: usize, channels: usize, eps: f64) -> Result<Self> {
        let (weight, bias) = affine(vb, channels)?;
        Ok(Self { weight, bias, groups, eps })
    }

    /// (B, H, W, C), normalised.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        kernels::group_norm(x, &self.weight.get(), &self.bias.get(), self.groups, self.eps, false)
    }

    /// (B, H, W, C), normalised, then SiLU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        kernels::group_norm(x, &self.weight.get(), &self.bias.get(), self.groups, self.eps, true)
    }
}

/// Layer normalisation over the last dimension.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Replaceable,
    bias: Replaceable,
    eps: f64,
}

impl LayerNorm {
    /// `weight` and `bias` (size) under `vb`.
    pub fn new(vb: &VarBuilder, size: usize, eps: f64) -> Result<Self> {
        let (weight, bias) = affine(vb, size)?;
        Ok(Self { weight, bias, eps })
    }

    /// (…, size), normalised.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        kernels::layer_norm(x, &self.weight.get(), &self.bias.get(), self.eps)
    }
}

/// A norm's `weight` and `bias`, as many as it has channels.
fn affine(vb: &VarBuilder, channels: usize) -> Result<(Replaceable, Replaceable)> {
    let weight = Replaceable::new(vb.get_with_hints(channels, "weight", Init::Const(1.0))?);
    let bias = Replaceable::new(vb.get_with_hints(channels, "bias", Init::Const(0.0))?);
    registry::enter(vb, Slot::Plain(weight.clone()), Some(&bias));
    Ok((weight, bias))
}

/// `y = x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear(kernels::Linear);

impl Linear {
    /// `weight` (output, input) and `bias` (output) under `vb`.
    pub fn new(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        let init = fan_in_init(input);
        let weight = vb.get_with_hints((output, input), "weight", init)?;
        Self::entered(vb, weight, Some(vb.get_with_hints(output, "bias", init)?))
    }

    /// Without a bias.
    pub fn without_bias(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        Self::entered(vb, vb.get_with_hints((output, input), "weight", fan_in_init(input))?, None)
    }

    /// Like [`Self::new`], for a weight that is stored as a 1×1 convolution.
    pub fn pointwise(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        let init = fan_in_init(input);
        // Squeezed, not reshaped: a squeeze is a view whatever the strides, so the dry run spends no memory here.
        let weight = vb.get_with_hints((output, input, 1, 1), "weight", init)?.squeeze(3)?.squeeze(2)?;
        Self::entered(vb, weight, Some(vb.get_with_hints(output, "bias", init)?))
    }

    fn entered(vb: &VarBuilder, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let layer = kernels::Linear::new(weight, bias)?;
        registry::enter(vb, Slot::Linear(layer.clone()), layer.bias());
        Ok(Self(layer))
    }

    /// (…, input) to (…, output).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x, FusedOps::default())
    }

    /// [`Self::forward`] with more work in the same pass.
    pub fn forward_with(&self, x: &Tensor, fused_ops: FusedOps<'_>) -> Result<Tensor> {
        self.0.forward(x, fused_ops)
    }
}

/// The four projections of an attention layer.
#[derive(Clone, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    /// Keys and values of the last context. They stay the same for all steps of a run.
    last: Arc<Mutex<Option<Projected>>>,
}

#[derive(Clone, Debug)]
struct Projected {
    context: TensorId,
    key: Tensor,
    value: Tensor,
}

impl Attention {
    /// From its projections. `heads` must divide their width.
    pub fn new(query: Linear, key: Linear, value: Linear, out: Linear, heads: usize) -> Result<Self> {
        let width = query.0.outputs();
        if heads == 0 || !width.is_multiple_of(heads) {
            candle_core::bail!("attention: {width} channels do not divide into {heads} heads");
        }
        let last = Arc::default();
        registry::enter_projected(&last);
        Ok(Self { query, key, value, out, heads, last })
    }

    /// Self-attention over `x` (B, N, C), plus `residual`; (B, N, C). With `causal`, no token sees those after it.
    pub fn self_attend(&self, x: &Tensor, residual: Option<&Tensor>, causal: bool) -> Result<Tensor> {
        let (key, value) = (self.key.forward(x)?, self.value.forward(x)?);
        self.attend(x, &key, &value, residual, causal)
    }

    /// Cross-attention of `x` (B, N, C) to `context` (B, M, D), plus `residual`; (B, N, C).
    pub fn cross_attend(&self, x: &Tensor, context: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let projected = self.project(context)?;
        self.attend(x, &projected.key, &projected.value, residual, false)
    }

    fn project(&self, context: &Tensor) -> Result<Projected> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(projected) = last.as_ref().filter(|projected| projected.context == context.id()) {
            return Ok(projected.clone());
        }
        let (key, value) = (self.key.forward(context)?, self.value.forward(context)?);
        let projected = Projected { context: context.id(), key, value };
        // Tensors with a gradient belong to one training step and are not kept.
        let learns = projected.key.track_op() || projected.value.track_op();
        *last = (!learns).then(|| projected.clone());
        Ok(projected)
    }

    fn attend(
        &self,
        x: &Tensor,
        key: &Tensor,
        value: &Tensor,
        residual: Option<&Tensor>,
        causal: bool,
    ) -> Result<Tensor> {
        let query = self.query.forward(x)?;
        let scale = 1.0 / ((query.dim(2)? / self.heads) as f64).sqrt();
        let y = kernels::attention(&query, key, value, self.heads, scale, causal)?;
        self.out.forward_with(&y, FusedOps { residual, ..FusedOps::default() })
    }
}

/// (B, C, H, W), the usual layout of images, to (B, H, W, C).
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// (B, H, W, C) to (B, C, H, W).
pub(crate) fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}
