//! One run of one kernel as plain data: the device sends it off, the tests run it on the processor.

use candle_core::{DType, Result, bail};

/// An operation made of kernels. Pointers are those of contiguous tensors.
pub(crate) trait Operation {
    /// How many f32 values of each scratch buffer it needs.
    fn scratch(&self) -> Vec<usize> {
        Vec::new()
    }

    /// The kernels to run, in order, on inputs (0 for one that is absent), scratch buffers and the result.
    fn launches(&self, inputs: &[u64], scratch: &[u64], out: u64) -> Result<Vec<Launch>>;
}

/// A kernel with everything that it is started with.
#[derive(Debug)]
pub(crate) struct Launch {
    pub module: Module,
    pub kernel: &'static str,
    /// Blocks in each direction.
    pub grid: [u32; 3],
    /// Threads of a block, in one direction.
    pub threads: u32,
    /// Bytes of shared memory that the kernel does not declare itself.
    pub shared: u32,
    pub args: Vec<Arg>,
}

impl Launch {
    pub(crate) fn new(
        module: Module,
        kernel: &'static str,
        (x, y, z): (usize, usize, usize),
        threads: u32,
        args: Vec<Arg>,
    ) -> Result<Self> {
        // What a grid can have: CUDA C++ Programming Guide, technical specifications per compute capability.
        if x > i32::MAX as usize || y > 65_535 || z > 65_535 {
            bail!("{kernel}: {x} × {y} × {z} blocks are more than one kernel can have: draw fewer or smaller pictures");
        }
        Ok(Self { module, kernel, grid: [x as u32, y as u32, z as u32], threads, shared: 0, args })
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    /// To memory of the device.
    Pointer(u64),
    Size(u32),
    Number(f32),
}

impl Arg {
    /// A number of things, as the kernels count.
    pub(crate) fn size(count: usize) -> Result<Self> {
        match u32::try_from(count) {
            Ok(count) if count < 1 << 31 => Ok(Self::Size(count)),
            _ => bail!("{count} values in a row are more than a kernel counts: draw fewer or smaller pictures"),
        }
    }
}

/// A source file, compiled for one type and, where it pays, one size.
#[derive(Debug)]
pub(crate) struct Module {
    /// Of the file and what is defined: equal keys, equal programs.
    pub key: String,
    /// What is defined before the first line, by name.
    pub defines: Vec<(&'static str, usize)>,
    source: &'static str,
}

/// Stands before every source.
const PRELUDE: &str = include_str!("numbers.cuh");

impl Module {
    /// `width`: how many values one access moves, see [`width`].
    pub(crate) fn new(
        name: &str,
        source: &'static str,
        dtype: DType,
        width: usize,
        more: &[(&'static str, usize)],
    ) -> Result<Self> {
        let element = match dtype {
            DType::F32 => 0,
            DType::F16 => 1,
            DType::BF16 => 2,
            other => bail!("the kernels for CUDA take f32, f16 and bf16, not {other:?}"),
        };
        let mut defines = vec![("ELEMENT", element), ("WIDTH", width)];
        defines.extend_from_slice(more);
        let values: Vec<String> = defines.iter().map(|(_, value)| value.to_string()).collect();
        Ok(Self { key: format!("{name}_{}", values.join("_")), defines, source })
    }

    /// The whole program.
    pub(crate) fn text(&self) -> String {
        format!("{PRELUDE}\n{}", self.source)
    }
}

/// How many values one access moves: 16 bytes of them where rows of `columns` values and all pointers allow it, else one.
pub(crate) fn width(dtype: DType, columns: usize, pointers: &[u64]) -> usize {
    let width = 16 / dtype.size_in_bytes();
    let aligned = columns.is_multiple_of(width) && pointers.iter().all(|pointer| pointer.is_multiple_of(16));
    if aligned { width } else { 1 }
}

/// Blocks of `threads` for that many values, where every thread goes on with its next value when it is done.
pub(crate) fn blocks(values: usize, threads: u32) -> usize {
    values.div_ceil(threads as usize).clamp(1, 1 << 16)
}
