//! What a layer does besides its product, in the same pass. Change here to fuse something else.

use candle_core::{Result, Shape, Tensor, bail};

use crate::channel_bias;
use crate::geglu::geglu;
use crate::packed_gemm::Activation;

/// `y = activation(layer(x) + channel_bias + residual)`: what is folded into the layer's own pass where no gradient is asked
/// for.
#[derive(Clone, Copy, Debug)]
pub struct FusedOps<'a> {
    /// (B, O), added to every pixel of a sample; of a convolution only.
    pub channel_bias: Option<&'a Tensor>,
    /// Of the result's shape.
    pub residual: Option<&'a Tensor>,
    /// At the end.
    pub activation: Activation,
}

impl Default for FusedOps<'_> {
    fn default() -> Self {
        Self { channel_bias: None, residual: None, activation: Activation::None }
    }
}

impl<'a> FusedOps<'a> {
    /// Only an activation.
    pub fn activation(activation: Activation) -> Self {
        Self { activation, ..Self::default() }
    }

    /// Only a residual.
    pub fn residual(residual: &'a Tensor) -> Self {
        Self { residual: Some(residual), ..Self::default() }
    }

    /// The same on a finished product, step by step.
    pub(crate) fn apply(&self, y: &Tensor) -> Result<Tensor> {
        let y = match self.channel_bias {
            Some(channel_bias) => channel_bias::add(y, channel_bias)?,
            None => y.clone(),
        };
        let y = match self.residual {
            Some(residual) => (y + residual)?,
            None => y,
        };
        match self.activation {
            Activation::None => Ok(y),
            Activation::Relu => y.relu(),
            Activation::Silu => y.silu(),
            // x · σ(1.702 x) = silu(1.702 x) / 1.702
            Activation::QuickGelu => (y * 1.702)?.silu()? / 1.702,
            Activation::Gelu => y.gelu_erf(),
            Activation::Geglu => geglu(&y),
        }
    }

    /// Whether they suit a result of this shape.
    pub(crate) fn check(&self, shape: &Shape) -> Result<()> {
        if let Some(residual) = self.residual.filter(|residual| residual.shape() != shape) {
            bail!("a residual {:?} does not suit a result {shape:?}", residual.shape());
        }
        let dims = shape.dims();
        if let Some(channel_bias) =
            self.channel_bias.filter(|channel_bias| channel_bias.dims() != [dims[0], dims[dims.len() - 1]])
        {
            bail!("a channel bias {:?} does not suit a result {shape:?}", channel_bias.shape());
        }
        Ok(())
    }
}
