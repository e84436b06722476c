//! Nearest-neighbour upsampling by two.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::{host, parallel, reference};

/// Each pixel four times: (B, C, H, W) to (B, C, 2H, 2W).
pub fn upsample_nearest2x(x: &Tensor) -> Result<Tensor> {
    if host::is_fast(&[x]) { x.contiguous()?.apply_op1(Upsample) } else { reference::upsample_nearest2x(x) }
}

struct Upsample;

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "upsample-nearest2x"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = host::values(storage, layout)?;
        let (b, c, h, w) = layout.shape().dims4()?;
        let mut out = vec![0.0f32; 4 * x.len()];
        let target = parallel::Shared::new(&mut out);
        parallel::for_each(b * c, |plane| {
            #[allow(unsafe_code)]
            // SAFETY: every plane is written by one task.
            let plane_out = unsafe { target.slice(plane * 4 * h * w, 4 * h * w) };
            for (row, rows_out) in x[plane * h * w..][..h * w].chunks_exact(w).zip(plane_out.chunks_exact_mut(4 * w)) {
                let (first, second) = rows_out.split_at_mut(2 * w);
                for (value, pair) in row.iter().zip(first.chunks_exact_mut(2)) {
                    pair.fill(*value);
                }
                second.copy_from_slice(first);
            }
        });
        Ok((CpuStorage::F32(out), (b, c, 2 * h, 2 * w).into()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (b, c, h, w) = x.dims4()?;
        let dx = host::with_values(grad, |grad| {
            let mut dx = vec![0.0f32; b * c * h * w];
            for (rows, out) in grad.chunks_exact(4 * w).zip(dx.chunks_exact_mut(w)) {
                let (first, second) = rows.split_at(2 * w);
                for ((a, b), out) in first.chunks_exact(2).zip(second.chunks_exact(2)).zip(out) {
                    *out = a[0] + a[1] + b[0] + b[1];
                }
            }
            Ok(dx)
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}
