//! From one U-Net to two in series that compute the same. Change here what a stacked student starts from.

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;

use crate::parameters::Tensors;

/// Weights of a stacked U-Net of two (`stack.0.*` without its last convolution, `stack.1.*` without its first) that
/// agrees with the single one whose weights these are. Names are those below `unet/`.
///
/// Both halves are copies, except for the last resnet of the first: its second convolution is zero and its shortcut lets
/// the skip pass and drops the rest, so that it hands on what its own `conv_in` has made, which is what the second half
/// was trained to receive. (A transformer that follows it gives zero as well, and so changes nothing.) All of it can
/// learn: the zeros have gradients.
pub fn stacked(single: &Tensors) -> Result<Tensors> {
    let last_block = last_index(single, "up_blocks.").context("a U-Net without up blocks cannot be stacked")?;
    let block = format!("up_blocks.{last_block}.");
    let last_resnet = last_index(single, &format!("{block}resnets.")).context("an up block without resnets")?;
    let resnet = format!("{block}resnets.{last_resnet}.");
    let shortcut_name = format!("{resnet}conv_shortcut.weight");
    let shortcut = single.get(&shortcut_name).with_context(|| format!("the U-Net has no {shortcut_name}"))?;
    let mut zeroed = vec![format!("{resnet}conv2."), format!("{resnet}conv_shortcut.bias")];
    if let Some(last) = last_index(single, &format!("{block}attentions.")) {
        zeroed.push(format!("{block}attentions.{last}.proj_out."));
    }
    let mut both = Tensors::new();
    for (name, tensor) in single {
        if !name.starts_with("conv_norm_out.") && !name.starts_with("conv_out.") {
            let first = if *name == shortcut_name {
                skip_alone(shortcut)?
            } else if zeroed.iter().any(|start| name.starts_with(start)) {
                tensor.zeros_like()?
            } else {
                tensor.clone()
            };
            both.insert(format!("stack.0.{name}"), first);
        }
        if !name.starts_with("conv_in.") {
            both.insert(format!("stack.1.{name}"), tensor.clone());
        }
    }
    Ok(both)
}

/// The 1×1 convolution (O, I, 1, 1) that gives the last O of its I channels: the skip comes after the hidden ones.
fn skip_alone(shortcut: &Tensor) -> Result<Tensor> {
    let (outputs, inputs, ..) = shortcut.dims4()?;
    ensure!(inputs > outputs, "the last resnet has no skip to pass on");
    let hidden = Tensor::zeros((outputs, inputs - outputs), shortcut.dtype(), shortcut.device())?;
    let skip = Tensor::eye(outputs, shortcut.dtype(), shortcut.device())?;
    Ok(Tensor::cat(&[hidden, skip], 1)?.reshape((outputs, inputs, 1, 1))?)
}

/// The largest n of the names `{prefix}{n}.…`.
fn last_index(tensors: &Tensors, prefix: &str) -> Option<usize> {
    tensors.keys().filter_map(|name| name.strip_prefix(prefix)?.split('.').next()?.parse().ok()).max()
}
