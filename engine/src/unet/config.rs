//! `unet/config.json`: the shape of a U-Net. Support another block type here; an unknown one must be refused.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::layers::check_sizes;

/// The shape of a U-Net, with Diffusers' names. Anything absent has Stable Diffusion 1.5's value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct UNetConfig {
    /// Side of the latents that the model was trained on; `None` if the config does not say.
    pub sample_size: Option<SampleSize>,
    /// The version of Diffusers that wrote the folder.
    #[serde(rename = "_diffusers_version", skip_serializing_if = "Option::is_none")]
    pub diffusers_version: Option<String>,
    /// Channels of the latent.
    pub in_channels: usize,
    /// Channels of the velocity.
    pub out_channels: usize,
    /// Channels of each level, from the finest.
    pub block_out_channels: Vec<usize>,
    /// "DownBlock2D" or "CrossAttnDownBlock2D" for each level, from the finest.
    pub down_block_types: Vec<String>,
    /// "UNetMidBlock2DCrossAttn" or "UNetMidBlock2D"; null for none.
    pub mid_block_type: Option<String>,
    /// "UpBlock2D" or "CrossAttnUpBlock2D" for each level, from the coarsest.
    pub up_block_types: Vec<String>,
    /// Residual blocks per level on the way down. There is one more on the way up.
    pub layers_per_block: usize,
    /// Transformer blocks in each attention.
    pub transformer_layers_per_block: usize,
    /// The number of heads. (The name is a mistake that Diffusers keeps.)
    pub attention_head_dim: PerLevel,
    /// The number of heads under its right name, if the config has it.
    pub num_attention_heads: Option<PerLevel>,
    /// Width D of the text embedding.
    pub cross_attention_dim: usize,
    /// Groups of every group norm.
    pub norm_num_groups: usize,
    /// Added to variances.
    pub norm_eps: f64,
    /// Whether attentions project with linear layers instead of 1×1 convolutions.
    pub use_linear_projection: bool,
    /// Cosines before sines in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    pub freq_shift: f64,
    /// Padding of the strided convolutions: 1, or 0, which pads only on the right and below.
    pub downsample_padding: usize,
    /// "silu".
    pub act_fn: String,
    /// U-Nets in series: 1, or 2 for the stacked student (paper, appendix B).
    pub num_stacks: usize,
    /// Width of the embedding of the guidance scale, for models that take it as an input (latent consistency models).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_cond_proj_dim: Option<usize>,
    /// Must be null.
    pub class_embed_type: Option<String>,
    /// Must be null.
    pub addition_embed_type: Option<String>,
    /// "default".
    pub resnet_time_scale_shift: String,
    /// Everything else. What would change the network is refused.
    #[serde(flatten, skip_serializing)]
    pub other: Map<String, Value>,
}

/// A number for all levels or one for each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum PerLevel {
    /// The same everywhere.
    All(usize),
    /// One for each level, from the finest.
    Each(Vec<usize>),
}

/// A side, or height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum SampleSize {
    /// A square.
    Square(usize),
    /// Height, then width.
    Both([usize; 2]),
}

