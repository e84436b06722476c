//! The Fréchet distance between two clouds of features, each taken as a Gaussian: ‖m₁ − m₂‖² + tr(C₁ + C₂ − 2(C₁C₂)^½)
//! (Dowson and Landau, 1982). With the features of our own classifier this is not FID, and is never called so. Change
//! here only what is wrong: the tests compare it with closed forms. The eigenvalues are computed here: faer would add 15
//! crates and two minutes of build for these eighty lines, nalgebra nine crates and half a minute.

use anyhow::{Result, ensure};

/// Mean and covariance of features.
pub struct Gaussian {
    mean: Vec<f64>,
    covariance: Matrix,
}

/// A symmetric matrix, row-major.
#[derive(Clone)]
struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Gaussian {
    /// Of at least two rows of equally many features; the covariance is the unbiased one.
    pub fn of(rows: &[Vec<f32>]) -> Result<Self> {
        let size = rows.first().map_or(0, Vec::len);
        ensure!(rows.len() > 1 && size > 0, "a distribution needs two pictures or more");
        ensure!(rows.iter().all(|row| row.len() == size), "features of different lengths");
        ensure!(rows.iter().flatten().all(|value| value.is_finite()), "features that are no numbers");
        let count = rows.len() as f64;
        let mut mean = vec![0.0; size];
        for row in rows {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value) / count);
        }
        let mut covariance = Matrix::zeros(size);
        let mut centred = vec![0.0; size];
        for row in rows {
            centred.iter_mut().zip(row).zip(&mean).for_each(|((c, value), mean)| *c = f64::from(*value) - mean);
            for i in 0..size {
                let scaled = centred[i] / (count - 1.0);
                let line = &mut covariance.values[i * size..(i + 1) * size];
                line.iter_mut().zip(&centred).for_each(|(sum, other)| *sum += scaled * other);
            }
        }
        Ok(Self { mean, covariance })
    }
}

/// The squared Fréchet distance, as it is usually reported.
pub fn distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    ensure!(a.mean.len() == b.mean.len(), "features of two kinds cannot be compared");
    let apart: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b).powi(2)).sum();
    // (C₁C₂)^½ has the trace of (C₁^½ C₂ C₁^½)^½, which is symmetric.
    let root = a.covariance.root();
    let inner = root.times(&b.covariance).times(&root);
    let shared: f64 = inner.eigen().0.iter().map(|value| value.max(0.0).sqrt()).sum();
    // Rounding may leave a little less than nothing of equal distributions.
    Ok((apart + a.covariance.trace() + b.covariance.trace() - 2.0 * shared).max(0.0))
}

