//! What the text encoder is asked beside drawing: to name the attributes that a caption tells. Change here what is asked.
//!
//! CLIP's text encoder knows what words mean before any U-Net listens to it. One that learns from the flow alone keeps
//! words apart only where the U-Net already makes something of them, and the U-Net makes nothing of words that it cannot
//! tell apart: "left" and "right" stayed one word for as long as we trained. The question here keeps every telling word
//! audible until the U-Net has learnt to listen.

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use instaflow_kernels::{Extras, Linear};

use crate::classifier::{linear, log_likelihood};
use crate::scenes::attributes::HEADS;

/// How the weights' names begin.
pub const NAME: &str = "told.";

/// A linear head for each of [`HEADS`], whose weights learn with the base flow and end with it.
pub struct Told {
    heads: Vec<Linear>,
}

/// The class that a caption tells of each head; `None` where it leaves it open.
pub type Answers = [Option<u32>; HEADS.len()];

impl Told {
    /// For embeddings of this width.
    pub fn new(weights: &VarBuilder, width: usize) -> Result<Self> {
        let head = |index: usize| linear(&weights.pp("told").pp(HEADS[index].name), width, HEADS[index].classes.len());
        Ok(Self { heads: (0..HEADS.len()).map(head).collect::<Result<_>>()? })
    }

    /// Cross-entropy of what the embeddings (B, L, D) say, averaged over their tokens as cross-attention at its start
    /// does, against what the captions tell: summed over the heads told, meaned over the batch.
    pub fn loss(&self, context: &Tensor, answers: &[Answers]) -> Result<Tensor> {
        let summary = context.mean(1)?;
        let mut sum = Tensor::zeros((), context.dtype(), context.device())?;
        for (index, head) in self.heads.iter().enumerate() {
            let classes: Vec<u32> = answers.iter().map(|caption| caption[index].unwrap_or(0)).collect();
            let told: Vec<f32> = answers.iter().map(|caption| f32::from(u8::from(caption[index].is_some()))).collect();
            let told = Tensor::new(told, context.device())?;
            let likelihood = log_likelihood(&head.forward(&summary, Extras::default())?, &classes)?;
            sum = (sum - (likelihood * told)?.mean_all()?)?;
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

    /// Two captions, three tokens each; the first tells two heads, the second one of them.
    #[test]
    fn only_what_is_told_counts() -> Result<()> {
        let parameters = Parameters::seeded(3, &Device::Cpu);
        let told = Told::new(&parameters.builder(), 8)?;
        let context = Tensor::arange(0f32, 48.0, &Device::Cpu)?.sin()?.reshape((2, 3, 8))?;
        let (mut first, mut second) = (Answers::default(), Answers::default());
        (first[0], first[9], second[9]) = (Some(2), Some(1), Some(3));
        let loss = told.loss(&context, &[first, second])?.to_scalar::<f32>()?;

        let weights = parameters.trained();
        assert!(weights.keys().all(|name| name.starts_with(NAME)));
        let plain = |caption: usize, head: usize, class: usize| -> Result<f32> {
            let mean = context.get(caption)?.mean(0)?.to_vec1::<f32>()?;
            let part = |name: &str| &weights[&format!("told.{}.{name}", HEADS[head].name)];
            let (rows, bias) = (part("weight").to_vec2::<f32>()?, part("bias").to_vec1::<f32>()?);
            let answer = |(row, bias): (&Vec<f32>, &f32)| row.iter().zip(&mean).map(|(w, x)| w * x).sum::<f32>() + bias;
            let answers: Vec<f32> = rows.iter().zip(&bias).map(answer).collect();
            Ok(answers.iter().map(|answer| answer.exp()).sum::<f32>().ln() - answers[class])
        };
        let expected = (plain(0, 0, 2)? + plain(0, 9, 1)? + plain(1, 9, 3)?) / 2.0;
        assert_close(loss, expected, Tolerance::absolute(1e-5));
        assert_close(
            told.loss(&context, &[Answers::default(); 2])?.to_scalar::<f32>()?,
            0.0,
            Tolerance::absolute(1e-9),
        );
        Ok(())
    }
}
