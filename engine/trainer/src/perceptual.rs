//! How far two pictures are from each other in the features of a network: LPIPS (Zhang et al., CVPR 2018) if its
//! weights are given, else the same formula over the scene classifier's feature maps, which is called `features` and is
//! not LPIPS. Change here how features are compared.

use anyhow::Result;
use candle_core::Tensor;
use instaflow_engine::Cancel;
use instaflow_engine::vae::Autoencoder;

use crate::attribute_classifier::Classifier;
use crate::lpips::Lpips;
use crate::stage::Stage;
use crate::training_run::Run;

/// The perceptual distance of the pictures that latents decode to.
pub struct PerceptualLoss {
    decoder: Autoencoder,
    distance: FeatureDistance,
}

impl PerceptualLoss {
    /// With the run's decoder. Says on stderr which distance it is.
    pub fn open(run: &Run) -> Result<Self> {
        let distance = FeatureDistance::open(run)?;
        eprintln!("perceptual loss: {}", distance.name());
        Ok(Self { decoder: run.decoder()?, distance })
    }

    /// Of latents (B, C, h, w); gradients flow to `a`, none to `b`.
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let never = Cancel::default();
        let (a, b) = (self.decoder.decode(a, &never)?, self.decoder.decode(&b.detach(), &never)?);
        self.distance.distance(&a, &b)
    }
}

/// How pictures are compared.
pub enum FeatureDistance {
    /// In the feature maps of the run's own classifier.
    Classifier(Classifier),
    /// As published.
    Lpips(Lpips),
}

impl FeatureDistance {
    /// LPIPS if the run was given its weights, else the classifier that it has trained.
    pub fn open(run: &Run) -> Result<Self> {
        if let Some(path) = &run.lpips {
            return Ok(Self::Lpips(Lpips::read(path, &run.device)?));
        }
        run.require_scenes("a perceptual loss without --lpips")?;
        let weights = run.trained(Stage::Classifier)?;
        Ok(Self::Classifier(Classifier::new(&run.frozen_builder(&weights, ""), &run.config.sizes)?))
    }

    /// What it is called in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classifier(_) => "features",
            Self::Lpips(lpips) => lpips.name(),
        }
    }

    /// The mean distance of pictures (B, 3, H, W) in [−1, 1], a scalar; gradients flow to `a`, none to `b`.
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self {
            Self::Classifier(classifier) => {
                let (a, b) = (classifier.feature_maps(a)?, classifier.feature_maps(&b.detach())?);
                let ones = vec![None; a.len()];
                Ok((compare(&a, &b, &ones)? / a.len() as f64)?)
            }
            Self::Lpips(lpips) => compare(&lpips.feature_maps(a)?, &lpips.feature_maps(&b.detach())?, &lpips.weights()),
        }
    }
}

/// Σ over levels of the mean over places of Σ over channels of w·(â − b̂)², where â is a brought to length 1 over its
/// channels; w is 1 if there is none. Averaged over the batch.
fn compare(a: &[Tensor], b: &[Tensor], weights: &[Option<&Tensor>]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for ((a, b), weight) in a.iter().zip(b).zip(weights) {
        let mut squares = (unit(a)? - unit(&b.detach())?)?.sqr()?;
        if let Some(weight) = weight {
            squares = squares.broadcast_mul(weight)?;
        }
        let level = squares.sum(3)?.mean_all()?;
        sum = Some(match sum {
            Some(sum) => (sum + level)?,
            None => level,
        });
    }
    sum.ok_or_else(|| anyhow::anyhow!("there are no feature maps to compare"))
}

/// (B, h, w, C), of length 1 over C; the small number keeps the root's gradient finite where all channels are 0.
fn unit(x: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_div(&(x.sqr()?.sum_keepdim(3)? + 1e-10)?.sqrt()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use instaflow_test_support::{Tolerance, assert_close};
    use std::slice::from_ref;

    #[test]
    fn features_are_compared_by_their_direction() -> Result<()> {
        let map = |values: [f32; 4]| Tensor::from_slice(&values, (1, 1, 2, 2), &Device::Cpu);
        // Two places: (1, 0) against (0, 1), and (0, 2) against (0, 5).
        let (a, b) = (map([1.0, 0.0, 0.0, 2.0])?, map([0.0, 1.0, 0.0, 5.0])?);
        let distance = compare(from_ref(&a), from_ref(&b), &[None])?.to_scalar::<f32>()?;
        assert_close(distance, 1.0, Tolerance::absolute(1e-4));
        let weight = Tensor::new(&[0.5f32, 0.25], &Device::Cpu)?;
        let weighted = compare(from_ref(&a), from_ref(&b), &[Some(&weight)])?.to_scalar::<f32>()?;
        assert_close(weighted, 0.375, Tolerance::absolute(1e-4));

        let a = Var::from_tensor(&a.zeros_like()?)?;
        let gradients = compare(&[a.as_tensor().clone()], &[b], &[None])?.backward()?;
        let gradient = gradients.get(&a).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        Ok(())
    }
}
