//! A probe on the text encoder: linear heads that name the attributes that a caption mentions. Change here what the probe
//! asks.
//!
//! CLIP's text encoder knows what words mean before it meets a U-Net. A text encoder that learns from the flow alone keeps
//! two words apart only if the U-Net already uses the difference, and the U-Net cannot use a difference that the encoder
//! does not make: "left" and "right" had the same embedding for as long as we trained. The probe's loss keeps such words
//! apart until the U-Net has learnt to use them.

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use instaflow_kernels::{FusedOps, Linear};

use crate::attribute_classifier::{linear, log_likelihood};
use crate::scenes::attributes::HEADS;

/// Prefix of the probe's weights in checkpoints. Runs that have begun keep the name.
pub const PREFIX: &str = "told.";

/// A linear head for each of [`HEADS`]. Its weights learn with the base flow and are not exported.
pub struct CaptionProbe {
    heads: Vec<Linear>,
}

/// The class that a caption mentions for each head; `None` if it leaves the head open.
pub type CaptionLabels = [Option<u32>; HEADS.len()];

impl CaptionProbe {
    /// For embeddings of this width.
    pub fn new(weights: &VarBuilder, width: usize) -> Result<Self> {
        let head = |index: usize| {
            linear(&weights.pp(PREFIX.trim_end_matches('.')).pp(HEADS[index].name), width, HEADS[index].classes.len())
        };
        Ok(Self { heads: (0..HEADS.len()).map(head).collect::<Result<_>>()? })
    }

    /// Cross-entropy of the heads on embeddings (B, L, D), averaged over tokens as cross-attention averages before it has
    /// learnt anything. Summed over the heads that the captions mention, averaged over the batch.
    pub fn loss(&self, context: &Tensor, labels: &[CaptionLabels]) -> Result<Tensor> {
        let summary = context.mean(1)?;
        let mut sum = Tensor::zeros((), context.dtype(), context.device())?;
        for (index, head) in self.heads.iter().enumerate() {
            let classes: Vec<u32> = labels.iter().map(|caption| caption[index].unwrap_or(0)).collect();
            let mentioned = labels.iter().map(|caption| f32::from(u8::from(caption[index].is_some())));
            let mentioned = Tensor::new(mentioned.collect::<Vec<_>>(), context.device())?;
            let likelihood = log_likelihood(&head.forward(&summary, FusedOps::default())?, &classes)?;
            sum = (sum - (likelihood * mentioned)?.mean_all()?)?;
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close};

    /// Two captions of three tokens; the first mentions two heads, the second one of them.
    #[test]
    fn only_mentioned_heads_count() -> Result<()> {
        let parameters = Parameters::seeded(3, &Device::Cpu);
        let probe = CaptionProbe::new(&parameters.builder(), 8)?;
        let context = Tensor::arange(0f32, 48.0, &Device::Cpu)?.sin()?.reshape((2, 3, 8))?;
        let (mut first, mut second) = (CaptionLabels::default(), CaptionLabels::default());
        (first[0], first[9], second[9]) = (Some(2), Some(1), Some(3));
        let loss = probe.loss(&context, &[first, second])?.to_scalar::<f32>()?;

        let weights = parameters.trained();
        assert!(weights.keys().all(|name| name.starts_with(PREFIX)));
        let plain = |caption: usize, head: usize, class: usize| -> Result<f32> {
            let mean = context.get(caption)?.mean(0)?.to_vec1::<f32>()?;
            let part = |name: &str| &weights[&format!("{PREFIX}{}.{name}", HEADS[head].name)];
            let (rows, bias) = (part("weight").to_vec2::<f32>()?, part("bias").to_vec1::<f32>()?);
            let answer = |(row, bias): (&Vec<f32>, &f32)| row.iter().zip(&mean).map(|(w, x)| w * x).sum::<f32>() + bias;
            let answers: Vec<f32> = rows.iter().zip(&bias).map(answer).collect();
            Ok(answers.iter().map(|answer| answer.exp()).sum::<f32>().ln() - answers[class])
        };
        let expected = (plain(0, 0, 2)? + plain(0, 9, 1)? + plain(1, 9, 3)?) / 2.0;
        assert_close(loss, expected, Tolerance::absolute(1e-5));
        let nothing = probe.loss(&context, &[CaptionLabels::default(); 2])?.to_scalar::<f32>()?;
        assert_close(nothing, 0.0, Tolerance::absolute(1e-9));
        Ok(())
    }
}
