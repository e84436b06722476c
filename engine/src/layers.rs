//! The layers that all networks here are made of, on the operations of `instaflow-kernels`. Fresh parameters (for
//! training) start as PyTorch's do.

use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use instaflow_kernels as kernels;

/// Most levels of a network that halves its feature maps between them.
const MOST_LEVELS: usize = 16;

/// Most that a config may ask for of anything else: far above any network of this kind, and small enough that no
/// product of such numbers overflows.
const MOST: usize = 1 << 20;

/// Holds a config's `levels`, and its other sizes by name, to what a network can have; else one sentence.
pub(crate) fn check_sizes(
    levels: usize,
    sizes: impl IntoIterator<Item = (&'static str, usize)>,
) -> std::result::Result<(), String> {
    if !(1..=MOST_LEVELS).contains(&levels) {
        return Err(format!("the network has {levels} levels, where 1 to {MOST_LEVELS} are expected"));
    }
    match sizes.into_iter().find(|(_, size)| !(1..=MOST).contains(size)) {
        Some((name, size)) => Err(format!("{name} holds {size}, where 1 to {MOST} is expected")),
        None => Ok(()),
    }
}

/// Uniform in ±1/√fan-in: PyTorch's start for convolutions and linear layers.
fn fan_in_init(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A 2-D convolution.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: usize,
    padding: usize,
}

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
        Ok(Self { weight, bias, stride: 1, padding: kernel / 2 })
    }

    /// The same layer with stride 2 and the given padding.
    pub fn strided(self, padding: usize) -> Self {
        Self { stride: 2, padding, ..self }
    }

    /// (B, input, H, W) to (B, output, H', W').
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        kernels::conv2d(x, &self.weight, self.bias.as_ref(), self.stride, self.padding)
    }
}

/// Group normalisation, alone or followed by SiLU.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// `weight` and `bias` (channels) under `vb`.
    pub fn new(vb: &VarBuilder, groups: usize, channels: usize, eps: f64) -> Result<Self> {
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(channels, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, groups, eps })
    }

    /// (B, C, H, W), normalised.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        kernels::group_norm(x, &self.weight, &self.bias, self.groups, self.eps, false)
    }

    /// (B, C, H, W), normalised, then SiLU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        kernels::group_norm(x, &self.weight, &self.bias, self.groups, self.eps, true)
    }
}

/// Layer normalisation over the last dimension.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// `weight` and `bias` (size) under `vb`.
    pub fn new(vb: &VarBuilder, size: usize, eps: f64) -> Result<Self> {
        let weight = vb.get_with_hints(size, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(size, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, eps })
    }

    /// (…, size), normalised.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        kernels::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// `y = x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight` (output, input) and `bias` (output) under `vb`.
    pub fn new(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        let init = fan_in_init(input);
        let bias = Some(vb.get_with_hints(output, "bias", init)?);
        Ok(Self { bias, ..Self::without_bias(vb, input, output)? })
    }

    /// Without a bias.
    pub fn without_bias(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        Ok(Self { weight: vb.get_with_hints((output, input), "weight", fan_in_init(input))?, bias: None })
    }

    /// Like [`Self::new`] over a weight that may be stored as a 1×1 convolution.
    pub fn pointwise(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        let init = fan_in_init(input);
        // Squeezed rather than reshaped: a view, whatever the strides, so that checking a folder spends no memory here.
        let weight = vb.get_with_hints((output, input, 1, 1), "weight", init)?.squeeze(3)?.squeeze(2)?;
        Ok(Self { weight, bias: Some(vb.get_with_hints(output, "bias", init)?) })
    }

    /// (…, input) to (…, output).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (output, input) = self.weight.dims2()?;
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = output;
        }
        let y = x.contiguous()?.reshape(((), input))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.reshape(shape)
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
}

impl Attention {
    /// From projections; `heads` must divide their width.
    pub fn new(query: Linear, key: Linear, value: Linear, out: Linear, heads: usize) -> Result<Self> {
        let width = query.weight.dim(0)?;
        if heads == 0 || width % heads != 0 {
            candle_core::bail!("attention: {width} channels do not divide into {heads} heads");
        }
        Ok(Self { query, key, value, out, heads })
    }

    /// `x` (B, N, C) attends to `context` (B, M, D); (B, N, C).
    pub fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (q, k, v) = self.split(x, context)?;
        let scale = 1.0 / (q.dim(3)? as f64).sqrt();
        self.merge(&kernels::attention(&q, &k, &v, scale)?)
    }

    /// As [`Self::forward`] of `x` to itself, with `mask` (N, N) added to the scores.
    pub fn forward_masked(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (q, k, v) = self.split(x, x)?;
        let scale = 1.0 / (q.dim(3)? as f64).sqrt();
        let scores = (q.matmul(&k.t()?.contiguous()?)? * scale)?.to_dtype(DType::F32)?.broadcast_add(mask)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(3)?.detach())?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(3)?)?.to_dtype(v.dtype())?;
        self.merge(&weights.matmul(&v)?)
    }

    /// Queries, keys and values as (B, heads, length, size of a head).
    fn split(&self, x: &Tensor, context: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let heads = |t: Tensor| {
            let (b, n, c) = t.dims3()?;
            t.reshape((b, n, self.heads, c / self.heads))?.transpose(1, 2)?.contiguous()
        };
        Ok((heads(self.query.forward(x)?)?, heads(self.key.forward(context)?)?, heads(self.value.forward(context)?)?))
    }

    fn merge(&self, y: &Tensor) -> Result<Tensor> {
        let (b, heads, n, d) = y.dims4()?;
        self.out.forward(&y.transpose(1, 2)?.reshape((b, n, heads * d))?)
    }
}
