//! Checkpoints in one file, held to what the published Python implementations compute with them (tests/fixtures/more), and
//! to the model folders that have the same weights.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use instaflow_engine::checkpoint::{self, Component, Files, ModelFolder};
use instaflow_engine::protocol::{OpenRequest, Prediction, Source};
use instaflow_engine::text::{TextConfig, TextEncoder};
use instaflow_engine::unet::{UNet, UNetConfig};
use instaflow_engine::vae::Autoencoder;
use instaflow_engine::{Cancel, Error};
use instaflow_test_support::{PROMPT, Tolerance, assert_close_case, assert_error, copy_folder, fixture, more};
use tempfile::TempDir;

const PROMPTS: [&str; 2] = [PROMPT, "a shiba inu wearing a beret and black turtleneck"];
/// The reference's own tolerance.
const TOLERANCE: Tolerance = Tolerance::of_largest(1e-4);

fn file(name: &str) -> PathBuf {
    more(&format!("single_file/{name}.safetensors"))
}

fn load(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("a good file")
}

/// The configs, the tokenizer and the other parts of the fixture's model, with the small U-Net's config.
fn configs() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    copy_folder(&fixture("model"), folder.path());
    fs::remove_file(folder.path().join("unet/diffusion_pytorch_model.safetensors")).expect("it is there");
    fs::copy(more("micro/unet/config.json"), folder.path().join("unet/config.json")).expect("it can be copied");
    folder
}

fn open(path: &Path, config: Option<&Path>, ema: bool) -> Result<ModelFolder, Error> {
    ModelFolder::open(&Files::open(&Source::File(path.to_owned()), config, ema)?, None, None)
}

fn embeddings(model: &ModelFolder) -> Tensor {
    let tokenizer = model.tokenizer().expect("a tokenizer");
    let ids: Vec<Vec<u32>> = PROMPTS.iter().map(|prompt| tokenizer.encode(prompt)).collect();
    let config: TextConfig = model.text_encoder().parse().expect("a config");
    let encoder = TextEncoder::new(builder(model.text_encoder()), &config).expect("a text encoder");
    encoder.forward(&Tensor::new(ids, &Device::Cpu).expect("ids")).expect("embeddings")
}

fn builder(component: &Component) -> candle_nn::VarBuilder<'static> {
    component.builder(DType::F32, &Device::Cpu, &Cancel::default())
}

fn velocity(model: &ModelFolder, noise: &Tensor) -> Tensor {
    let config: UNetConfig = model.unet().parse().expect("a config");
    model.unet().check(DType::F32, |vb| UNet::new(vb, &config)).expect("every tensor fits");
    let unet = UNet::new(builder(model.unet()), &config).expect("a U-Net");
    let times = Tensor::new(&[1000f32; 2], &Device::Cpu).expect("times");
    unet.forward(noise, &times, &embeddings(model), &Cancel::default()).expect("a velocity")
}

#[test]
fn files_compute_what_the_reference_does() {
    let (folder, expected) = (configs(), load(&more("single_file.safetensors")));
    let noise = &expected["noise"];
    for (name, ema, wanted) in [
        ("full_with_junk", false, "full"),
        ("micro_unet_only", false, "micro"),
        ("micro_ema", false, "micro"),
        ("micro_ema", true, "micro_ema"),
    ] {
        let model = open(&file(name), Some(folder.path()), ema).expect(name);
        let got = velocity(&model, noise);
        assert_close_case(wanted, &got, &expected[&format!("{wanted}.unet_t1000")], TOLERANCE);
        if wanted == "full" {
            assert_close_case("prompts", embeddings(&model), &expected["full.prompt_embeds"], TOLERANCE);
            let first = |tensor: &Tensor| tensor.narrow(0, 0, 1).expect("a row");
            let latents = (first(noise) + first(&got)).expect("one step");
            assert_close_case("one step", latents, &expected["full.rf_latents"], TOLERANCE);
        }
    }
}

#[test]
fn autoencoders_in_files_are_the_folders() {
    let (folder, expected) = (configs(), load(&fixture("expected.safetensors")));
    let whole =
        ModelFolder::open(&Files::open_folder(&fixture("model")).expect("the fixture"), None, None).expect("it");
    for name in ["vae_bare", "full_with_junk", "micro_ema"] {
        let files = Files::open(&Source::File(file(name)), Some(folder.path()), false).expect(name);
        let vae = Component::open(&files.folder("vae")).expect(name);
        assert_eq!(vae.digest(), whole.vae().digest(), "{name}");
        let network = Autoencoder::new(builder(&vae), vae.config()).expect(name);
        let decoded = network.decode(&expected["vae_in"], &Cancel::default()).expect(name);
        assert_close_case(name, decoded, &expected["vae_out"], TOLERANCE);
    }
    // Beside a model, the file needs no other config than the model's.
    for (config, request) in [(None, "alone"), (Some(folder.path().to_owned()), "with configs")] {
        let request = (OpenRequest { vae: Some(file("vae_bare")), config, ..of(&fixture("model")) }, request);
        let opened = checkpoint::open(&request.0).expect(request.1);
        let student = opened.student.expect("a student");
        assert_eq!(student.hash(), whole.hash(), "{}", request.1);
        assert!(student.vae().path().ends_with("vae_bare.safetensors"));
    }
}

