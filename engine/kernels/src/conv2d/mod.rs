//! 2-D convolution, in one of two ways: directly (`direct`), or on matrix products, where patches of the image are laid
//! out as columns ("im2col"), tile by tile so that a tile stays in the cache, and multiplied by the weights as one
//! matrix.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

mod direct;

use crate::gemm::{Matrix, gemm};
use crate::{host, parallel, reference};
use direct::Direct;

/// Columns per tile: few enough that a tile of patches stays in the second-level cache, enough for the product to run
/// at speed.
const TILE: usize = 768;

/// Cross-correlation as in the field's "conv2d", with dilation and groups of one.
///
/// `x` (B, C, H, W), `weight` (O, C, kh, kw), `bias` (O); gives (B, O, H', W') with `H' = (H + 2·padding − kh) / stride
/// + 1`. Gradients for all three.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize, padding: usize) -> Result<Tensor> {
    if !host::is_fast(&[x, weight]) {
        return reference::conv2d(x, weight, bias, stride, padding);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let op = Conv2d { stride, padding };
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

struct Conv2d {
    stride: usize,
    padding: usize,
}

/// The sizes of one convolution.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    out_channels: usize,
    kernel: (usize, usize),
    stride: usize,
    padding: usize,
    out_height: usize,
    out_width: usize,
}

/// Some rows of the output of some samples: either whole samples, or rows of one.
#[derive(Clone)]
struct Tile {
    samples: Range<usize>,
    rows: Range<usize>,
}

impl Conv2d {
    fn geometry(&self, x: &Shape, weight: &Shape) -> Result<Geometry> {
        let (batch, channels, height, width) = x.dims4()?;
        let (out_channels, weight_channels, kh, kw) = weight.dims4()?;
        let (padded_height, padded_width) = (height + 2 * self.padding, width + 2 * self.padding);
        if weight_channels != channels || padded_height < kh || padded_width < kw || self.stride == 0 {
            bail!("conv2d: weights {weight:?} and stride {} do not suit an image {x:?}", self.stride);
        }
        Ok(Geometry {
            batch,
            channels,
            height,
            width,
            out_channels,
            kernel: (kh, kw),
            stride: self.stride,
            padding: self.padding,
            out_height: (padded_height - kh) / self.stride + 1,
            out_width: (padded_width - kw) / self.stride + 1,
        })
    }

