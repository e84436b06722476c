//! The copy before some convolutions by cuDNN: `spread` in `pointwise.cu`.

use candle_core::{DType, Result, bail};

use super::launch::{Arg, Launch, Operation, width};
use super::pointwise;
use crate::conv2d::Geometry;

/// The image of a convolution that cuDNN cannot take as it is: upsampled by two, and with zeros after its last row and
/// column where there are more of them than before the first. Input: x (B, H, W, C).
pub(crate) struct Spread<'a> {
    pub dtype: DType,
    pub geometry: &'a Geometry,
}

impl Spread<'_> {
    /// Height and width of the result.
    pub(crate) fn size(&self) -> (usize, usize) {
        let g = self.geometry;
        let side = |side: usize| (side << usize::from(g.upsample)) + g.padding.1.saturating_sub(g.padding.0);
        (side(g.height), side(g.width))
    }
}

impl Operation for Spread<'_> {
    fn launches(&self, inputs: &[u64], _: &[u64], out: u64) -> Result<Vec<Launch>> {
        let &[x] = inputs else { bail!("spread takes one input") };
        let (g, (height, wide)) = (self.geometry, self.size());
        let pixels = g.batch * height * wide;
        let args = vec![
            Arg::Pointer(x),
            Arg::Pointer(out),
            Arg::size(pixels)?,
            Arg::size(g.height)?,
            Arg::size(g.width)?,
            Arg::size(g.channels)?,
            Arg::size(height)?,
            Arg::size(wide)?,
            Arg::size(usize::from(g.upsample))?,
        ];
        pointwise::launch(self.dtype, width(self.dtype, g.channels, &[x, out]), "spread", pixels * g.channels, args)
    }
}
