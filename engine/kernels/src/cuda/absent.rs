//! Stands in for the operations on a GPU if the feature `cuda` is off: nothing fits, so nothing is called. Signatures
//! follow `layers.rs` and `epilogue.rs`.

use candle_core::{Result, Tensor, bail};

use crate::conv2d::Geometry;
use crate::fused_ops::FusedOps;

const MESSAGE: &str = "this build does not support CUDA: build with `--features cuda`";

pub(crate) fn fit(_: &[&Tensor]) -> bool {
    false
}

pub(crate) fn group_norm(_: &Tensor, _: &Tensor, _: &Tensor, _: usize, _: f64, _: bool) -> Result<Tensor> {
    bail!("{MESSAGE}")
}

pub(crate) fn layer_norm(_: &Tensor, _: &Tensor, _: &Tensor, _: f64) -> Result<Tensor> {
    bail!("{MESSAGE}")
}

pub(crate) fn geglu(_: &Tensor) -> Result<Tensor> {
    bail!("{MESSAGE}")
}

pub(crate) fn attention(_: &Tensor, _: &Tensor, _: &Tensor, _: usize, _: f64, _: bool) -> Result<Tensor> {
    bail!("{MESSAGE}")
}

pub(crate) fn linear(_: &Tensor, _: &Tensor, _: Option<&Tensor>, _: &FusedOps<'_>) -> Result<Tensor> {
    bail!("{MESSAGE}")
}

pub(crate) fn rows_of_channels(_: &Tensor) -> Result<Tensor> {
    bail!("{MESSAGE}")
}

pub(crate) fn conv2d(_: &Geometry, _: &Tensor, _: &Tensor, _: Option<&Tensor>, _: &FusedOps<'_>) -> Result<Tensor> {
    bail!("{MESSAGE}")
}
