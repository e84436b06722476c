//! One step of Stable Diffusion 1.5's shapes on candle as it comes: candle-transformers' networks, candle's own CPU
//! operations, f32, random weights. `tests/peers` times it beside this program; none of our kernels is used here.
//!
//! Each line `run` on stdin is answered with one line of JSON, as by `instaflow bench --serve`; the end of stdin ends
//! it. With `--quick` U-Net and decoder are narrow and the picture is 64 × 64.
//!
//! Change here only what follows a new version of candle: a faster version of it is what `engine/kernels` is for.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::stable_diffusion::clip::{ClipTextTransformer, Config};
use candle_transformers::models::stable_diffusion::unet_2d::{
    BlockConfig, UNet2DConditionModel, UNet2DConditionModelConfig,
};
use candle_transformers::models::stable_diffusion::vae::{AutoEncoderKL, AutoEncoderKLConfig};

/// Tokens of a prompt, and how wide CLIP's embedding of each is.
const TOKENS: u32 = 77;
const CONTEXT: usize = 768;
/// What Stable Diffusion's latents are multiplied with.
const SCALE: f64 = 0.18215;

fn main() -> ExitCode {
    match serve(std::env::args().any(|argument| argument == "--quick")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(quick: bool) -> Result<()> {
    let networks = Networks::new(quick)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim() != "run" {
            bail!("each line asks for one run and reads `run`, not `{}`", line.trim());
        }
        let answer = networks.one_step()?;
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

struct Networks {
    text: ClipTextTransformer,
    unet: UNet2DConditionModel,
    vae: AutoEncoderKL,
    /// Token ids, (1, 77).
    ids: Tensor,
    /// (1, 4, h, w)
    noise: Tensor,
}

impl Networks {
    fn new(quick: bool) -> Result<Self> {
        let side = if quick { 8 } else { 64 };
        let ids = Tensor::arange(0, TOKENS, &Device::Cpu)?.unsqueeze(0)?;
        Ok(Self {
            text: random(|weights| ClipTextTransformer::new(weights, &Config::v1_5()))?,
            unet: random(|weights| UNet2DConditionModel::new(weights, 4, 4, false, unet_config(quick)))?,
            vae: random(|weights| AutoEncoderKL::new(weights, 3, 3, vae_config(quick)))?,
            ids,
            noise: Tensor::randn(0f32, 1f32, (1, 4, side, side), &Device::Cpu)?,
        })
    }

    /// The answer to one `run`: seconds by stage.
    fn one_step(&self) -> Result<String> {
        let began = Instant::now();
        let context = self.text.forward(&self.ids)?;
        let embedded = began.elapsed().as_secs_f64();
        let drawn = (&self.noise + self.unet.forward(&self.noise, 1000.0, &context)?)?;
        let predicted = began.elapsed().as_secs_f64();
        let image = self.vae.decode(&(&drawn / SCALE)?)?;
        let rgb = image.affine(127.5, 127.5)?.clamp(0f32, 255f32)?.to_dtype(DType::U8)?;
        let rgb = rgb.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<u8>()?;
        let decoded = began.elapsed().as_secs_f64();

        if !drawn.sum_all()?.to_scalar::<f32>()?.is_finite() || rgb.iter().all(|byte| *byte == rgb[0]) {
            bail!("no picture came out, but values that are no finite numbers, or all alike");
        }
        Ok(format!(
            r#"{{"dtype": "f32", "stages": {{"text_encoder": {embedded}, "unet": {}, "decoder": {}}}, "one_step_s": {decoded}}}"#,
            predicted - embedded,
            decoded - predicted,
        ))
    }
}

/// A network with the weights that its layers would start training with.
fn random<T>(build: impl Fn(VarBuilder) -> Result<T>) -> Result<T> {
    let variables = VarMap::new();
    build(VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    // Built again on the same memory: operations on variables would keep every activation for a backward pass.
    let tensors: HashMap<String, Tensor> = match variables.data().lock() {
        Ok(data) => data.iter().map(|(name, variable)| (name.clone(), variable.as_detached_tensor())).collect(),
        Err(error) => bail!("the weights cannot be read: {error}"),
    };
    build(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

fn unet_config(quick: bool) -> UNet2DConditionModelConfig {
    let widths = if quick { [32, 32, 64, 64] } else { [320, 640, 1280, 1280] };
    // The innermost level has no attention; everywhere there are 8 heads.
    let blocks = widths.iter().enumerate().map(|(level, width)| BlockConfig {
        out_channels: *width,
        use_cross_attn: (level < 3).then_some(1),
        attention_head_dim: 8,
    });
    UNet2DConditionModelConfig {
        blocks: blocks.collect(),
        cross_attention_dim: CONTEXT,
        norm_num_groups: if quick { 8 } else { 32 },
        ..UNet2DConditionModelConfig::default()
    }
}

fn vae_config(quick: bool) -> AutoEncoderKLConfig {
    AutoEncoderKLConfig {
        block_out_channels: if quick { vec![8, 16, 16, 16] } else { vec![128, 256, 512, 512] },
        layers_per_block: 2,
        latent_channels: 4,
        norm_num_groups: if quick { 4 } else { 32 },
        use_quant_conv: true,
        use_post_quant_conv: true,
    }
}
