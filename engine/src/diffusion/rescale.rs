//! Guidance that keeps its contrast (Lin et al., 2023, arXiv 2305.08891, section 3.4): a guided prediction is scaled to the
//! standard deviation of the one without the negative prompt.

use candle_core::{Result, Tensor};

/// `by` of 1 takes the scaled prediction, 0 the guided one as it is. All of them (B, C, h, w); each picture of the batch
/// has its own standard deviation.
pub fn rescaled(guided: &Tensor, conditional: &Tensor, by: f64) -> Result<Tensor> {
    let deviation = |tensor: &Tensor| -> Result<Tensor> {
        let values = tensor.flatten_from(1)?;
        values.var_keepdim(1)?.sqrt()?.reshape((tensor.dim(0)?, 1, 1, 1))
    };
    let scale = (deviation(conditional)? / deviation(guided)?)?;
    // 1 + by·(scale − 1)
    guided.broadcast_mul(&scale.affine(by, 1.0 - by)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close};

    use super::*;

    #[test]
    fn the_deviation_becomes_that_of_the_conditional() -> Result<()> {
        let tensor = |values: [f32; 4]| Tensor::new(&[[[values]]], &Device::Cpu);
        let (guided, conditional) = (tensor([4.0, -4.0, 8.0, -8.0])?, tensor([1.0, -1.0, 2.0, -2.0])?);
        assert_close(&rescaled(&guided, &conditional, 1.0)?, &conditional, Tolerance::absolute(1e-6));
        assert_close(&rescaled(&guided, &conditional, 0.0)?, &guided, Tolerance::absolute(1e-6));
        assert_close(
            &rescaled(&guided, &conditional, 0.5)?,
            tensor([2.5, -2.5, 5.0, -5.0])?,
            Tolerance::absolute(1e-6),
        );
        Ok(())
    }
}
