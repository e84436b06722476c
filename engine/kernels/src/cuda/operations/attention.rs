//! Attention without the matrix of all scores: `attention_tensor.cu` for 16-bit values on tensor cores, `attention.cu`
//! for everything else.

use candle_core::{DType, Result, bail};

use super::launch::{Arg, Launch, Module, Operation, width};

/// Of a block, in both files.
const THREADS: u32 = 128;

/// Most columns of a head that one block can keep the sums of; wider heads are cut into [`CHUNK`]s, and each block
/// computes the scores again.
const WIDEST: usize = 160;
const CHUNK: usize = 128;

/// Bytes of shared memory that a kernel can declare.
const SHARED: usize = 48 << 10;

/// Inputs: q (batch, queries, heads · size), k and v (batch, keys, heads · size).
pub(crate) struct Attention {
    pub dtype: DType,
    pub batch: usize,
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
    /// Columns of one head.
    pub size: usize,
    pub scale: f64,
    /// Query i sees keys 0 … i.
    pub causal: bool,
    /// Whether the device multiplies 16-bit matrices: compute capability 8.0 and above.
    pub tensor_cores: bool,
}

/// What a block takes at a time.
struct Tiles {
    queries: usize,
    keys: usize,
    /// Of a head's columns multiplied at a time.
    depth: usize,
    /// Of the result.
    columns: usize,
}

impl Attention {
    fn on_tensor_cores(&self) -> bool {
        self.tensor_cores && self.dtype != DType::F32
    }

    fn tiles(&self) -> Tiles {
        let columns = if self.size <= WIDEST { self.size } else { CHUNK };
        if !self.on_tensor_cores() {
            return Tiles {
                queries: 32,
                keys: 32,
                depth: columns.next_multiple_of(16).min(64),
                columns: columns.next_multiple_of(16),
            };
        }
        let (queries, depth, columns) = (64, columns.next_multiple_of(16), columns.next_multiple_of(8));
        // Rows are padded as in the source.
        let bytes = |keys: usize| 2 * ((queries + keys) * (depth + 8) + keys * (columns + 16));
        Tiles { queries, keys: if bytes(64) <= SHARED { 64 } else { 32 }, depth, columns }
    }
}

impl Operation for Attention {
    fn launches(&self, inputs: &[u64], _: &[u64], out: u64) -> Result<Vec<Launch>> {
        let &[q, k, v] = inputs else { bail!("attention takes three inputs") };
        let tiles = self.tiles();
        let mut defines = vec![("DEPTH", tiles.depth), ("COLUMNS", tiles.columns)];
        let (module, kernel) = if self.on_tensor_cores() {
            defines.push(("KEYS", tiles.keys));
            // A head's first column is a multiple of its size, as are a token's.
            let width = width(self.dtype, self.size, &[q, k, v]);
            let source = include_str!("attention_tensor.cu");
            (Module::new("attention_tensor", source, self.dtype, width, &defines)?, "attention_tensor")
        } else {
            (Module::new("attention", include_str!("attention.cu"), self.dtype, 1, &defines)?, "attention")
        };
        let chunks = self.size.div_ceil(tiles.columns);
        let args = vec![
            Arg::Pointer(q),
            Arg::Pointer(k),
            Arg::Pointer(v),
            Arg::Pointer(out),
            Arg::size(self.queries)?,
            Arg::size(self.keys)?,
            Arg::size(self.heads)?,
            Arg::size(self.size)?,
            Arg::size(chunks)?,
            Arg::Number(self.scale as f32),
            Arg::size(usize::from(self.causal))?,
        ];
        let grid = (self.queries.div_ceil(tiles.queries), self.heads * chunks, self.batch);
        Ok(vec![Launch::new(module, kernel, grid, THREADS, args)?])
    }
}
