//! Weights with low-rank differences added (LoRA; Hu et al. 2021, arXiv 2106.09685), in one pass over them.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, WithDType, bail};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::gemm::{Matrix, gemm};
use crate::{cpu_tensor, scratch};

/// Values that one task computes, about: they stay in its cache.
const BLOCK: usize = 1 << 18;

/// Fewest and most rows of a task. A product of few rows is slow.
const ROWS: (usize, usize) = (64, 512);

/// `scale`·`up`·`down`, with `up` (O, r) and `down` (r, N) in f32.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// (O, r)
    pub up: Tensor,
    /// (r, N)
    pub down: Tensor,
    /// What the product is multiplied with.
    pub scale: f32,
}

/// `weights` (O, …), N values in a row, of f32, f16 or bf16, with all of these added in their order: computed in f32 on the
/// CPU, then rounded to `dtype`, which is one of the three. The result depends neither on the number of threads nor on what
/// was computed before.
pub fn add_low_rank(weights: &Tensor, differences: &[LowRank], dtype: DType) -> Result<Tensor> {
    let rows = weights.dim(0)?;
    let columns = weights.elem_count() / rows.max(1);
    for LowRank { up, down, .. } in differences {
        if up.dims2()?.0 != rows || down.dims2()? != (up.dim(1)?, columns) {
            bail!("low rank: {:?} and {:?} do not suit weights {:?}", up.shape(), down.shape(), weights.shape());
        }
    }
    let values = |tensor: &Tensor| cpu_tensor::with::<f32, _>(tensor, |values| Ok(values.to_vec()));
    let factors = differences.iter().map(|one| Ok((values(&one.up)?, values(&one.down)?, one.scale)));
    let factors = factors.collect::<Result<Vec<_>>>()?;
    let sum = Sum { columns, factors };
    let weights = weights.contiguous()?;
    let (storage, layout) = weights.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("low rank: this operation runs on the CPU only") };
    let values: Values<'_> = match storage {
        CpuStorage::F32(values) => Values::F32(cpu_tensor::values(values, layout)?),
        CpuStorage::F16(values) => Values::F16(cpu_tensor::values(values, layout)?),
        CpuStorage::BF16(values) => Values::Bf16(cpu_tensor::values(values, layout)?),
        _ => bail!("low rank: weights of {:?} are not supported", weights.dtype()),
    };
    let shape = weights.shape();
    match dtype {
        DType::F32 => Tensor::from_vec(sum.rounded(&values, |value| value), shape, &Device::Cpu),
        DType::F16 => Tensor::from_vec(sum.rounded(&values, f16::from_f32), shape, &Device::Cpu),
        DType::BF16 => Tensor::from_vec(sum.rounded(&values, bf16::from_f32), shape, &Device::Cpu),
        other => bail!("low rank: results of {other:?} are not supported"),
    }
}

/// Weights in the type that they come in.
enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Those from `from` on, as many as there is room for.
    fn widen(&self, from: usize, to: &mut [f32]) {
        let range = from..from + to.len();
        match self {
            Self::F32(values) => to.copy_from_slice(&values[range]),
            Self::F16(values) => values[range].convert_to_f32_slice(to),
            Self::Bf16(values) => values[range].convert_to_f32_slice(to),
        }
    }
}

struct Sum {
    columns: usize,
    /// Each with its scale.
    factors: Vec<(Vec<f32>, Vec<f32>, f32)>,
}

impl Sum {
    fn rounded<T: WithDType + Send>(&self, weights: &Values<'_>, round: impl Fn(f32) -> T + Sync) -> Vec<T> {
        let columns = self.columns.max(1);
        let len = (BLOCK / columns).clamp(ROWS.0, ROWS.1) * columns;
        let mut out = Vec::with_capacity(weights.len());
        let room = &mut out.spare_capacity_mut()[..weights.len()];
        let task = |(index, to): (usize, &mut [MaybeUninit<T>])| {
            let from = index * len;
            scratch::with(to.len(), |block| {
                weights.widen(from, block);
                let rows = block.len() / columns;
                for (up, down, scale) in &self.factors {
                    let rank = down.len() / columns;
                    let up = Matrix::rows(&up[from / columns * rank..], rank);
                    gemm((rows, columns, rank), block, columns, true, *scale, up, Matrix::rows(down, columns));
                }
                for (to, value) in to.iter_mut().zip(block) {
                    to.write(round(*value));
                }
            });
        };
        room.par_chunks_mut(len).enumerate().for_each(task);
        #[allow(unsafe_code)]
        // SAFETY: room for as many values was reserved, and the tasks, whose chunks are all of it, wrote every one of them.
        unsafe {
            out.set_len(weights.len());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close_case};

    use super::*;

    fn numbers(shape: (usize, usize), seed: usize) -> Result<Tensor> {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
        Tensor::from_vec((0..shape.0 * shape.1).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu)
    }

    #[test]
    fn it_is_the_sum_of_products_rounded_once() -> Result<()> {
        for (rows, columns, ranks) in [(1, 1, vec![1]), (65, 7, vec![3, 5]), (700, 1200, vec![4]), (3, 5000, vec![])] {
            let differences = ranks.iter().map(|rank| {
                let (up, down) = (numbers((rows, *rank), *rank)?, numbers((*rank, columns), 2 * rank)?);
                Ok(LowRank { up, down, scale: 0.25 - *rank as f32 })
            });
            let differences = differences.collect::<Result<Vec<_>>>()?;
            for stored in [DType::F32, DType::F16, DType::BF16] {
                let weights = numbers((rows, columns), 11)?.to_dtype(stored)?;
                let mut plain = weights.to_dtype(DType::F32)?;
                for LowRank { up, down, scale } in &differences {
                    plain = (plain + (up.matmul(down)? * f64::from(*scale))?)?;
                }
                let case = format!("{rows} x {columns}, {stored:?}");
                let sum = add_low_rank(&weights, &differences, DType::F32)?;
                assert_close_case(&case, &sum, &plain, Tolerance::of_largest(1e-6));
                // Rounding comes after everything else.
                for dtype in [DType::F16, DType::BF16] {
                    let values = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
                    let rounded = add_low_rank(&weights, &differences, dtype)?;
                    assert_eq!(rounded.dtype(), dtype);
                    assert_eq!(values(&rounded)?, values(&sum.to_dtype(dtype)?)?, "{case} to {dtype:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let weights = numbers((4, 6), 1)?;
        let difference = |up, down| {
            Ok::<_, candle_core::Error>(LowRank { up: numbers(up, 2)?, down: numbers(down, 3)?, scale: 1.0 })
        };
        for one in [difference((4, 2), (3, 6))?, difference((5, 2), (2, 6))?, difference((4, 2), (2, 5))?] {
            assert!(add_low_rank(&weights, &[one], DType::F32).is_err());
        }
        assert!(add_low_rank(&weights, &[], DType::U8).is_err());
        assert!(add_low_rank(&weights.to_dtype(DType::F64)?, &[], DType::F32).is_err());
        Ok(())
    }
}
