//! The shapes of the published models: every name has its place, and the networks built from the configs by shape have as
//! many parameters as the published ones.

use candle_core::DType;
use safetensors::Dtype;

use super::*;
use crate::text::{TextConfig, TextEncoder};
use crate::unet::{UNet, UNetConfig};
use crate::vae::Autoencoder;

type Shapes = Vec<(String, Vec<usize>)>;

/// A network in CompVis' form: its widths, which levels attend, blocks to a level, the text's width.
struct Ldm<'a> {
    widths: &'a [usize],
    attends: &'a [bool],
    blocks: usize,
    text: usize,
    linear: bool,
    middle: bool,
}

fn pair(out: &mut Shapes, name: &str, shape: &[usize]) {
    out.push((format!("{name}.weight"), shape.to_vec()));
    out.push((format!("{name}.bias"), vec![shape[0]]));
}

fn residual(out: &mut Shapes, name: &str, input: usize, output: usize, time: usize) {
    pair(out, &format!("{name}.in_layers.0"), &[input]);
    pair(out, &format!("{name}.in_layers.2"), &[output, input, 3, 3]);
    pair(out, &format!("{name}.emb_layers.1"), &[output, time]);
    pair(out, &format!("{name}.out_layers.0"), &[output]);
    pair(out, &format!("{name}.out_layers.3"), &[output, output, 3, 3]);
    if input != output {
        pair(out, &format!("{name}.skip_connection"), &[output, input, 1, 1]);
    }
}

impl Ldm<'_> {
    fn transformer(&self, out: &mut Shapes, name: &str, width: usize) {
        let square = if self.linear { vec![width, width] } else { vec![width, width, 1, 1] };
        pair(out, &format!("{name}.norm"), &[width]);
        pair(out, &format!("{name}.proj_in"), &square);
        pair(out, &format!("{name}.proj_out"), &square);
        let block = format!("{name}.transformer_blocks.0");
        for (attention, text) in [("attn1", width), ("attn2", self.text)] {
            out.push((format!("{block}.{attention}.to_q.weight"), vec![width, width]));
            for part in ["to_k", "to_v"] {
                out.push((format!("{block}.{attention}.{part}.weight"), vec![width, text]));
            }
            pair(out, &format!("{block}.{attention}.to_out.0"), &[width, width]);
        }
        pair(out, &format!("{block}.ff.net.0.proj"), &[8 * width, width]);
        pair(out, &format!("{block}.ff.net.2"), &[width, 4 * width]);
        for norm in ["norm1", "norm2", "norm3"] {
            pair(out, &format!("{block}.{norm}"), &[width]);
        }
    }

    fn shapes(&self) -> Shapes {
        let mut out = Shapes::new();
        let (first, time) = (self.widths[0], 4 * self.widths[0]);
        pair(&mut out, "time_embed.0", &[time, first]);
        pair(&mut out, "time_embed.2", &[time, time]);
        pair(&mut out, "input_blocks.0.0", &[first, 4, 3, 3]);
        let (mut number, mut width, mut skips) = (1, first, vec![first]);
        for (level, output) in self.widths.iter().enumerate() {
            for _ in 0..self.blocks {
                residual(&mut out, &format!("input_blocks.{number}.0"), width, *output, time);
                if self.attends[level] {
                    self.transformer(&mut out, &format!("input_blocks.{number}.1"), *output);
                }
                (number, width) = (number + 1, *output);
                skips.push(width);
            }
            if level + 1 < self.widths.len() {
                pair(&mut out, &format!("input_blocks.{number}.0.op"), &[width, width, 3, 3]);
                number += 1;
                skips.push(width);
            }
        }
        if self.middle {
            residual(&mut out, "middle_block.0", width, width, time);
            self.transformer(&mut out, "middle_block.1", width);
            residual(&mut out, "middle_block.2", width, width, time);
        }
        number = 0;
        for (level, output) in self.widths.iter().enumerate().rev() {
            for block in 0..=self.blocks {
                let skip = skips.pop().expect("as many ups as downs");
                residual(&mut out, &format!("output_blocks.{number}.0"), width + skip, *output, time);
                width = *output;
                if self.attends[level] {
                    self.transformer(&mut out, &format!("output_blocks.{number}.1"), width);
                }
                if block == self.blocks && level > 0 {
                    let part = if self.attends[level] { 2 } else { 1 };
                    pair(&mut out, &format!("output_blocks.{number}.{part}.conv"), &[width, width, 3, 3]);
                }
                number += 1;
            }
        }
        pair(&mut out, "out.0", &[first]);
        pair(&mut out, "out.2", &[4, first, 3, 3]);
        out
    }
}

