//! Group normalisation and layer normalisation: `norms.cu`.

use candle_core::{DType, Result, bail};

use super::launch::{Arg, Launch, Module, Operation, blocks, width};

/// Of a block of `group_norm_sums` and `group_norm_apply`; THREADS in `norms.cu`.
const THREADS: u32 = 256;

/// Threads of a warp.
const WARP: u32 = 32;

/// Most blocks that share one sample's sums: above it they gain nothing, and step 2 has more to add.
const MOST_BLOCKS: usize = 512;

/// Bytes of shared memory that every device has for a block.
const SHARED: usize = 48 << 10;

/// Group normalisation, then SiLU where asked. Inputs: x (samples, pixels, channels), weight and bias (channels).
pub(crate) struct GroupNorm {
    pub dtype: DType,
    pub samples: usize,
    /// Of one sample.
    pub pixels: usize,
    pub channels: usize,
    pub groups: usize,
    pub eps: f64,
    pub silu: bool,
}

impl GroupNorm {
    /// Whether a block has room for all channels.
    pub(crate) fn fits(&self) -> bool {
        self.shared(16 / self.dtype.size_in_bytes()) <= SHARED
    }

    /// Bytes of step 1: THREADS · width sums and as many of squares, then two values for each channel.
    fn shared(&self, width: usize) -> usize {
        (2 * THREADS as usize * width + 2 * self.channels) * size_of::<f32>()
    }

    /// Blocks of a sample in step 1, and pixels of a block: four accesses of every thread.
    fn split(&self) -> (usize, usize) {
        let block = 4 * THREADS as usize * 16 / self.dtype.size_in_bytes();
        let wanted = (self.pixels * self.channels / block).clamp(1, MOST_BLOCKS);
        let pixels = self.pixels.div_ceil(wanted);
        (self.pixels.div_ceil(pixels), pixels)
    }

    fn module(&self, width: usize) -> Result<Module> {
        module(self.dtype, width)
    }
}

impl Operation for GroupNorm {
    fn scratch(&self) -> Vec<usize> {
        let (blocks, _) = self.split();
        vec![self.samples * blocks * self.groups * 2, self.samples * 2 * self.channels]
    }

    fn launches(&self, inputs: &[u64], scratch: &[u64], out: u64) -> Result<Vec<Launch>> {
        let (&[x, weight, bias], &[partials, scales]) = (inputs, scratch) else {
            bail!("group_norm takes three inputs and two scratch buffers")
        };
        let (parts, block_pixels) = self.split();
        let width = width(self.dtype, self.channels, &[x, bias, out]);
        let (pixels, channels, groups) = (Arg::size(self.pixels)?, Arg::size(self.channels)?, Arg::size(self.groups)?);
        let accesses = self.pixels * self.channels / width;
        Arg::size(accesses)?;

        let args = vec![Arg::Pointer(x), Arg::Pointer(partials), pixels, channels, groups, Arg::size(block_pixels)?];
        let grid = (parts, self.samples, 1);
        let mut sums = Launch::new(self.module(width)?, "group_norm_sums", grid, THREADS, args)?;
        sums.shared = self.shared(width) as u32;

        let args = vec![
            Arg::Pointer(partials),
            Arg::Pointer(weight),
            Arg::Pointer(scales),
            Arg::size(parts)?,
            Arg::size(block_pixels)?,
            pixels,
            channels,
            groups,
            Arg::Number(self.eps as f32),
        ];
        let grid = (self.groups, self.samples, 1);
        let step = Launch::new(self.module(width)?, "group_norm_scales", grid, WARP, args)?;

        let silu = Arg::size(usize::from(self.silu))?;
        let args =
            vec![Arg::Pointer(x), Arg::Pointer(scales), Arg::Pointer(bias), Arg::Pointer(out), pixels, channels, silu];
        let grid = (blocks(accesses, THREADS), self.samples, 1);
        let apply = Launch::new(self.module(width)?, "group_norm_apply", grid, THREADS, args)?;
        Ok(vec![sums, step, apply])
    }
}

/// Layer normalisation. Inputs: x (rows, size), weight and bias (size).
pub(crate) struct LayerNorm {
    pub dtype: DType,
    pub rows: usize,
    pub size: usize,
    pub eps: f64,
}

impl Operation for LayerNorm {
    fn launches(&self, inputs: &[u64], _: &[u64], out: u64) -> Result<Vec<Launch>> {
        /// Rows of a block, a warp each.
        const ROWS: u32 = 4;
        let &[x, weight, bias] = inputs else { bail!("layer_norm takes three inputs") };
        let args = vec![
            Arg::Pointer(x),
            Arg::Pointer(weight),
            Arg::Pointer(bias),
            Arg::Pointer(out),
            Arg::size(self.rows)?,
            Arg::size(self.size)?,
            Arg::Number(self.eps as f32),
        ];
        let module = module(self.dtype, width(self.dtype, self.size, &[x, weight, bias, out]))?;
        let grid = (self.rows.div_ceil(ROWS as usize), 1, 1);
        Ok(vec![Launch::new(module, "layer_norm", grid, ROWS * WARP, args)?])
    }
}

fn module(dtype: DType, width: usize) -> Result<Module> {
    Module::new("norms", include_str!("norms.cu"), dtype, width, &[])
}