    fn gradients(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = self.geometry(x.shape(), weight.shape())?;
        host::with_values(grad, |dy| {
            let dx = if x.track_op() {
                let dx = host::with_values(weight, |w| Ok(g.input_gradient(w, dy)))?;
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let dw = host::with_values(x, |x| Ok(g.weight_gradient(x, dy)))?;
                Some(Tensor::from_vec(dw, weight.shape(), weight.device())?)
            } else {
                None
            };
            Ok((dx, dw))
        })
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d-gemm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(lx.shape(), lw.shape())?;
        Ok((CpuStorage::F32(g.forward(host::values(x, lx)?, host::values(w, lw)?, None)), g.out_shape()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, grad)
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d-gemm-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(lx.shape(), lw.shape())?;
        let bias = host::values(bias, lb)?;
        if bias.len() != g.out_channels {
            bail!("conv2d: {} biases for {} output channels", bias.len(), g.out_channels);
        }
        Ok((CpuStorage::F32(g.forward(host::values(x, lx)?, host::values(w, lw)?, Some(bias))), g.out_shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, w, grad)?;
        let db = grad.flatten_from(2)?.sum(2)?.sum(0)?;
        Ok((dx, dw, Some(db)))
    }
}

impl Geometry {
    /// The way without patches, where it suits: rows must be so long that little is lost in the border columns, which it
    /// computes along.
    fn direct(&self) -> Option<Direct> {
        let suits = self.stride == 1
            && self.kernel.0 == self.kernel.1
            && self.kernel.0 > 1
            && self.padding < self.kernel.0
            && self.out_width >= 8;
        suits.then_some(Direct {
            batch: self.batch,
            channels: self.channels,
            height: self.height,
            width: self.width,
            out_channels: self.out_channels,
            kernel: self.kernel,
            padding: self.padding,
        })
    }

    fn out_shape(&self) -> Shape {
        (self.batch, self.out_channels, self.out_height, self.out_width).into()
    }

    /// Length of one patch: rows of the column matrix.
    fn patch(&self) -> usize {
        self.channels * self.kernel.0 * self.kernel.1
    }

    /// Pixels of one output plane.
    fn plane(&self) -> usize {
        self.out_height * self.out_width
    }

    /// A 1×1 convolution's columns are the image itself.
    fn is_pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.stride == 1 && self.padding == 0
    }

    /// Cuts the output into tiles of about `TILE` columns.
    fn tiles(&self, samples: Range<usize>) -> Vec<Tile> {
        let share = (samples.len() * self.plane()).div_ceil(parallel::threads());
        let columns = TILE.min(share.max(64));
        if self.plane() <= columns {
            let per_tile = (columns / self.plane()).max(1);
            return samples
                .clone()
                .step_by(per_tile)
                .map(|first| Tile { samples: first..(first + per_tile).min(samples.end), rows: 0..self.out_height })
                .collect();
        }
        let per_tile = (columns / self.out_width).max(1);
        samples
            .flat_map(|sample| {
                (0..self.out_height).step_by(per_tile).map(move |first| Tile {
                    samples: sample..sample + 1,
                    rows: first..(first + per_tile).min(self.out_height),
                })
            })
            .collect()
    }

    fn columns(&self, tile: &Tile) -> usize {
        tile.samples.len() * tile.rows.len() * self.out_width
    }

    /// Calls `visit(kernel column, offset in the column matrix, offset of the source row or none)`: the walk
    /// that laying out patches and adding them back have in common.
    #[inline(always)]
    fn walk(&self, tile: &Tile, mut visit: impl FnMut(usize, usize, Option<usize>)) {
        let (kh, kw) = self.kernel;
        let columns = self.columns(tile);
        for c in 0..self.channels {
            for ky in 0..kh {
                for kx in 0..kw {
                    let patch_row = ((c * kh + ky) * kw + kx) * columns;
                    let mut at = patch_row;
                    for sample in tile.samples.clone() {
                        for y in tile.rows.clone() {
                            let source = (y * self.stride + ky)
                                .checked_sub(self.padding)
                                .filter(|y| *y < self.height)
                                .map(|y| ((sample * self.channels + c) * self.height + y) * self.width);
                            visit(kx, at, source);
                            at += self.out_width;
                        }
                    }
                }
            }
        }
    }

    /// The output columns `from..to` whose source column `x · stride + kx − padding` lies inside the image.
    fn inside(&self, kx: usize) -> (usize, usize) {
        let from = self.padding.saturating_sub(kx).div_ceil(self.stride).min(self.out_width);
        let to = match (self.width + self.padding).checked_sub(kx + 1) {
            Some(last) => (last / self.stride + 1).min(self.out_width),
            None => 0,
        };
        (from, to.max(from))
    }

    /// Lays out the patches of a tile as columns: (patch, columns).
    fn lay_out(&self, x: &[f32], tile: &Tile, columns: &mut [f32]) {
        self.walk(tile, |kx, at, source| {
            let row = &mut columns[at..at + self.out_width];
            let Some(source) = source else {
                row.fill(0.0);
                return;
            };
            let (from, to) = self.inside(kx);
            row[..from].fill(0.0);
            row[to..].fill(0.0);
            if from == to {
                return;
            }
            let first = source + from * self.stride + kx - self.padding;
            if self.stride == 1 {
                row[from..to].copy_from_slice(&x[first..first + to - from]);
            } else {
                let values = x[first..source + self.width].iter().step_by(self.stride);
                row[from..to].iter_mut().zip(values).for_each(|(out, value)| *out = *value);
            }
        });
    }

    /// Adds the columns of a tile back onto the image they were laid out from. `x` starts at sample `origin`.
    fn add_back(&self, columns: &[f32], tile: &Tile, origin: usize, x: &mut [f32]) {
        let skipped = origin * self.channels * self.height * self.width;
        self.walk(tile, |kx, at, source| {
            let Some(source) = source else { return };
            let (from, to) = self.inside(kx);
            if from == to {
                return;
            }
            let source = source - skipped;
            let first = source + from * self.stride + kx - self.padding;
            let row = &columns[at + from..at + to];
            if self.stride == 1 {
                x[first..first + row.len()].iter_mut().zip(row).for_each(|(out, value)| *out += value);
            } else {
                let targets = x[first..source + self.width].iter_mut().step_by(self.stride);
                targets.zip(row).for_each(|(out, value)| *out += value);
            }
        });
    }

    /// Where the rows of a tile lie in an output-shaped buffer: (offset there, columns before it in the tile, length),
    /// for one output channel.
    fn runs(&self, tile: &Tile, channel: usize) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (plane, out_channels) = (self.plane(), self.out_channels);
        let (first, len) = (tile.rows.start * self.out_width, tile.rows.len() * self.out_width);
        tile.samples
            .clone()
            .enumerate()
            .map(move |(index, sample)| ((sample * out_channels + channel) * plane + first, index * len, len))
    }

