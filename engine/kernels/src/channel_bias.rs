//! Adds one row to many, with gradients: biases and time embeddings in training. (candle's own broadcast sums its gradient
//! value by value, which takes a fifth of a training step.)

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::simd::vectorized;
use crate::{cpu_tensor, parallel};

/// `y + bias`, where `y` is (…, O) and `bias` (O), or `y` (B, …, O) and `bias` (B, O). Gradients for both.
pub(crate) fn add(y: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if cpu_tensor::fast(&[y, bias]) == Some(DType::F32) {
        return y.contiguous()?.apply_op2(&bias.contiguous()?, AddChannelBias);
    }
    let between = y.rank().saturating_sub(2);
    let bias =
        if bias.rank() == 2 { (0..between).try_fold(bias.clone(), |bias, _| bias.unsqueeze(1))? } else { bias.clone() };
    y.broadcast_add(&bias)
}

struct AddChannelBias;

/// Rows that share one bias, and the values of a row.
fn sizes(y: &Shape, bias: &Shape) -> Result<(usize, usize)> {
    let (all, columns) = (y.elem_count(), bias.dims().last().copied().unwrap_or(0));
    let suits = y.dims().last() == Some(&columns)
        && columns > 0
        && (bias.rank() == 1 || bias.rank() == 2 && y.dims().first() == bias.dims().first());
    if !suits {
        bail!("a bias {bias:?} does not suit {y:?}");
    }
    Ok((all / bias.elem_count(), columns))
}

impl CustomOp2 for AddChannelBias {
    fn name(&self) -> &'static str {
        "add_channel_bias"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Layout, bias: &CpuStorage, ls: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = sizes(ly.shape(), ls.shape())?;
        let (y, bias) =
            (cpu_tensor::values(y.as_slice::<f32>()?, ly)?, cpu_tensor::values(bias.as_slice::<f32>()?, ls)?);
        let mut out = y.to_vec();
        for (block, bias) in out.chunks_exact_mut(rows * columns).zip(bias.chunks_exact(columns)) {
            add_to_rows(block, bias);
        }
        Ok((CpuStorage::F32(out), ly.shape().clone()))
    }

    fn bwd(&self, y: &Tensor, bias: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        sizes(y.shape(), bias.shape())?;
        Ok((Some(grad.clone()), Some(sum_rows(grad, bias)?)))
    }
}

/// The gradient of a bias (O) or (B, O) that was added to the rows of (B, …, O), whose gradient is `grad`.
pub(crate) fn sum_rows(grad: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (rows, columns) = sizes(grad.shape(), bias.shape())?;
    let sums = cpu_tensor::with::<f32, _>(grad, |dy| {
        let mut sums = vec![0.0f32; bias.elem_count()];
        let target = parallel::Shared::new(&mut sums);
        parallel::for_each(dy.len() / (rows * columns), |block| {
            #[allow(unsafe_code)]
            // SAFETY: every block has a row of its own.
            let sums = unsafe { target.slice(block * columns, columns) };
            add_rows(&dy[block * rows * columns..][..rows * columns], sums);
        });
        Ok(sums)
    })?;
    Tensor::from_vec(sums, bias.shape(), bias.device())
}

vectorized! {
    fn add_to_rows(rows: &mut [f32], bias: &[f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
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
