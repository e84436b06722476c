//! U-Nets in CompVis' form: numbered blocks, whose places follow from which of them change the size of the picture. So it
//! does not matter how many blocks a level has, and whether the numbers have gaps, as those of small U-Nets do.

use std::collections::{BTreeMap, BTreeSet};

use super::Table;
use crate::checkpoint::kind::UNET_PREFIXES;
use crate::checkpoint::tensors::{Stored, Tensors};

/// Where a numbered block is among Diffusers' levels.
#[derive(Clone, Copy)]
enum Place {
    /// The first convolution.
    First,
    /// A residual block, perhaps with an attention and, on the way up, the convolution after enlarging.
    Block { level: usize, layer: usize },
    /// The change of size alone.
    Resize { level: usize },
}

/// The U-Net's tensors under Diffusers' names; empty if there is none in the file. The error is a sentence whose subject,
/// the file, is left out.
pub(super) fn table(all: &Tensors, ema: bool) -> Result<Table, String> {
    let Some(prefix) = prefix(all) else {
        return if ema { Err("has no averaged weights (model_ema.*)".into()) } else { Ok(diffusers(all)) };
    };
    let plain: BTreeMap<&str, &Stored> =
        all.iter().filter_map(|(name, stored)| Some((name.strip_prefix(prefix)?, stored))).collect();
    let names: BTreeSet<&str> = plain.keys().copied().collect();
    let places = Places::of(&names);
    let mut table = Table::new();
    for (name, stored) in plain {
        let Some(new) = places.rename(name) else { continue };
        let stored = if ema {
            // What follows "model." of the plain name, without its dots.
            let averaged =
                format!("model_ema.{}", format!("{prefix}{name}").trim_start_matches("model.").replace('.', ""));
            let found = all.get(&averaged).filter(|averaged| averaged.shape == stored.shape);
            found.ok_or_else(|| format!("has no averaged weights for {name}: leave out the averaged weights"))?
        } else {
            stored
        };
        table.insert(new, scaled(all, prefix, name, stored.clone())?);
    }
    Ok(table)
}

/// The tensor with its factor, if its numbers are too narrow: ComfyUI writes it beside the weight.
fn scaled(all: &Tensors, prefix: &str, name: &str, mut stored: Stored) -> Result<Stored, String> {
    let Some(layer) = name.strip_suffix(".weight") else { return Ok(stored) };
    let factor = ["scale_weight", "weight_scale"].iter().find_map(|key| all.get(&format!("{prefix}{layer}.{key}")));
    let Some(factor) = factor else { return Ok(stored) };
    match all.values(factor).as_deref() {
        Some(&[scale]) if scale.is_finite() => {
            stored.scale = Some(scale);
            Ok(stored)
        }
        _ => Err(format!("has a factor for {name} that is not one number, which is not supported")),
    }
}

fn prefix(all: &Tensors) -> Option<&'static str> {
    UNET_PREFIXES.into_iter().find(|prefix| all.get(&format!("{prefix}input_blocks.0.0.weight")).is_some())
}

/// A U-Net that has Diffusers' names already.
fn diffusers(all: &Tensors) -> Table {
    if all.get("conv_in.weight").is_none() || all.get("time_embedding.linear_1.weight").is_none() {
        return Table::new();
    }
    all.iter().map(|(name, stored)| (name.to_owned(), stored.clone())).collect()
}

/// The places of all numbered blocks.
struct Places {
    input: BTreeMap<usize, Place>,
    output: BTreeMap<usize, Place>,
    /// Parts of the middle block that are residual blocks.
    middle: BTreeMap<usize, usize>,
}

impl Places {
    fn of(names: &BTreeSet<&str>) -> Self {
        let begins = |start: &str| names.range(start..).next().is_some_and(|name| name.starts_with(start));
        let numbers = |list: &str| -> BTreeSet<usize> {
            names.iter().filter_map(|name| name.strip_prefix(list)?.split('.').next()?.parse().ok()).collect()
        };
        let mut input = BTreeMap::from([(0, Place::First)]);
        let (mut level, mut layer) = (0, 0);
        for n in numbers("input_blocks.").into_iter().filter(|n| *n > 0) {
            let resizes = begins(&format!("input_blocks.{n}.0.op."));
            input.insert(n, if resizes { Place::Resize { level } } else { Place::Block { level, layer } });
            (level, layer) = if resizes { (level + 1, 0) } else { (level, layer + 1) };
        }
        let mut output = BTreeMap::new();
        (level, layer) = (0, 0);
        for n in numbers("output_blocks.") {
            let has_block = begins(&format!("output_blocks.{n}.0."));
            output.insert(n, if has_block { Place::Block { level, layer } } else { Place::Resize { level } });
            let resizes = (0..3).any(|part| begins(&format!("output_blocks.{n}.{part}.conv.")));
            (level, layer) = if resizes { (level + 1, 0) } else { (level, layer + usize::from(has_block)) };
        }
        let blocks = numbers("middle_block.").into_iter().filter(|n| begins(&format!("middle_block.{n}.in_layers.")));
        Self { input, output, middle: blocks.enumerate().map(|(index, n)| (n, index)).collect() }
    }

