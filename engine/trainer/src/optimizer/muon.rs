//! What Muon does to a matrix (Jordan et al., 2024, kellerjordan.github.io/posts/muon): the gradient's moving average with
//! its singular values brought to about 1, so that a step turns all directions alike, not only the loudest. Change here
//! how that is approximated.

use candle_core::{Result, Tensor};

/// Share of the old moving average that is kept.
pub const MOMENTUM: f64 = 0.95;

/// Smallest side of a matrix that is worth it.
const SMALLEST: usize = 8;

/// The odd polynomial a·s + b·s³ + c·s⁵ whose iterates bring singular values s in (0, 1] near 1 (same source).
const A: f64 = 3.4445;
const B: f64 = -4.7750;
const C: f64 = 2.0315;
const ITERATIONS: usize = 5;

/// Rows and columns of a weight as Muon sees it: a convolution's kernel is a matrix from its neighbourhood's values to
/// its outputs. `None` where the weight is no linear map (biases, norms, embeddings) or has too few rows.
pub fn matrix(name: &str, shape: &[usize]) -> Option<(usize, usize)> {
    let (&rows, others) = shape.split_first()?;
    let columns = others.iter().product();
    (!others.is_empty() && !name.contains("embedding") && rows.min(columns) >= SMALLEST).then_some((rows, columns))
}

/// Factor on the learning rate, so that the rate that suits AdamW suits here (Liu et al., arXiv 2502.16982, section 2.2).
pub fn scale((rows, columns): (usize, usize)) -> f64 {
    0.2 * (rows.max(columns) as f64).sqrt()
}

/// `x` (m, n) with all its larger singular values between about 0.7 and 1.2, its singular vectors as they are.
///
/// The iteration runs on x·xᵀ, (m, m) for the shorter side m: its powers commute, so that the polynomials can be gathered
/// in one factor that meets x at the end. Two products with x instead of ten.
pub fn orthogonalised(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    if rows > columns {
        return orthogonalised(&x.t()?.contiguous()?)?.t()?.contiguous();
    }
    let length = x.sqr()?.sum_all()?.sqrt()?;
    let x = x.broadcast_div(&(length + 1e-20)?)?;
    let mut gram = x.matmul(&x.t()?)?;
    let one = Tensor::eye(rows, x.dtype(), x.device())?;
    let mut factor = one.clone();
    for iteration in 0..ITERATIONS {
        let polynomial = (((&one * A)? + (&gram * B)?)? + (gram.matmul(&gram)? * C)?)?;
        factor = polynomial.matmul(&factor)?;
        if iteration + 1 < ITERATIONS {
            gram = polynomial.matmul(&gram)?.matmul(&polynomial)?;
        }
    }
    factor.matmul(&x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded_random::Random;
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close, assert_close_case};

    fn random(rows: usize, columns: usize) -> Result<Tensor> {
        let mut random = Random::new((rows * 1000 + columns) as u64);
        let values: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu)
    }

    /// Against the iteration as it was published, on the matrix itself.
    fn plain(x: &Tensor) -> Result<Tensor> {
        let mut x = x.broadcast_div(&x.sqr()?.sum_all()?.sqrt()?)?;
        for _ in 0..ITERATIONS {
            let gram = x.matmul(&x.t()?)?;
            let polynomial = ((&gram * B)? + (gram.matmul(&gram)? * C)?)?;
            x = ((&x * A)? + polynomial.matmul(&x)?)?;
        }
        Ok(x)
    }

    #[test]
    fn it_is_the_published_iteration() -> Result<()> {
        for (rows, columns) in [(1, 1), (1, 7), (5, 5), (8, 75), (33, 13), (64, 577)] {
            let x = random(rows, columns)?;
            let expected = if rows > columns { plain(&x.t()?.contiguous()?)?.t()? } else { plain(&x)? };
            assert_close_case(format!("{rows}x{columns}"), orthogonalised(&x)?, expected, Tolerance::absolute(1e-4));
        }
        Ok(())
    }

    #[test]
    fn rows_become_nearly_orthonormal_whatever_their_length() -> Result<()> {
        let x = random(16, 200)?;
        let lengths: Vec<f32> = (0..16).map(|row| 10f32.powf(row as f32 / 15.0 - 1.0)).collect();
        let y = orthogonalised(&x.broadcast_mul(&Tensor::from_vec(lengths, (16, 1), &Device::Cpu)?)?)?;
        let gram = y.matmul(&y.t()?)?.to_vec2::<f32>()?;
        for (i, row) in gram.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                let expected = if i == j { 0.4..1.5 } else { -0.35..0.35 };
                assert!(expected.contains(value), "({i}, {j}): {value}");
            }
        }
        Ok(())
    }

    #[test]
    fn zeros_stay_zeros() -> Result<()> {
        let zeros = random(4, 9)?.zeros_like()?;
        assert_close(orthogonalised(&zeros)?, &zeros, Tolerance::EXACT);
        Ok(())
    }

    #[test]
    fn linear_maps_are_matrices_and_nothing_else_is() {
        assert_eq!(matrix("conv_in.weight", &[64, 12, 3, 3]), Some((64, 108)));
        assert_eq!(matrix("to_q.weight", &[128, 128]), Some((128, 128)));
        for (name, shape) in
            [("conv.bias", &[64][..]), ("token_embedding.weight", &[200, 128]), ("conv_out.weight", &[3, 32, 3, 3])]
        {
            assert_eq!(matrix(name, shape), None, "{name}");
        }
    }
}