fn of(path: &Path) -> OpenRequest {
    OpenRequest { model: Source::Folder(path.to_owned()), ..OpenRequest::default() }
}

#[test]
fn remains_of_training_are_no_part_of_a_model() {
    let (folder, place) = (configs(), tempfile::tempdir().expect("a folder"));
    let full = file("full_with_junk");
    let clean: HashMap<String, Tensor> = load(&full)
        .into_iter()
        .filter(|(name, _)| {
            let part = ["model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."];
            let junk = ["position_ids", "loss.logvar"];
            part.iter().any(|part| name.starts_with(part)) && !junk.iter().any(|junk| name.ends_with(junk))
        })
        .collect();
    let path = place.path().join("clean.safetensors");
    candle_core::safetensors::save(&clean, &path).expect("it can be written");
    let hash = |path: &Path| open(path, Some(folder.path()), false).expect("a good file").hash();
    assert_eq!(hash(&path), hash(&full));
}

/// The text encoder of Stable Diffusion 2 has OpenCLIP's names, its three projections in one, and a layer too many.
#[test]
fn open_clips_names_are_read() {
    let (folder, place) = (configs(), tempfile::tempdir().expect("a folder"));
    let mut tensors: HashMap<String, Tensor> = load(&file("full_with_junk"));
    let text = load(&fixture("model/text_encoder/model.safetensors"));
    tensors.retain(|name, _| !name.starts_with("cond_stage_model."));
    let layers = [
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("self_attn.out_proj", "attn.out_proj"),
    ];
    let mut add = |name: String, tensor: Tensor| tensors.insert(format!("cond_stage_model.model.{name}"), tensor);
    for (from, to) in [
        ("embeddings.token_embedding.weight", "token_embedding.weight"),
        ("embeddings.position_embedding.weight", "positional_embedding"),
        ("final_layer_norm.weight", "ln_final.weight"),
        ("final_layer_norm.bias", "ln_final.bias"),
    ] {
        add(to.into(), text[&format!("text_model.{from}")].clone());
    }
    add("logit_scale".into(), Tensor::zeros((), DType::F32, &Device::Cpu).expect("a number"));
    // The third is the last of them, which does not count.
    for (to, from) in [(0, 0), (1, 1), (2, 0)] {
        for end in ["weight", "bias"] {
            let of = |name: &str| text[&format!("text_model.encoder.layers.{from}.{name}.{end}")].clone();
            for (name, new) in layers {
                add(format!("transformer.resblocks.{to}.{new}.{end}"), of(name));
            }
            let parts = ["q_proj", "k_proj", "v_proj"].map(|name| of(&format!("self_attn.{name}")));
            add(format!("transformer.resblocks.{to}.attn.in_proj_{end}"), Tensor::cat(&parts, 0).expect("one tensor"));
        }
    }
    let path = place.path().join("sd2.safetensors");
    candle_core::safetensors::save(&tensors, &path).expect("it can be written");
    let model = open(&path, Some(folder.path()), false).expect("a good file");
    let whole = Component::open(&Files::open_folder(&fixture("model/text_encoder")).expect("a folder")).expect("it");
    assert_eq!(model.text_encoder().digest(), whole.digest());
}

