//! Tells rendered pictures from decoded ones, patch by patch: what makes a decoder draw edges instead of their mean. Change
//! here what it is made of and how the two play against each other.
//!
//! A patch discriminator (Isola et al., CVPR 2017, PatchGAN) with the hinge loss (Lim and Ye, arXiv 1705.02894) and spectral
//! normalisation (Miyato et al., ICLR 2018).

use anyhow::Result;
use candle_core::{D, DType, Tensor};
use candle_nn::{Init, VarBuilder};
use instaflow_kernels::{self as kernels, FusedOps};

use crate::parameters::Parameters;

/// Channels of the levels, each of which halves the side. A verdict sees 31 × 31 pixels.
const WIDTHS: [usize; 3] = [32, 64, 96];
/// Slope of the activation below zero.
const SLOPE: f64 = 0.2;
/// Steps of the power iteration that estimates a weight's largest singular value.
const ITERATIONS: usize = 8;

/// A stack of convolutions that ends in one verdict for each patch.
pub struct Discriminator {
    levels: Vec<kernels::Conv2d>,
    verdict: kernels::Conv2d,
}

impl Discriminator {
    /// Tensors named `levels.N.*` and `verdict.*` under `vb`. Built anew for each step: the weights are divided by their
    /// largest singular value as it is now.
    pub fn new(vb: &VarBuilder) -> Result<Self> {
        let mut channels = 3;
        let mut levels = Vec::new();
        for (level, width) in WIDTHS.into_iter().enumerate() {
            levels.push(convolution(&vb.pp("levels").pp(level), channels, width)?.strided(2, (1, 1)));
            channels = width;
        }
        Ok(Self { levels, verdict: convolution(&vb.pp("verdict"), channels, 1)? })
    }

    /// Pictures (B, 3, H, W) in [−1, 1] to verdicts (B, H/8, W/8, 1): above 0 for what looks rendered.
    pub fn judge(&self, pictures: &Tensor) -> Result<Tensor> {
        let mut x = pictures.permute((0, 2, 3, 1))?.contiguous()?;
        for level in &self.levels {
            x = leaky(&level.forward(&x, FusedOps::default())?)?;
        }
        Ok(self.verdict.forward(&x, FusedOps::default())?)
    }

    /// What the discriminator minimises: verdicts above 1 of what is rendered and below −1 of what is decoded.
    pub fn hinge(&self, rendered: &Tensor, decoded: &Tensor) -> Result<Tensor> {
        let rendered = (1.0 - self.judge(&rendered.detach())?)?.relu()?.mean_all()?;
        let decoded = (1.0 + self.judge(&decoded.detach())?)?.relu()?.mean_all()?;
        Ok((rendered + decoded)?)
    }

    /// What the decoder minimises: asked of a discriminator made of [`detached`] weights, which stay as they are.
    pub fn deceive(&self, decoded: &Tensor) -> Result<Tensor> {
        Ok(self.judge(decoded)?.mean_all()?.neg()?)
    }
}

/// max(x, SLOPE·x).
fn leaky(x: &Tensor) -> candle_core::Result<Tensor> {
    (x * SLOPE)? + (x.relu()? * (1.0 - SLOPE))?
}

/// A 3×3 convolution whose weight has the spectral norm 1.
fn convolution(vb: &VarBuilder, input: usize, output: usize) -> Result<kernels::Conv2d> {
    let bound = 1.0 / ((9 * input) as f64).sqrt();
    let weight = vb.get_with_hints((output, input, 3, 3), "weight", Init::Uniform { lo: -bound, up: bound })?;
    let bias = vb.get_with_hints(output, "bias", Init::Const(0.0))?;
    let norm = spectral_norm(&weight.detach().flatten_from(1)?)?;
    Ok(kernels::Conv2d::new((weight / norm)?, Some(bias))?)
}

/// The largest singular value of a matrix (rows, columns), by power iteration from the row with the most weight.
fn spectral_norm(matrix: &Tensor) -> Result<f64> {
    let unit = |vector: Tensor| -> candle_core::Result<Tensor> {
        let length = vector.sqr()?.sum_all()?.sqrt()?;
        vector.broadcast_div(&(length + 1e-12)?)
    };
    let rows = matrix.sqr()?.sum(D::Minus1)?.to_vec1::<f32>()?;
    let heaviest = (0..rows.len()).max_by(|&a, &b| rows[a].total_cmp(&rows[b])).unwrap_or(0);
    let mut right = unit(matrix.narrow(0, heaviest, 1)?.t()?.contiguous()?)?;
    let across = matrix.t()?.contiguous()?;
    for _ in 0..ITERATIONS {
        let left = unit(matrix.matmul(&right)?)?;
        right = unit(across.matmul(&left)?)?;
    }
    let norm = matrix.matmul(&right)?.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
    Ok(f64::from(norm).max(1e-6))
}

