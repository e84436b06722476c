//! A small convolutional network that names the attributes of a scene: the measure of `evaluate`, and the features of
//! perceptual losses. Change here what it is made of.

use anyhow::{Result, ensure};
use candle_core::{D, Tensor};
use candle_nn::{Init, VarBuilder};
use instaflow_kernels::{self as kernels, FusedOps};

use crate::run_config::Sizes;
use crate::scenes::attributes::{HEADS, Head};

/// Levels that each halve the side, a summary of the whole picture, and a linear head for each group of attributes.
pub struct Classifier {
    side: usize,
    levels: Vec<Level>,
    summary: kernels::Linear,
    heads: Vec<kernels::Linear>,
}

/// What it says of pictures.
pub struct ClassifierOutput {
    /// The picture in a few values: (B, F).
    pub features: Tensor,
    /// For each head, (B, classes).
    pub logits: Vec<Tensor>,
}

/// A convolution of stride 2, group norm, SiLU.
struct Level {
    conv: kernels::Conv2d,
    scale: Tensor,
    shift: Tensor,
    groups: usize,
}

const EPS: f64 = 1e-5;

impl Classifier {
    /// For pictures of the sizes' side, or of a multiple of it; a linear head for each of [`HEADS`].
    pub fn new(vb: &VarBuilder, sizes: &Sizes) -> Result<Self> {
        let seen = sizes.picture as usize;
        let side = seen >> sizes.classifier_widths.len();
        ensure!(side > 0, "the classifier has more levels than the picture can be halved");
        let mut channels = 3;
        let mut levels = Vec::new();
        for (index, &width) in sizes.classifier_widths.iter().enumerate() {
            levels.push(Level::new(&vb.pp("levels").pp(index), channels, width)?);
            channels = width;
        }
        // Not averaged over places: heads ask where things are.
        let summary = linear(&vb.pp("summary"), channels * side * side, sizes.classifier_features)?;
        let head = |head: &Head| linear(&vb.pp("heads").pp(head.name), sizes.classifier_features, head.classes.len());
        Ok(Self { side: seen, levels, summary, heads: HEADS.iter().map(head).collect::<Result<_>>()? })
    }

    /// Looks at pictures (B, 3, S, S) in [−1, 1]; larger ones are averaged down first.
    pub fn forward(&self, pictures: &Tensor) -> Result<ClassifierOutput> {
        let maps = self.feature_maps(pictures)?;
        let last = maps.last().unwrap_or(pictures).flatten_from(1)?;
        let features = self.summary.forward(&last, FusedOps::default())?.silu()?;
        let logits = self.heads.iter().map(|head| head.forward(&features, FusedOps::default()));
        let logits = logits.collect::<candle_core::Result<_>>()?;
        Ok(ClassifierOutput { features, logits })
    }

    /// Feature maps of the levels, (B, h, w, C), from the finest.
    pub fn feature_maps(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        let mut maps = Vec::with_capacity(self.levels.len());
        let times = pictures.dim(2)? / self.side;
        let pictures = if times > 1 { pictures.avg_pool2d(times)? } else { pictures.clone() };
        let mut x = pictures.permute((0, 2, 3, 1))?.contiguous()?;
        for level in &self.levels {
            x = level.forward(&x)?;
            maps.push(x.clone());
        }
        Ok(maps)
    }
}

/// Cross-entropy, summed over the heads and meaned over the batch; `labels` are the classes of each head, (B) of them.
pub fn cross_entropy(logits: &[Tensor], labels: &[Vec<u32>]) -> Result<Tensor> {
    ensure!(logits.len() == labels.len() && !logits.is_empty(), "as many labels as heads are needed");
    let mut sum: Option<Tensor> = None;
    for (logits, labels) in logits.iter().zip(labels) {
        let loss = log_likelihood(logits, labels)?.mean_all()?.neg()?;
        sum = Some(match sum {
            Some(sum) => (sum + loss)?,
            None => loss,
        });
    }
    sum.ok_or_else(|| anyhow::anyhow!("there are no heads"))
}

/// Logarithm of the softmax of (B, classes) at the labels: (B).
pub fn log_likelihood(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum(D::Minus1)?.log()?;
    let labels = Tensor::from_slice(labels, (labels.len(), 1), logits.device())?;
    Ok((shifted.gather(&labels, 1)?.squeeze(1)? - log_sum)?)
}

/// The likeliest class of each picture.
pub fn likeliest(logits: &Tensor) -> Result<Vec<u32>> {
    Ok(logits.argmax(D::Minus1)?.to_vec1()?)
}

impl Level {
    fn new(vb: &VarBuilder, input: usize, output: usize) -> Result<Self> {
        let (conv, norm) = (vb.pp("conv"), vb.pp("norm"));
        let init = fan_in(9 * input);
        let weight = conv.get_with_hints((output, input, 3, 3), "weight", init)?;
        let bias = conv.get_with_hints(output, "bias", init)?;
        Ok(Self {
            conv: kernels::Conv2d::new(weight, Some(bias))?.strided(2, (1, 1)),
            scale: norm.get_with_hints(output, "weight", Init::Const(1.0))?,
            shift: norm.get_with_hints(output, "bias", Init::Const(0.0))?,
            groups: if output.is_multiple_of(8) { output / 8 } else { 1 },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.conv.forward(x, FusedOps::default())?;
        Ok(kernels::group_norm(&x, &self.scale, &self.shift, self.groups, EPS, true)?)
    }
}

/// A linear map with a bias, as PyTorch starts one.
pub fn linear(vb: &VarBuilder, input: usize, output: usize) -> Result<kernels::Linear> {
    let init = fan_in(input);
    let weight = vb.get_with_hints((output, input), "weight", init)?;
    Ok(kernels::Linear::new(weight, Some(vb.get_with_hints(output, "bias", init)?))?)
}

/// PyTorch's start.
fn fan_in(count: usize) -> Init {
    let bound = 1.0 / (count.max(1) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close, assert_error};

    #[test]
    fn cross_entropy_is_that_of_the_softmax() -> Result<()> {
        let logits = Tensor::new(&[[1f32, 2.0, 0.5], [100.0, 0.0, -100.0]], &Device::Cpu)?;
        let loss = cross_entropy(&[logits.clone(), logits.clone()], &[vec![1, 0], vec![1, 0]])?.to_scalar::<f32>()?;
        let exps = [1f32, 2.0, 0.5].map(f32::exp);
        let expected = 2.0 * (-(exps[1] / exps.iter().sum::<f32>()).ln()) / 2.0;
        assert_close(loss, expected, Tolerance::absolute(1e-5));
        assert_eq!(likeliest(&logits)?, [1, 0]);
        assert_error(cross_entropy(&[logits], &[]), "as many labels");
        Ok(())
    }
}
