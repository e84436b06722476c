//! What follows a product value by value: `pointwise.cu`.

use candle_core::{DType, Result, bail};

use super::launch::{Arg, Launch, Module, Operation, blocks, width};
use crate::packed_gemm::Activation;

const THREADS: u32 = 256;

/// `activation(y + bias + channel_bias + residual)`. Inputs: y (rows, columns); where present, bias (columns), channel_bias (rows /
/// `rows_per_sample`, columns) and residual (rows, columns).
pub(crate) struct Finish {
    pub dtype: DType,
    pub rows: usize,
    pub columns: usize,
    pub rows_per_sample: usize,
    /// Any but [`Activation::Geglu`].
    pub activation: Activation,
}

impl Operation for Finish {
    fn launches(&self, inputs: &[u64], _: &[u64], out: u64) -> Result<Vec<Launch>> {
        let &[y, bias, channel_bias, residual] = inputs else { bail!("finish takes four inputs") };
        let width = width(self.dtype, self.columns, &[y, bias, channel_bias, residual, out]);
        let args = vec![
            Arg::Pointer(y),
            Arg::Pointer(bias),
            Arg::Pointer(channel_bias),
            Arg::Pointer(residual),
            Arg::Pointer(out),
            Arg::size(self.rows)?,
            Arg::size(self.columns)?,
            Arg::size(self.rows_per_sample)?,
            Arg::size(number(self.activation)?)?,
        ];
        launch(self.dtype, width, "finish", self.rows * self.columns, args)
    }
}

/// As `pointwise.cu` counts them.
fn number(activation: Activation) -> Result<usize> {
    Ok(match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Silu => 2,
        Activation::QuickGelu => 3,
        Activation::Gelu => 4,
        Activation::Geglu => bail!("finish: a gated activation has half as many results as inputs"),
    })
}

/// `a · GELU(g)`. Inputs: x (rows, 2 · columns), each row a, then g; where present, a bias (2 · columns).
pub(crate) struct Geglu {
    pub dtype: DType,
    pub rows: usize,
    /// Of the result.
    pub columns: usize,
}

impl Operation for Geglu {
    fn launches(&self, inputs: &[u64], _: &[u64], out: u64) -> Result<Vec<Launch>> {
        let &[x, bias] = inputs else { bail!("geglu takes two inputs") };
        let width = width(self.dtype, self.columns, &[x, bias, out]);
        let args = vec![
            Arg::Pointer(x),
            Arg::Pointer(bias),
            Arg::Pointer(out),
            Arg::size(self.rows)?,
            Arg::size(self.columns)?,
        ];
        launch(self.dtype, width, "geglu", self.rows * self.columns, args)
    }
}

/// One kernel of `pointwise.cu` on that many values of the result.
pub(super) fn launch(
    dtype: DType,
    width: usize,
    kernel: &'static str,
    values: usize,
    args: Vec<Arg>,
) -> Result<Vec<Launch>> {
    let module = Module::new("pointwise", include_str!("pointwise.cu"), dtype, width, &[])?;
    // The kernels count accesses.
    Arg::size(values / width)?;
    Ok(vec![Launch::new(module, kernel, (blocks(values / width, THREADS), 1, 1), THREADS, args)?])
}
