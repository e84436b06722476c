//! Kinds of adapters for which the reference has no case: whole differences, IA3 and GLoRA, held to a model whose weights were
//! changed beforehand by the definition of each (LyCORIS' `full`, `norms`, `ia3` and `glora` modules). And both numberings.

use std::path::Path;

use candle_core::{Device, Tensor};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{Lora, OpenRequest, Settings, Source};
use instaflow_test_support::{PROMPT, Tolerance, assert_close_case, fixture, more};

use crate::support::altered::{Tensors, altered_model, numbers, save, tensors};
use crate::support::{noise, open};

const TOLERANCE: Tolerance = Tolerance::of_largest(1e-4);

fn opened(folder: &Path) -> Models {
    open(&OpenRequest { model: Source::Folder(folder.to_owned()), ..OpenRequest::default() })
}

fn latents(models: &Models, loras: Vec<Lora>) -> Vec<f32> {
    let settings = Settings { loras, ..Settings::student(PROMPT) };
    models.draw(&settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap().latents.values
}

fn lora(file: &Path, weight: f32) -> Lora {
    Lora { file: file.to_owned(), weight, text_weight: weight }
}

/// How kohya's scripts spell a layer's name.
fn key(part: &str, layer: &str) -> String {
    let prefix = if part == "unet" { "lora_unet_" } else { "lora_te_" };
    let layer = if part == "unet" {
        layer.to_owned()
    } else {
        format!("text_model.{}", layer.trim_start_matches("text_model."))
    };
    format!("{prefix}{}", layer.replace('.', "_"))
}

/// The model with an adapter at a weight draws what a model with those weights draws, and then itself again.
fn check(name: &str, adapter: &Tensors, weight: f32, change: impl Fn(&str, &mut Tensors)) {
    let folder = tempfile::tempdir().unwrap();
    let file = save(&folder.path().join(format!("{name}.safetensors")), adapter);
    let expected = latents(&opened(&altered_model(&folder.path().join("model"), change)), Vec::new());
    let models = opened(&fixture("model"));
    let plain = latents(&models, Vec::new());
    let drawn = latents(&models, vec![lora(&file, weight)]);
    assert_close_case(name, drawn.as_slice(), expected.as_slice(), TOLERANCE);
    assert_ne!(drawn, plain, "{name}");
    assert_eq!(latents(&models, Vec::new()), plain, "{name}");
}

/// Every weight and bias of both networks, those of norms under their own names.
#[test]
fn whole_differences_of_everything() {
    let mut adapter = Tensors::new();
    let mut changed = 0;
    let difference = |name: &str, tensor: &Tensor| {
        let seed = name.bytes().map(u64::from).sum();
        numbers(tensor.dims(), 0.05, seed)
    };
    let is_embedding = |name: &str| name.contains("embeddings.");
    for part in ["unet", "text_encoder"] {
        let file = if part == "unet" { "diffusion_pytorch_model.safetensors" } else { "model.safetensors" };
        for (name, tensor) in tensors(&fixture("model").join(part).join(file)) {
            if is_embedding(&name) {
                continue;
            }
            let (layer, what) = name.rsplit_once('.').unwrap();
            let is_norm = layer.contains("norm");
            let ending = match (what, is_norm) {
                ("weight", true) => "w_norm",
                ("weight", false) => "diff",
                (_, true) => "b_norm",
                (_, false) => "diff_b",
            };
            adapter.insert(format!("{}.{ending}", key(part, layer)), difference(&name, &tensor));
            changed += 1;
        }
    }
    assert!(changed > 700, "{changed} tensors");
    check("full", &adapter, -0.4, |_, weights| {
        for (name, tensor) in weights.iter_mut().filter(|(name, _)| !is_embedding(name)) {
            *tensor = (&*tensor + (difference(name, tensor) * -0.4).unwrap()).unwrap();
        }
    });
}

const QUERY: &str = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q";
const FEED_FORWARD: &str = "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj";
const CONV: &str = "up_blocks.2.resnets.1.conv1";

fn on_input(value: u8) -> Tensor {
    Tensor::new(i64::from(value), &Device::Cpu).unwrap()
}

#[test]
fn ia3_scales_what_a_layer_takes_or_gives() {
    let shapes = tensors(&fixture("model/unet/diffusion_pytorch_model.safetensors"));
    let side = |layer: &str, side: usize| shapes[&format!("{layer}.weight")].dims()[side];
    let factors = [
        (QUERY, 0u8, numbers(&[side(QUERY, 0)], 0.5, 1)),
        (FEED_FORWARD, 1, numbers(&[side(FEED_FORWARD, 1)], 0.5, 2)),
        (CONV, 1, numbers(&[1, side(CONV, 1), 1, 1], 0.5, 3)),
    ];
    let mut adapter = Tensors::new();
    for (layer, input, factors) in &factors {
        adapter.insert(format!("{}.weight", key("unet", layer)), factors.clone());
        adapter.insert(format!("{}.on_input", key("unet", layer)), on_input(*input));
    }
    check("ia3", &adapter, 0.7, |part, weights| {
        for (layer, input, factors) in factors.iter().filter(|_| part == "unet") {
            let tensor = weights.get_mut(&format!("{layer}.weight")).unwrap();
            let mut shape = vec![1; tensor.rank()];
            shape[usize::from(*input)] = factors.elem_count();
            let scaled = (tensor.broadcast_mul(&factors.reshape(shape).unwrap()).unwrap() * 0.7).unwrap();
            *tensor = (&*tensor + scaled).unwrap();
        }
    });
}

#[test]
fn glora_adds_to_weights_and_to_what_they_take() {
    let shapes = tensors(&fixture("model/unet/diffusion_pytorch_model.safetensors"));
    let rank = 3;
    let factors = |layer: &str, seed: u64| {
        let dims = shapes[&format!("{layer}.weight")].dims().to_vec();
        let (rows, inputs) = (dims[0], dims[1]);
        let one = |shape: &[usize], n: u64| {
            let shape: Vec<usize> = if dims.len() == 4 { [shape, &[1, 1]].concat() } else { shape.to_vec() };
            numbers(&shape, 0.3, seed + n)
        };
        let mut b2 = dims.clone();
        b2[0] = rank;
        [one(&[inputs, rank], 0), one(&[rank, inputs], 1), one(&[rows, rank], 2), numbers(&b2, 0.3, seed + 3)]
    };
    // ΔW[o, i, …] = ½·α/r·(Σ b1[o, r]·b2[r, i, …] + Σ W[o, j, …]·a1[j, r]·a2[r, i]), written out.
    let difference = |tensor: &Tensor, factors: &[Tensor; 4]| {
        let dims = tensor.dims().to_vec();
        let (rows, inputs, taps) = (dims[0], dims[1], dims[2..].iter().product::<usize>());
        let [a1, a2, b1, b2] = factors.clone().map(|f| f.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let w = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut out = vec![0.0f32; w.len()];
        for (index, out) in out.iter_mut().enumerate() {
            let (o, i, t) = (index / (inputs * taps), index / taps % inputs, index % taps);
            let mut sum = 0.0;
            for r in 0..rank {
                sum += b1[o * rank + r] * b2[(r * inputs + i) * taps + t];
                let wa: f32 = (0..inputs).map(|j| w[(o * inputs + j) * taps + t] * a1[j * rank + r]).sum();
                sum += wa * a2[r * inputs + i];
            }
            *out = 0.5 * (2.0 / rank as f32) * sum;
        }
        assert_eq!(out.len(), rows * inputs * taps);
        Tensor::from_vec(out, dims, &Device::Cpu).unwrap()
    };
    let layers = [(QUERY, 10), (FEED_FORWARD, 20), (CONV, 30)];
    for old in [false, true] {
        let mut adapter = Tensors::new();
        // The first versions had each pair the other way round, and no convolutions.
        for (layer, seed) in layers.iter().filter(|(layer, _)| !old || *layer != CONV) {
            let [a1, a2, b1, b2] = factors(layer, *seed);
            let named = if old { [a2, a1, b2, b1] } else { [a1, a2, b1, b2] };
            for (name, factor) in ["a1", "a2", "b1", "b2"].into_iter().zip(named) {
                adapter.insert(format!("{}.{name}.weight", key("unet", layer)), factor);
            }
            adapter.insert(format!("{}.alpha", key("unet", layer)), Tensor::new(2f32, &Device::Cpu).unwrap());
        }
        check(if old { "glora of old" } else { "glora" }, &adapter, 0.5, |part, weights| {
            for (layer, seed) in layers.iter().filter(|(layer, _)| part == "unet" && (!old || *layer != CONV)) {
                let tensor = weights.get_mut(&format!("{layer}.weight")).unwrap();
                *tensor = (&*tensor + difference(tensor, &factors(layer, *seed))).unwrap();
            }
        });
    }
}

/// A file in Stable Diffusion's own numbering means what it means in Diffusers', and one with both counts once.
#[test]
fn both_numberings_mean_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let all = tensors(&more("lora/kohya_locon.safetensors"));
    // Blocks of two resnets and two attentions, then a downsampler.
    let original = |name: &str| -> Option<String> {
        for (from, to) in [
            ("lora_unet_down_blocks_0_attentions_0_", "lora_unet_input_blocks_1_1_"),
            ("lora_unet_down_blocks_0_attentions_1_", "lora_unet_input_blocks_2_1_"),
            ("lora_unet_down_blocks_2_attentions_0_", "lora_unet_input_blocks_7_1_"),
            ("lora_unet_mid_block_attentions_0_", "lora_unet_middle_block_1_"),
            ("lora_unet_up_blocks_1_attentions_2_", "lora_unet_output_blocks_5_1_"),
            ("lora_unet_up_blocks_3_attentions_1_", "lora_unet_output_blocks_10_1_"),
            ("lora_unet_down_blocks_1_resnets_1_conv1", "lora_unet_input_blocks_5_0_in_layers_2"),
            ("lora_unet_up_blocks_0_upsamplers_0_conv", "lora_unet_output_blocks_2_1_conv"),
            ("lora_unet_up_blocks_1_upsamplers_0_conv", "lora_unet_output_blocks_5_2_conv"),
            ("lora_unet_down_blocks_0_downsamplers_0_conv", "lora_unet_input_blocks_3_0_op"),
        ] {
            if let Some(rest) = name.strip_prefix(from) {
                return Some(format!("{to}{rest}"));
            }
        }
        None
    };
    let some: Tensors = all.into_iter().filter(|(name, _)| original(name).is_some()).collect();
    let renamed: Tensors = some.iter().map(|(name, tensor)| (original(name).unwrap(), tensor.clone())).collect();
    assert!(renamed.len() > 90, "{}", renamed.len());
    let both: Tensors = some.clone().into_iter().chain(renamed.clone()).collect();
    let models = opened(&fixture("model"));
    let draw = |name: &str, adapter: &Tensors| {
        latents(&models, vec![lora(&save(&folder.path().join(format!("{name}.safetensors")), adapter), 1.0)])
    };
    let plain = latents(&models, Vec::new());
    let expected = draw("diffusers", &some);
    assert_ne!(expected, plain);
    assert_eq!(draw("original", &renamed), expected);
    assert_eq!(draw("both", &both), expected);
}
