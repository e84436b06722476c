//! Adding one row to many: biases and time embeddings where a gradient is asked for. (candle's own broadcast sums its
//! gradient value by value, a fifth of a training step.)

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::simd::vectorized;
use crate::{host, parallel};

/// `y + shift`, where `y` is (…, O) and `shift` (O), or `y` (B, …, O) and `shift` (B, O). Gradients for both.
pub(crate) fn add(y: &Tensor, shift: &Tensor) -> Result<Tensor> {
    if host::fast(&[y, shift]) == Some(DType::F32) {
        return y.contiguous()?.apply_op2(&shift.contiguous()?, AddShift);
    }
    let between = y.rank().saturating_sub(2);
    let shift = if shift.rank() == 2 {
        (0..between).try_fold(shift.clone(), |shift, _| shift.unsqueeze(1))?
    } else {
        shift.clone()
    };
    y.broadcast_add(&shift)
}

struct AddShift;

/// Rows that share one shift, and the values of a row.
fn sizes(y: &Shape, shift: &Shape) -> Result<(usize, usize)> {
    let (all, columns) = (y.elem_count(), shift.dims().last().copied().unwrap_or(0));
    let suits = y.dims().last() == Some(&columns)
        && columns > 0
        && (shift.rank() == 1 || shift.rank() == 2 && y.dims().first() == shift.dims().first());
    if !suits {
        bail!("a shift {shift:?} does not suit {y:?}");
    }
    Ok((all / shift.elem_count(), columns))
}

impl CustomOp2 for AddShift {
    fn name(&self) -> &'static str {
        "add_shift"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Layout, shift: &CpuStorage, ls: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = sizes(ly.shape(), ls.shape())?;
        let (y, shift) = (host::values(y.as_slice::<f32>()?, ly)?, host::values(shift.as_slice::<f32>()?, ls)?);
        let mut out = y.to_vec();
        for (block, shift) in out.chunks_exact_mut(rows * columns).zip(shift.chunks_exact(columns)) {
            add_to_rows(block, shift);
        }
        Ok((CpuStorage::F32(out), ly.shape().clone()))
    }

    fn bwd(&self, y: &Tensor, shift: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        sizes(y.shape(), shift.shape())?;
        Ok((Some(grad.clone()), Some(sum_rows(grad, shift)?)))
    }
}

/// The gradient of a shift (O) or (B, O) that was added to the rows of (B, …, O), whose gradient is `grad`.
pub(crate) fn sum_rows(grad: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let (rows, columns) = sizes(grad.shape(), shift.shape())?;
    let sums = host::with::<f32, _>(grad, |dy| {
        let mut sums = vec![0.0f32; shift.elem_count()];
        let target = parallel::Shared::new(&mut sums);
        parallel::for_each(dy.len() / (rows * columns), |block| {
            #[allow(unsafe_code)]
            // SAFETY: every block has a row of its own.
            let sums = unsafe { target.slice(block * columns, columns) };
            add_rows(&dy[block * rows * columns..][..rows * columns], sums);
        });
        Ok(sums)
    })?;
    Tensor::from_vec(sums, shift.shape(), shift.device())
}

vectorized! {
    fn add_to_rows(rows: &mut [f32], shift: &[f32]) {
        for row in rows.chunks_exact_mut(shift.len()) {
            for (value, shift) in row.iter_mut().zip(shift) {
                *value += shift;
            }
        }
    }
}

vectorized! {
    fn add_rows(rows: &[f32], sums: &mut [f32]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}