impl Matrix {
    fn zeros(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    fn trace(&self) -> f64 {
        (0..self.size).map(|i| self.values[i * self.size + i]).sum()
    }

    fn times(&self, other: &Self) -> Self {
        let size = self.size;
        let mut product = Self::zeros(size);
        for i in 0..size {
            let line = &mut product.values[i * size..(i + 1) * size];
            for k in 0..size {
                let factor = self.values[i * size + k];
                let row = &other.values[k * size..(k + 1) * size];
                line.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
            }
        }
        product
    }

    /// The square root of a matrix without negative eigenvalues.
    fn root(&self) -> Self {
        let (values, vectors) = self.eigen();
        let size = self.size;
        let mut root = Self::zeros(size);
        for (value, vector) in values.iter().zip(vectors.values.chunks(size.max(1))) {
            let value = value.max(0.0).sqrt();
            for i in 0..size {
                let scaled = value * vector[i];
                let line = &mut root.values[i * size..(i + 1) * size];
                line.iter_mut().zip(vector).for_each(|(sum, other)| *sum += scaled * other);
            }
        }
        root
    }

    /// Eigenvalues and, as rows, eigenvectors, by Jacobi's rotations (Golub and Van Loan, Matrix Computations, 8.5).
    fn eigen(&self) -> (Vec<f64>, Self) {
        const SWEEPS: usize = 60;
        let size = self.size;
        let mut a = self.clone();
        // The product of symmetric matrices is symmetric up to rounding.
        for i in 0..size {
            for j in 0..i {
                let mean = f64::midpoint(a.values[i * size + j], a.values[j * size + i]);
                (a.values[i * size + j], a.values[j * size + i]) = (mean, mean);
            }
        }
        let mut vectors = Self::zeros(size);
        (0..size).for_each(|i| vectors.values[i * size + i] = 1.0);
        let scale: f64 = a.values.iter().map(|value| value * value).sum();
        for _ in 0..SWEEPS {
            let off: f64 = (0..size * size).filter(|at| at / size != at % size).map(|at| a.values[at].powi(2)).sum();
            if off <= 1e-24 * scale {
                break;
            }
            for p in 0..size {
                for q in p + 1..size {
                    a.rotate(p, q, &mut vectors);
                }
            }
        }
        ((0..size).map(|i| a.values[i * size + i]).collect(), vectors)
    }

    /// Makes the value at (p, q) zero by a rotation of rows and columns p and q.
    fn rotate(&mut self, p: usize, q: usize, vectors: &mut Self) {
        let size = self.size;
        let off = self.values[p * size + q];
        if off == 0.0 {
            return;
        }
        let theta = (self.values[q * size + q] - self.values[p * size + p]) / (2.0 * off);
        let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
        let c = 1.0 / (t * t + 1.0).sqrt();
        let s = t * c;
        for row in self.values.chunks_mut(size) {
            let (x, y) = (row[p], row[q]);
            (row[p], row[q]) = (c * x - s * y, s * x + c * y);
        }
        for matrix in [self, vectors] {
            let (above, below) = matrix.values.split_at_mut(q * size);
            let first = &mut above[p * size..(p + 1) * size];
            for (x, y) in first.iter_mut().zip(&mut below[..size]) {
                (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded_random::Random;
    use instaflow_test_support::{Tolerance, assert_close, assert_error};

    fn gaussian(mean: &[f64], covariance: &[f64]) -> Gaussian {
        let covariance = Matrix { size: mean.len(), values: covariance.to_vec() };
        Gaussian { mean: mean.to_vec(), covariance }
    }

    fn close(a: f64, b: f64) {
        assert_close(a, b, Tolerance::absolute(1e-9 * (1.0 + b.abs())));
    }

    #[test]
    fn one_dimension_has_a_closed_form() -> Result<()> {
        // (m₁ − m₂)² + (σ₁ − σ₂)²
        close(distance(&gaussian(&[1.0], &[4.0]), &gaussian(&[-2.0], &[25.0]))?, 9.0 + 9.0);
        close(distance(&gaussian(&[1.0], &[4.0]), &gaussian(&[1.0], &[0.0]))?, 4.0);
        Ok(())
    }

    #[test]
    fn two_dimensions_have_a_closed_form() -> Result<()> {
        // tr (C₁C₂)^½ of 2×2 matrices is √(tr C₁C₂ + 2 √(det C₁ det C₂)).
        let (a, b): ([f64; 4], [f64; 4]) = ([2.0, 0.5, 0.5, 1.0], [1.0, -0.3, -0.3, 3.0]);
        let product = a[0] * b[0] + a[1] * b[2] + a[2] * b[1] + a[3] * b[3];
        let roots = ((a[0] * a[3] - a[1] * a[2]) * (b[0] * b[3] - b[1] * b[2])).sqrt();
        let expected = 5.0 + 3.0 + 4.0 - 2.0 * (product + 2.0 * roots).sqrt();
        close(distance(&gaussian(&[0.0, 1.0], &a), &gaussian(&[2.0, 0.0], &b))?, expected);
        Ok(())
    }

    #[test]
    fn of_samples_it_is_near_that_of_their_distributions() -> Result<()> {
        let mut random = Random::new(1);
        // x, x + y, 2y, …: correlated, of rank 20 in 20 dimensions.
        let mut cloud = |shift: f64, scale: f64| -> Result<Gaussian> {
            let rows: Vec<Vec<f32>> = (0..4_000)
                .map(|_| {
                    let x: Vec<f64> = (0..20).map(|_| random.normal()).collect();
                    (0..20).map(|i| (shift + scale * (x[i] + 0.5 * x[(i + 1) % 20])) as f32).collect()
                })
                .collect();
            Gaussian::of(&rows)
        };
        let (a, again, b) = (cloud(0.0, 1.0)?, cloud(0.0, 1.0)?, cloud(0.5, 2.0)?);
        assert!(distance(&a, &a)? < 1e-9);
        assert!(distance(&a, &again)? < 0.1);
        // The same covariance times 4: tr C (2 − 1)² = 20 · 1.25, and 20 · 0.5² of the means.
        let apart = distance(&a, &b)?;
        assert_close(apart, 30.0, Tolerance::absolute(1.0));
        close(apart, distance(&b, &a)?);
        Ok(())
    }

    #[test]
    fn too_few_or_broken_features_are_refused() {
        assert_error(Gaussian::of(&[vec![1.0]]), "two pictures");
        assert_error(Gaussian::of(&[vec![1.0], vec![f32::NAN]]), "no numbers");
        assert_error(Gaussian::of(&[vec![1.0], vec![1.0, 2.0]]), "different lengths");
    }
}