/// Weights of 8 bits are read, and multiplied by the factors that ComfyUI writes beside them.
#[test]
fn eight_bits_are_read_with_their_factors() {
    let (folder, place) = (configs(), tempfile::tempdir().expect("a folder"));
    let plain = load(&file("micro_unet_only"));
    let layer = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q";
    let mut tensors = HashMap::new();
    let mut expected = HashMap::new();
    for (name, tensor) in plain {
        let wide = tensor.to_dtype(DType::F32).expect("a tensor");
        let narrow = wide.to_dtype(DType::F8E4M3).expect("a tensor");
        expected.insert(name.clone(), narrow.to_dtype(DType::F32).expect("a tensor"));
        tensors.insert(name, narrow);
    }
    tensors
        .insert("model.diffusion_model.scaled_fp8".into(), Tensor::zeros(2, DType::F8E4M3, &Device::Cpu).expect("it"));
    tensors.insert(format!("{layer}.scale_weight"), Tensor::new(&[0.25f32], &Device::Cpu).expect("a factor"));
    let path = place.path().join("narrow.safetensors");
    candle_core::safetensors::save(&tensors, &path).expect("it can be written");
    let model = open(&path, Some(folder.path()), false).expect("a good file");
    let vb = builder(model.unet());
    let conv = vb.get((4, 4, 3, 3), "conv_in.weight").expect("a tensor");
    let name = "model.diffusion_model.input_blocks.0.0.weight";
    assert_close_case("plain", conv, &expected[name], Tolerance::EXACT);
    let query = vb.get((4, 4), "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight").expect("a tensor");
    let scaled = (&expected[&format!("{layer}.weight")] * 0.25).expect("a product");
    assert_close_case("scaled", query, scaled, Tolerance::EXACT);

    tensors.insert(format!("{layer}.scale_weight"), Tensor::new(&[0.25f32; 2], &Device::Cpu).expect("factors"));
    candle_core::safetensors::save(&tensors, &path).expect("it can be written");
    assert_error(open(&path, Some(folder.path()), false), "not one number");
}

/// TAESD's own repository has the decoder in a file of its own, whose layers have numbers.
#[test]
fn a_tiny_decoder_may_be_a_file() {
    let place = tempfile::tempdir().expect("a folder");
    let all = load(&fixture("vae_tiny/diffusion_pytorch_model.safetensors"));
    let half = |side: &str, shift: usize| -> HashMap<String, Tensor> {
        let prefix = format!("{side}.layers.");
        let own = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
        own.map(|(name, tensor)| {
            let (number, rest) = name.split_once('.').expect("a number");
            let number: usize = number.parse().expect("a number");
            (format!("{}.{rest}", number + shift), tensor.clone())
        })
        .collect()
    };
    let path = |name: &str| place.path().join(name);
    candle_core::safetensors::save(&half("decoder", 1), path("decoder.safetensors")).expect("it can be written");
    candle_core::safetensors::save(&half("encoder", 0), path("encoder.safetensors")).expect("it can be written");
    let whole = Component::open(&Files::open_folder(&fixture("vae_tiny")).expect("a folder")).expect("it");
    let open = |name: &str| ModelFolder::open_tiny(&Files::open(&Source::File(path(name)), None, false)?);
    let tiny = open("decoder.safetensors").expect("a good file");
    let tensors = |component: &Component, name: &str| builder(component).get_unchecked(name).expect("a tensor");
    for name in ["decoder.layers.0.weight", "decoder.layers.2.conv.0.weight"] {
        assert_close_case(name, tensors(&tiny, name), tensors(&whole, name), Tolerance::EXACT);
    }
    assert_error(open("encoder.safetensors"), "holds the encoder alone");
}

#[test]
fn what_a_file_lacks_is_said() {
    let (folder, bare) = (configs(), configs());
    for part in ["text_encoder", "vae"] {
        fs::remove_dir_all(bare.path().join(part)).expect("it is there");
    }
    let lora = bare.path().join("lora.safetensors");
    let tensors = HashMap::from([(
        "x.lora_down.weight".to_owned(),
        Tensor::zeros((1, 1), DType::F32, &Device::Cpu).expect("it"),
    )]);
    candle_core::safetensors::save(&tensors, &lora).expect("it can be written");
    let with = Some(folder.path());
    let cases: [(PathBuf, Option<&Path>, bool, &str); 9] = [
        (file("vae_bare"), None, false, "is a VAE without a U-Net"),
        (file("micro_unet_only"), None, false, "has no text encoder: give a model folder"),
        (file("full_with_junk"), None, false, "give the folder of its configs"),
        (file("micro_ema"), Some(bare.path()), false, "has no text encoder: give a model folder"),
        (file("full_with_junk"), with, true, "no averaged weights"),
        (lora, None, false, "is no model but a LoRA"),
        (bare.path().join("model.ckpt"), None, false, "can run code"),
        (bare.path().join("absent.safetensors"), None, false, "does not exist"),
        (file("micro_ema"), Some(Path::new("/no/such/folder")), false, "does not exist"),
    ];
    fs::write(bare.path().join("model.ckpt"), "").expect("it can be written");
    for (path, config, ema, says) in cases {
        let request = OpenRequest {
            model: Source::File(path),
            config: config.map(Path::to_owned),
            ema,
            prediction: Some(Prediction::Flow),
            ..OpenRequest::default()
        };
        assert_error(checkpoint::open(&request), says);
    }
}