fn vae_shapes() -> Shapes {
    let mut out = Shapes::new();
    let block = |out: &mut Shapes, name: &str, input: usize, output: usize| {
        pair(out, &format!("{name}.norm1"), &[input]);
        pair(out, &format!("{name}.conv1"), &[output, input, 3, 3]);
        pair(out, &format!("{name}.norm2"), &[output]);
        pair(out, &format!("{name}.conv2"), &[output, output, 3, 3]);
        if input != output {
            pair(out, &format!("{name}.nin_shortcut"), &[output, input, 1, 1]);
        }
    };
    let middle = |out: &mut Shapes, side: &str| {
        block(out, &format!("{side}.mid.block_1"), 512, 512);
        block(out, &format!("{side}.mid.block_2"), 512, 512);
        pair(out, &format!("{side}.mid.attn_1.norm"), &[512]);
        for part in ["q", "k", "v", "proj_out"] {
            pair(out, &format!("{side}.mid.attn_1.{part}"), &[512, 512, 1, 1]);
        }
    };
    let widths = [128, 256, 512, 512];
    pair(&mut out, "encoder.conv_in", &[128, 3, 3, 3]);
    let mut width = 128;
    for (level, output) in widths.into_iter().enumerate() {
        for number in 0..2 {
            block(&mut out, &format!("encoder.down.{level}.block.{number}"), width, output);
            width = output;
        }
        if level < 3 {
            pair(&mut out, &format!("encoder.down.{level}.downsample.conv"), &[width, width, 3, 3]);
        }
    }
    middle(&mut out, "encoder");
    pair(&mut out, "encoder.norm_out", &[512]);
    pair(&mut out, "encoder.conv_out", &[8, 512, 3, 3]);
    pair(&mut out, "decoder.conv_in", &[512, 4, 3, 3]);
    middle(&mut out, "decoder");
    for (level, output) in widths.into_iter().enumerate().rev() {
        for number in 0..3 {
            block(&mut out, &format!("decoder.up.{level}.block.{number}"), width, output);
            width = output;
        }
        if level > 0 {
            pair(&mut out, &format!("decoder.up.{level}.upsample.conv"), &[width, width, 3, 3]);
        }
    }
    pair(&mut out, "decoder.norm_out", &[128]);
    pair(&mut out, "decoder.conv_out", &[3, 128, 3, 3]);
    pair(&mut out, "quant_conv", &[8, 8, 1, 1]);
    pair(&mut out, "post_quant_conv", &[4, 4, 1, 1]);
    out
}

/// CLIP ViT-L/14 in Transformers' form.
fn clip_shapes() -> Shapes {
    let mut out = vec![
        ("embeddings.token_embedding.weight".to_owned(), vec![49_408, 768]),
        ("embeddings.position_embedding.weight".to_owned(), vec![77, 768]),
        ("embeddings.position_ids".to_owned(), vec![1, 77]),
    ];
    for layer in 0..12 {
        let layer = format!("encoder.layers.{layer}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            pair(&mut out, &format!("{layer}.self_attn.{part}"), &[768, 768]);
        }
        pair(&mut out, &format!("{layer}.mlp.fc1"), &[3072, 768]);
        pair(&mut out, &format!("{layer}.mlp.fc2"), &[768, 3072]);
        pair(&mut out, &format!("{layer}.layer_norm1"), &[768]);
        pair(&mut out, &format!("{layer}.layer_norm2"), &[768]);
    }
    pair(&mut out, "final_layer_norm", &[768]);
    out
}