    /// Diffusers' name; `None` for what is no part of a U-Net.
    fn rename(&self, name: &str) -> Option<String> {
        let fixed = [
            ("time_embed.0.", "time_embedding.linear_1."),
            ("time_embed.2.", "time_embedding.linear_2."),
            ("out.0.", "conv_norm_out."),
            ("out.2.", "conv_out."),
        ];
        if let Some((new, rest)) = fixed.iter().find_map(|(old, new)| Some((new, name.strip_prefix(old)?))) {
            return Some(format!("{new}{rest}"));
        }
        if let Some(rest) = name.strip_prefix("middle_block.") {
            let (n, rest) = rest.split_once('.')?;
            return match self.middle.get(&n.parse().ok()?) {
                Some(index) => Some(format!("mid_block.resnets.{index}.{}", residual(rest)?)),
                None => Some(format!("mid_block.attentions.0.{rest}")),
            };
        }
        let (places, side, resize) = if name.starts_with("input_blocks.") {
            (&self.input, "down_blocks", "downsamplers.0.conv")
        } else {
            (&self.output, "up_blocks", "upsamplers.0.conv")
        };
        let mut parts =
            name.strip_prefix("input_blocks.").or_else(|| name.strip_prefix("output_blocks."))?.splitn(3, '.');
        let (n, part, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let resized = rest.strip_prefix("op.").or_else(|| rest.strip_prefix("conv."));
        match (*places.get(&n.parse().ok()?)?, part, resized) {
            (Place::First, "0", _) => Some(format!("conv_in.{rest}")),
            (Place::Resize { level } | Place::Block { level, .. }, _, Some(rest)) => {
                Some(format!("{side}.{level}.{resize}.{rest}"))
            }
            (Place::Block { level, layer }, "0", None) => {
                Some(format!("{side}.{level}.resnets.{layer}.{}", residual(rest)?))
            }
            (Place::Block { level, layer }, "1", None) => Some(format!("{side}.{level}.attentions.{layer}.{rest}")),
            _ => None,
        }
    }
}

/// Diffusers' name of a tensor in a residual block.
fn residual(name: &str) -> Option<String> {
    let layers = [
        ("in_layers.0.", "norm1."),
        ("in_layers.2.", "conv1."),
        ("emb_layers.1.", "time_emb_proj."),
        ("out_layers.0.", "norm2."),
        ("out_layers.3.", "conv2."),
        ("skip_connection.", "conv_shortcut."),
    ];
    layers.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of a U-Net without its ends, and what they become.
    fn renamed(names: &[&str]) -> Vec<Option<String>> {
        let places = Places::of(&names.iter().copied().collect());
        names.iter().map(|name| places.rename(name)).collect()
    }

    #[test]
    fn one_block_a_level_with_and_without_gaps_in_the_numbers() {
        let cases = [
            // As the program that made the network would number it, and as programs number it that count by three.
            (
                ["input_blocks.1", "input_blocks.2", "input_blocks.3"],
                ["output_blocks.0", "output_blocks.1", "output_blocks.2"],
            ),
            (
                ["input_blocks.1", "input_blocks.3", "input_blocks.4"],
                ["output_blocks.0", "output_blocks.1", "output_blocks.3"],
            ),
        ];
        for ([first, down, second], [up0, up1, up2]) in cases {
            let names = [
                format!("{first}.0.in_layers.0.weight"),
                format!("{down}.0.op.weight"),
                format!("{second}.0.in_layers.2.weight"),
                format!("{second}.1.norm.weight"),
                format!("{up0}.0.in_layers.0.weight"),
                format!("{up1}.0.out_layers.3.weight"),
                format!("{up1}.1.conv.weight"),
                format!("{up2}.0.skip_connection.bias"),
            ];
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let expected = [
                "down_blocks.0.resnets.0.norm1.weight",
                "down_blocks.0.downsamplers.0.conv.weight",
                "down_blocks.1.resnets.0.conv1.weight",
                "down_blocks.1.attentions.0.norm.weight",
                "up_blocks.0.resnets.0.norm1.weight",
                "up_blocks.0.resnets.1.conv2.weight",
                "up_blocks.0.upsamplers.0.conv.weight",
                "up_blocks.1.resnets.0.conv_shortcut.bias",
            ];
            assert_eq!(renamed(&names), expected.map(|name| Some(name.to_owned())), "{names:?}");
        }
    }

    #[test]
    fn enlarging_may_have_a_number_of_its_own() {
        let names =
            ["output_blocks.0.0.in_layers.0.bias", "output_blocks.2.1.conv.bias", "output_blocks.3.0.in_layers.0.bias"];
        let expected = [
            "up_blocks.0.resnets.0.norm1.bias",
            "up_blocks.0.upsamplers.0.conv.bias",
            "up_blocks.1.resnets.0.norm1.bias",
        ];
        assert_eq!(renamed(&names), expected.map(|name| Some(name.to_owned())));
    }

    #[test]
    fn the_middle_may_lack_its_attention_and_odd_names_are_no_part() {
        let names = [
            "middle_block.0.in_layers.0.bias",
            "middle_block.1.in_layers.0.bias",
            "label_emb.0.0.weight",
            "input_blocks.x.0.a",
            "v_pred",
        ];
        let expected =
            [Some("mid_block.resnets.0.norm1.bias"), Some("mid_block.resnets.1.norm1.bias"), None, None, None];
        assert_eq!(renamed(&names), expected.map(|name| name.map(str::to_owned)));
        let attention =
            ["middle_block.0.in_layers.0.bias", "middle_block.1.norm.bias", "middle_block.2.in_layers.0.bias"];
        let expected =
            ["mid_block.resnets.0.norm1.bias", "mid_block.attentions.0.norm.bias", "mid_block.resnets.1.norm1.bias"];
        assert_eq!(renamed(&attention), expected.map(|name| Some(name.to_owned())));
    }
}