    /// The output gradient of a tile as a matrix (out_channels, columns).
    fn gather(&self, dy: &[f32], tile: &Tile, out: &mut [f32]) {
        let columns = self.columns(tile);
        for channel in 0..self.out_channels {
            for (from, at, len) in self.runs(tile, channel) {
                out[channel * columns + at..][..len].copy_from_slice(&dy[from..from + len]);
            }
        }
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        if let Some(direct) = self.direct() {
            return direct.forward(x, weight, bias);
        }
        let patch = self.patch();
        let mut out = vec![0.0f32; self.batch * self.out_channels * self.plane()];
        let target = parallel::Shared::new(&mut out);
        let tiles = self.tiles(0..self.batch);
        // Small images give fewer tiles than there are cores: then the output channels are shared out as well.
        let parts = parallel::threads().div_ceil(tiles.len().max(1)).min(self.out_channels);
        let per_part = self.out_channels.div_ceil(parts.max(1));
        parallel::for_each(tiles.len() * parts, |task| {
            let (tile, part) = (&tiles[task / parts], task % parts);
            let channels = part * per_part..((part + 1) * per_part).min(self.out_channels);
            if channels.is_empty() {
                return;
            }
            let columns = self.columns(tile);
            let mut patches = Vec::new();
            let direct = self.is_pointwise() && tile.samples.len() == 1;
            let right = if direct {
                let from = tile.samples.start * self.channels * self.plane() + tile.rows.start * self.width;
                Matrix { data: &x[from..], row: self.plane(), col: 1 }
            } else {
                patches.resize(patch * columns, 0.0);
                self.lay_out(x, tile, &mut patches);
                Matrix::rows(&patches, columns)
            };
            let left = Matrix::rows(&weight[channels.start * patch..], patch);
            let mut product = vec![0.0f32; channels.len() * columns];
            gemm((channels.len(), columns, patch), &mut product, columns, false, 1.0, left, right);
            for (row, channel) in product.chunks_exact(columns).zip(channels) {
                let bias = bias.map_or(0.0, |bias| bias[channel]);
                for (to, at, len) in self.runs(tile, channel) {
                    #[allow(unsafe_code)]
                    // SAFETY: tiles and channel parts do not overlap.
                    let out = unsafe { target.slice(to, len) };
                    out.iter_mut().zip(&row[at..at + len]).for_each(|(out, value)| *out = value + bias);
                }
            }
        });
        out
    }

    fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        if let Some(direct) = self.direct() {
            return direct.weight_gradient(x, dy);
        }
        let patch = self.patch();
        let tiles = self.tiles(0..self.batch);
        parallel::sum_over(tiles.len(), self.out_channels * patch, |index, sum| {
            let tile = &tiles[index];
            let columns = self.columns(tile);
            let mut patches = vec![0.0f32; patch * columns];
            self.lay_out(x, tile, &mut patches);
            let mut grad = vec![0.0f32; self.out_channels * columns];
            self.gather(dy, tile, &mut grad);
            let (left, right) = (Matrix::rows(&grad, columns), Matrix::rows(&patches, columns).transposed());
            gemm((self.out_channels, patch, columns), sum, patch, true, 1.0, left, right);
        })
    }

    fn input_gradient(&self, weight: &[f32], dy: &[f32]) -> Vec<f32> {
        if let Some(direct) = self.direct() {
            return direct.input_gradient(weight, dy);
        }
        let patch = self.patch();
        let sample_len = self.channels * self.height * self.width;
        let mut dx = vec![0.0f32; self.batch * sample_len];
        let target = parallel::Shared::new(&mut dx);
        // Patches overlap inside a sample, so one task takes whole samples.
        let per_task = (TILE / self.plane()).clamp(1, self.batch.div_ceil(parallel::threads()).max(1));
        parallel::for_each(self.batch.div_ceil(per_task), |task| {
            let samples = task * per_task..((task + 1) * per_task).min(self.batch);
            #[allow(unsafe_code)]
            // SAFETY: every sample belongs to one task.
            let dx = unsafe { target.slice(samples.start * sample_len, samples.len() * sample_len) };
            for tile in self.tiles(samples.clone()) {
                let columns = self.columns(&tile);
                let mut grad = vec![0.0f32; self.out_channels * columns];
                self.gather(dy, &tile, &mut grad);
                let mut patches = vec![0.0f32; patch * columns];
                let (left, right) = (Matrix::rows(weight, patch).transposed(), Matrix::rows(&grad, columns));
                gemm((patch, columns, self.out_channels), &mut patches, columns, false, 1.0, left, right);
                self.add_back(&patches, &tile, samples.start, dx);
            }
        });
        dx
    }
}