/// OpenCLIP ViT-H/14 in its own form.
fn open_clip_shapes() -> Shapes {
    let mut out = vec![
        ("token_embedding.weight".to_owned(), vec![49_408, 1024]),
        ("positional_embedding".to_owned(), vec![77, 1024]),
        ("text_projection".to_owned(), vec![1024, 1024]),
        ("logit_scale".to_owned(), vec![]),
    ];
    for layer in 0..24 {
        let layer = format!("transformer.resblocks.{layer}");
        out.push((format!("{layer}.attn.in_proj_weight"), vec![3072, 1024]));
        out.push((format!("{layer}.attn.in_proj_bias"), vec![3072]));
        pair(&mut out, &format!("{layer}.attn.out_proj"), &[1024, 1024]);
        pair(&mut out, &format!("{layer}.mlp.c_fc"), &[4096, 1024]);
        pair(&mut out, &format!("{layer}.mlp.c_proj"), &[1024, 4096]);
        pair(&mut out, &format!("{layer}.ln_1"), &[1024]);
        pair(&mut out, &format!("{layer}.ln_2"), &[1024]);
    }
    pair(&mut out, "ln_final", &[1024]);
    out
}

/// Tensors of these shapes without values.
fn tensors(prefix: &str, shapes: Shapes) -> Tensors {
    Tensors::of_shapes(shapes.into_iter().map(|(name, shape)| (format!("{prefix}{name}"), Dtype::F16, shape)))
}

fn component(config: Value, tensors: &Tensors, table: Table) -> Component {
    Component::of(PathBuf::new(), PathBuf::new(), config, tensors.view(table)).expect("a config")
}

#[test]
fn unets_have_the_published_size() {
    let sd = [320, 640, 1280, 1280];
    let attends = [true, true, true, false];
    let one = Ldm { widths: &sd, attends: &attends, blocks: 2, text: 768, linear: false, middle: true };
    let two = Ldm { widths: &sd, attends: &attends, blocks: 2, text: 1024, linear: true, middle: true };
    // SDXS-DreamShaper's shape: one block to a level, no middle. Its size is not published; 1.26 GB in 32 bits.
    let small =
        Ldm { widths: &sd[..3], attends: &[false, true, true], blocks: 1, text: 768, linear: false, middle: false };
    for (network, base, prediction, parameters, side) in [
        (one, Base::Sd1, None, Some(859_520_964), 64),
        (two, Base::Sd2, Some(Prediction::V), Some(865_910_724), 96),
        (small, Base::Sd1, None, None, 64),
    ] {
        let all = tensors("model.diffusion_model.", network.shapes());
        let count = network.shapes().len();
        let table = unet_names::table(&all, false).expect("names");
        assert_eq!(table.len(), count, "every tensor has a place");
        let config = configs::unet(&all.view(table.clone()), base, prediction).expect("a known shape");
        let component = component(config, &all, table);
        let parsed: UNetConfig = component.parse().expect("a config");
        let size = component.check(DType::F32, |vb| UNet::new(vb, &parsed)).expect("every tensor fits");
        assert_eq!(parsed.latent_size(), (side, side));
        match parameters {
            Some(parameters) => assert_eq!(size.parameters, parameters),
            None => assert!((313_000_000..330_000_000).contains(&size.parameters), "{}", size.parameters),
        }
    }
}

#[test]
fn autoencoders_and_text_encoders_have_the_published_sizes() {
    let all = tensors("first_stage_model.", vae_shapes());
    let table = vae_names::table(&all);
    assert_eq!(table.len(), vae_shapes().len(), "every tensor has a place");
    let vae = component(configs::vae(&all.view(table.clone())).expect("a known shape"), &all, table);
    let size = vae.check(DType::F32, |vb| Autoencoder::new(vb, vae.config())).expect("every tensor fits");
    assert_eq!(size.parameters, 83_653_863);

    // Two of OpenCLIP's layers' worth of tensors become six each, and the last layer does not count.
    for (prefix, shapes, parameters) in [
        ("cond_stage_model.transformer.text_model.", clip_shapes(), 123_060_480),
        ("cond_stage_model.transformer.", clip_shapes(), 123_060_480),
        ("cond_stage_model.model.", open_clip_shapes(), 340_387_840),
    ] {
        let all = tensors(prefix, shapes);
        let table = text_names::table(&all);
        let text = component(configs::text_encoder(&all.view(table.clone())).expect("a known shape"), &all, table);
        let config: TextConfig = text.parse().expect("a config");
        let size = text.check(DType::F32, |vb| TextEncoder::new(vb, &config)).expect("every tensor fits");
        assert_eq!(size.parameters, parameters, "{prefix}");
    }
}