/// Before the names of the discriminator's weights among those of the decoder's stage.
pub const PREFIX: &str = "discriminator.";

/// The same weights, through which gradients pass and which do not learn. One backward pass of both losses then leads the
/// decoder by the one and the discriminator by the other.
pub fn detached(parameters: &Parameters) -> VarBuilder<'static> {
    let weights = parameters.trained().into_iter().filter(|(name, _)| name.starts_with(PREFIX));
    let weights = weights.map(|(name, weight)| (name, weight.as_detached_tensor())).collect();
    VarBuilder::from_tensors(weights, DType::F32, parameters.device()).pp("discriminator")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded_random::{Random, key};
    use candle_core::{Device, Var};

    fn random(seed: u64, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
        let mut random = Random::new(key(&[seed]));
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        let values: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    #[test]
    fn weights_are_divided_by_their_largest_singular_value() -> Result<()> {
        // Orthogonal rows of lengths 3 and 5.
        let matrix = Tensor::new(&[[0f32, 3.0, 0.0], [4.0, 0.0, 3.0]], &Device::Cpu)?;
        assert!((spectral_norm(&matrix)? - 5.0).abs() < 1e-4);
        Ok(())
    }

    #[test]
    fn each_loss_leads_its_own_network() -> Result<()> {
        let parameters = Parameters::seeded(7, &Device::Cpu);
        let learning = Discriminator::new(&parameters.builder().pp("discriminator"))?;
        let fixed = Discriminator::new(&detached(&parameters))?;
        let (rendered, decoded) = (random(1, (2, 3, 32, 32))?, Var::from_tensor(&random(2, (2, 3, 32, 32))?)?);
        assert_eq!(learning.judge(&rendered)?.dims(), [2, 4, 4, 1]);

        let gradients = learning.hinge(&rendered, &decoded)?.backward()?;
        assert!(gradients.get(&decoded).is_none(), "the discriminator's loss does not reach the decoder");
        for (name, weight) in parameters.trained() {
            let gradient = gradients.get(&weight).unwrap_or_else(|| panic!("{name} has no gradient"));
            // What is added to all verdicts alike helps with the one kind as it harms with the other.
            let balanced = name == "discriminator.verdict.bias";
            assert!(balanced || gradient.sqr()?.sum_all()?.to_scalar::<f32>()? > 0.0, "{name}");
        }
        let gradients = fixed.deceive(&decoded)?.backward()?;
        let gradient = gradients.get(&decoded).expect("the decoder is led");
        assert!(gradient.sqr()?.sum_all()?.to_scalar::<f32>()? > 0.0);
        assert!(parameters.trained().values().all(|weight| gradients.get(weight).is_none()));
        Ok(())
    }

    #[test]
    fn what_learns_to_tell_noise_from_a_ramp_does() -> Result<()> {
        let parameters = Parameters::seeded(7, &Device::Cpu);
        let ramp: Vec<f32> = (0..2 * 3 * 32 * 32).map(|index| (index % 32) as f32 / 16.0 - 1.0).collect();
        let (ramp, noise) = (Tensor::from_vec(ramp, (2, 3, 32, 32), &Device::Cpu)?, random(3, (2, 3, 32, 32))?);
        let mut losses = Vec::new();
        for _ in 0..40 {
            let network = Discriminator::new(&parameters.builder().pp("discriminator"))?;
            let loss = network.hinge(&ramp, &noise)?;
            let gradients = loss.backward()?;
            for weight in parameters.trained().values() {
                let gradient = gradients.get(weight).expect("a gradient");
                weight.set(&(weight.as_tensor() - (gradient * 0.1)?)?)?;
            }
            losses.push(loss.to_scalar::<f32>()?);
        }
        assert!(losses.iter().all(|loss| loss.is_finite()));
        assert!(losses[39] < 0.5 * losses[0], "{losses:?}");
        Ok(())
    }
}