impl Default for UNetConfig {
    fn default() -> Self {
        let levels = |names: [&str; 4]| names.map(String::from).to_vec();
        Self {
            sample_size: Some(SampleSize::Square(64)),
            diffusers_version: None,
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![320, 640, 1280, 1280],
            down_block_types: levels([
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "DownBlock2D",
            ]),
            mid_block_type: Some("UNetMidBlock2DCrossAttn".into()),
            up_block_types: levels(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
            layers_per_block: 2,
            transformer_layers_per_block: 1,
            attention_head_dim: PerLevel::All(8),
            num_attention_heads: None,
            cross_attention_dim: 768,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            use_linear_projection: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            downsample_padding: 1,
            act_fn: "silu".into(),
            num_stacks: 1,
            time_cond_proj_dim: None,
            class_embed_type: None,
            addition_embed_type: None,
            resnet_time_scale_shift: "default".into(),
            other: Map::new(),
        }
    }
}

/// The side of the latent that a config means. Folders converted before Diffusers 0.9 say 32 for Stable Diffusion's 64.
/// Diffusers' pipelines correct this in the same way.
pub(crate) fn meant_side(side: usize, diffusers_version: Option<&str>) -> usize {
    let mut numbers = diffusers_version.unwrap_or_default().split('.').map(str::parse::<u32>);
    let is_before = matches!((numbers.next(), numbers.next()), (Some(Ok(0)), Some(Ok(..9))));
    if is_before { side.max(64) } else { side }
}

/// Settings of Diffusers' U-Net that change what it computes, and their values in Stable Diffusion's. Null is each one's
/// default, too. Settings that have no effect with the supported blocks are not here, such as `dropout`.
const OTHER_NETWORKS: [(&str, &str); 20] = [
    ("attention_type", "\"default\""),
    ("center_input_sample", "false"),
    ("class_embeddings_concat", "false"),
    ("conv_in_kernel", "3"),
    ("conv_out_kernel", "3"),
    ("dual_cross_attention", "false"),
    ("encoder_hid_dim", "null"),
    ("encoder_hid_dim_type", "null"),
    ("mid_block_only_cross_attention", "false"),
    ("mid_block_scale_factor", "1"),
    ("num_class_embeds", "null"),
    ("only_cross_attention", "false"),
    ("projection_class_embeddings_input_dim", "null"),
    ("resnet_pre_temb_non_linearity", "false"),
    ("reverse_transformer_layers_per_block", "null"),
    ("time_embedding_act_fn", "null"),
    ("time_embedding_dim", "null"),
    ("time_embedding_type", "\"positional\""),
    ("timestep_post_act", "null"),
    ("use_additive_attention", "false"),
];

/// Whether a setting makes another network than Stable Diffusion's.
fn changes_network(key: &str, value: &Value) -> bool {
    let Some((_, usual)) = OTHER_NETWORKS.iter().find(|(known, _)| *known == key) else { return false };
    let is_usual = |value: &Value| match value {
        Value::Null => true,
        // 1 and 1.0 are one number.
        Value::Number(number) => number.as_f64() == usual.parse().ok(),
        Value::Bool(value) => usual.parse() == Ok(*value),
        Value::String(text) => usual.trim_matches('"') == text,
        _ => false,
    };
    match value {
        Value::Array(levels) => !levels.iter().all(is_usual),
        one => !is_usual(one),
    }
}

impl UNetConfig {
    /// The error is one sentence that says why this network is not supported.
    pub fn validate(&self) -> Result<(), String> {
        if let Some((key, value)) = self.other.iter().find(|(key, value)| changes_network(key, value)) {
            return Err(format!("has {key} = {value}, which changes the network in a way that is not supported"));
        }
        let levels = self.block_out_channels.len();
        if self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return Err(format!(
                "block_out_channels, down_block_types and up_block_types must have one entry per level, but have {levels}, {} and {}",
                self.down_block_types.len(),
                self.up_block_types.len()
            ));
        }
        let sizes = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("layers_per_block", self.layers_per_block),
            ("transformer_layers_per_block", self.transformer_layers_per_block),
            ("cross_attention_dim", self.cross_attention_dim),
        ];
        let widths = self.block_out_channels.iter().map(|width| ("block_out_channels", *width));
        check_sizes(levels, sizes.into_iter().chain(widths))?;
        let known = [
            (&self.down_block_types, ["DownBlock2D", "CrossAttnDownBlock2D"]),
            (&self.up_block_types, ["UpBlock2D", "CrossAttnUpBlock2D"]),
        ];
        for (types, known) in known {
            if let Some(unknown) = types.iter().find(|name| !known.contains(&name.as_str())) {
                return Err(format!("the block type \"{unknown}\" is unknown (known: {})", known.join(", ")));
            }
        }
        let known = ["UNetMidBlock2DCrossAttn", "UNetMidBlock2D"];
        if let Some(unknown) = self.mid_block_type.as_deref().filter(|name| !known.contains(name)) {
            return Err(format!("the middle block type \"{unknown}\" is unknown (known: {})", known.join(", ")));
        }
        if let Some(width) = self.time_cond_proj_dim.filter(|width| !(4..=65_536).contains(width) || width % 2 == 1) {
            return Err(format!("time_cond_proj_dim is {width}, but an even number from 4 to 65536 is expected"));
        }
        if self.downsample_padding > 1 {
            return Err(format!("downsample_padding is {}, but only 0 and 1 are supported", self.downsample_padding));
        }
        if !self.block_out_channels[0].is_multiple_of(2) {
            let width = self.block_out_channels[0];
            return Err(format!(
                "the time embedding needs an even number of channels, but block_out_channels begins with {width}"
            ));
        }
        if self.act_fn != "silu" || self.resnet_time_scale_shift != "default" {
            return Err(format!(
                "act_fn \"{}\" with resnet_time_scale_shift \"{}\" is unknown (known: silu, default)",
                self.act_fn, self.resnet_time_scale_shift
            ));
        }
        if let Some(kind) = self.class_embed_type.as_ref().or(self.addition_embed_type.as_ref()) {
            return Err(format!(
                "the additional embedding \"{kind}\" is not supported: only U-Nets shaped like Stable Diffusion 1.x are"
            ));
        }
        if !(1..=2).contains(&self.num_stacks) {
            return Err(format!("num_stacks is {}, but only 1 and 2 are supported", self.num_stacks));
        }
        for (level, channels) in self.block_out_channels.iter().enumerate() {
            let heads = self.heads(level);
            if self.norm_num_groups == 0 || !channels.is_multiple_of(self.norm_num_groups) {
                return Err(format!("{channels} channels cannot be divided into {} groups", self.norm_num_groups));
            }
            if heads == 0 || !channels.is_multiple_of(heads) {
                return Err(format!("{channels} channels cannot be divided into {heads} attention heads"));
            }
        }
        Ok(())
    }

    /// Attention heads at a level.
    pub fn heads(&self, level: usize) -> usize {
        match self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim) {
            PerLevel::All(heads) => *heads,
            PerLevel::Each(heads) => heads.get(level).copied().unwrap_or(0),
        }
    }

    /// Height and width of the latent that the model was trained at.
    pub fn latent_size(&self) -> (usize, usize) {
        match self.sample_size {
            Some(SampleSize::Square(side)) => [meant_side(side, self.diffusers_version.as_deref()); 2].into(),
            Some(SampleSize::Both([height, width])) => (height, width),
            None => (64, 64),
        }
    }

    /// Both sides of a latent must be multiples of this. The config must be valid.
    pub fn latent_multiple(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::meant_side;

    #[test]
    fn old_folders_mean_stable_diffusions_side() {
        for (version, side) in [(Some("0.8.0.dev0"), 64), (Some("0.9.0.dev0"), 32), (Some("0.35.2"), 32), (None, 32)] {
            assert_eq!(meant_side(32, version), side, "{version:?}");
        }
        for (version, side) in [(Some("0.8.0"), 96), (Some("1.2.0"), 96), (Some("new"), 96)] {
            assert_eq!(meant_side(96, version), side, "{version:?}");
        }
    }
}
