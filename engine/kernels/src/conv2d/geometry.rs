//! The sizes of one convolution, and which pixel is multiplied with which position of the kernel.

use candle_core::{Result, Shape, bail};

/// Everything about a convolution but its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub out_channels: usize,
    /// Sides of the kernel.
    pub kernel: (usize, usize),
    pub stride: usize,
    /// Zeros before the first and after the last row and column.
    pub padding: (usize, usize),
    /// Whether each pixel counts four times: nearest-neighbour upsampling by two before the convolution.
    pub upsample: bool,
    pub out_height: usize,
    pub out_width: usize,
}

impl Geometry {
    /// For an image (B, H, W, C) and weights (O, C, kh, kw).
    pub(crate) fn new(
        x: &Shape,
        weight: (usize, usize, usize, usize),
        stride: usize,
        padding: (usize, usize),
        upsample: bool,
    ) -> Result<Self> {
        let (batch, height, width, channels) = x.dims4()?;
        let (out_channels, weight_channels, kh, kw) = weight;
        let scale = if upsample { 2 } else { 1 };
        let padded = |side: usize| scale * side + padding.0 + padding.1;
        if weight_channels != channels || padded(height) < kh || padded(width) < kw || stride == 0 || kh * kw == 0 {
            bail!("conv2d: weights {weight:?} and stride {stride} do not suit an image {x:?}");
        }
        Ok(Self {
            batch,
            height,
            width,
            channels,
            out_channels,
            kernel: (kh, kw),
            stride,
            padding,
            upsample,
            out_height: (padded(height) - kh) / stride + 1,
            out_width: (padded(width) - kw) / stride + 1,
        })
    }

    pub(crate) fn out_shape(&self) -> Shape {
        (self.batch, self.out_height, self.out_width, self.out_channels).into()
    }

    /// Pixels of the result, all samples.
    pub(crate) fn pixels(&self) -> usize {
        self.batch * self.out_height * self.out_width
    }

    /// Places of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Whether every pixel of the result is made of the one at its place.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.stride == 1 && self.padding == (0, 0) && !self.upsample
    }

    /// Sample, row and column of a pixel of the result.
    pub(crate) fn place(&self, pixel: usize) -> (usize, usize, usize) {
        let (line, x) = (pixel / self.out_width, pixel % self.out_width);
        (line / self.out_height, line % self.out_height, x)
    }

    /// Index of the pixel of the image at a row and column of the padded (and upsampled) one; `None` in the padding.
    #[inline(always)]
    pub(crate) fn source(&self, sample: usize, y: usize, x: usize) -> Option<usize> {
        let shift = u32::from(self.upsample);
        let (y, x) = (y.checked_sub(self.padding.0)? >> shift, x.checked_sub(self.padding.0)? >> shift);
        (y < self.height && x < self.width).then(|| (sample * self.height + y) * self.width + x)
    }

    /// Calls `visit(row, tap, pixel of the image)` for `count` pixels of the result from `first` on.
    #[inline(always)]
    pub(crate) fn walk(&self, first: usize, count: usize, mut visit: impl FnMut(usize, usize, Option<usize>)) {
        let (mut sample, mut y, mut x) = self.place(first);
        for row in 0..count {
            for tap in 0..self.taps() {
                let (ky, kx) = (tap / self.kernel.1, tap % self.kernel.1);
                visit(row, tap, self.source(sample, y * self.stride + ky, x * self.stride + kx));
            }
            x += 1;
            if x == self.out_width {
                (x, y) = (0, y + 1);
            }
            if y == self.out_height {
                (y, sample) = (0, sample + 1);
            }
        }
    }
}
