//! Plans and changes of a small network.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use instaflow_test_support::{assert_error, more};

use super::apply::{Adapted, Adapters, Own, Target, apply};
use super::file::Adapter;
use super::plan::{Changes, Model, Weighed, plan};
use crate::checkpoint::random_weights;
use crate::layers::{Linear, Registry, collect};
use crate::{Cancel, Result};

const QUERY: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
const KEY: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k";

/// The two layers of a U-Net that tell the families apart.
struct Small {
    query: Linear,
    key: Linear,
}

const OWN: Own = Own::Random { seed: 1 };

fn small(text_width: usize) -> (Small, Registry) {
    let build = |vb: VarBuilder<'static>| -> candle_core::Result<Small> {
        let layer = |name: &str, input| Linear::without_bias(&vb.pp(name), input, 320);
        Ok(Small { query: layer(QUERY, 320)?, key: layer(KEY, text_width)? })
    };
    let (network, registry) = collect(|| build(random_weights(1, DType::F32, &Device::Cpu)));
    (network.expect("a network"), registry)
}

/// A LoRA of rank 2 for these layers, (outputs, inputs), all of whose values are `value`.
fn lora(folder: &Path, name: &str, value: f32, layers: &[(&str, usize, usize)]) -> PathBuf {
    let tensor = |shape: (usize, usize)| Tensor::full(value, shape, &Device::Cpu).expect("a tensor");
    let tensors = layers.iter().flat_map(|(layer, outputs, inputs)| {
        let key = format!("lora_unet_{}", layer.replace('.', "_"));
        [
            (format!("{key}.lora_up.weight"), tensor((*outputs, 2))),
            (format!("{key}.lora_down.weight"), tensor((2, *inputs))),
        ]
    });
    let path = folder.join(format!("{name}.safetensors"));
    candle_core::safetensors::save(&tensors.collect(), &path).expect("a folder that can be written");
    path
}

fn planned(registry: &Registry, text_width: usize, is_flow: bool, files: &[(&Path, f32)]) -> Result<super::Plan> {
    let text = Registry::default();
    let model = Model { unet: (registry, 2), text: &text, text_width, is_flow };
    let adapters = files.iter().map(|(path, weight)| {
        let (weight, text_weight) = (*weight, *weight);
        Ok(Weighed { adapter: Adapters::default().open(path)?, weight, text_weight })
    });
    plan(&model, &adapters.collect::<Result<Vec<_>>>()?)
}

#[test]
fn another_base_is_refused_with_both_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let sdxl = lora(folder.path(), "sdxl", 0.1, &[(QUERY, 640, 640), (KEY, 640, 2048)]);
    let sd2 = lora(folder.path(), "sd2", 0.1, &[(QUERY, 320, 320), (KEY, 320, 1024)]);
    let other = lora(folder.path(), "other", 0.1, &[(QUERY, 320, 320), (KEY, 320, 32)]);
    for (width, file, says) in [
        (768, &sdxl, "was made for Stable Diffusion XL, but this model is Stable Diffusion 1: use one for"),
        (1024, &sdxl, "was made for Stable Diffusion XL, but this model is Stable Diffusion 2"),
        (768, &sd2, "was made for Stable Diffusion 2, but this model is Stable Diffusion 1"),
        (768, &other, "was made for another base model, and this model is Stable Diffusion 1: what it has under"),
        (16, &sdxl, "was made for Stable Diffusion XL, but this model is one whose text embeddings are 16 wide"),
    ] {
        let (_, registry) = small(width);
        assert_error(planned(&registry, width, false, &[(file, 1.0)]), says);
    }
    let (_, registry) = small(768);
    let nowhere = lora(folder.path(), "nowhere", 0.1, &[("down_blocks.9.nowhere", 4, 4)]);
    assert_error(planned(&registry, 768, false, &[(&nowhere, 1.0)]), "matches no layer of this model: it was made for");
    let good = lora(folder.path(), "good", 0.1, &[(QUERY, 320, 320), (KEY, 320, 768)]);
    assert_eq!(planned(&registry, 768, false, &[(&good, 1.0)]).expect("it fits").remarks, Vec::<String>::new());
}

#[test]
fn what_shortens_a_diffusion_is_remarked_on_for_a_flow() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = lora(folder.path(), "lcm-lora-sdv1-5", 0.1, &[(QUERY, 320, 320)]);
    let (_, registry) = small(768);
    let remarks = |is_flow| planned(&registry, 768, is_flow, &[(&file, 1.0), (&file, 0.5)]).expect("it fits").remarks;
    assert_eq!(remarks(false), Vec::<String>::new());
    let said = remarks(true);
    assert_eq!(said.len(), 1, "once for each file");
    assert!(said[0].contains("lcm-lora-sdv1-5.safetensors makes diffusion models draw in a few steps"), "{said:?}");
}

#[test]
fn a_change_that_is_broken_off_leaves_no_doubt() {
    let folder = tempfile::tempdir().expect("a folder");
    let (network, registry) = small(768);
    let one = lora(folder.path(), "one", 0.01, &[(QUERY, 320, 320), (KEY, 320, 768)]);
    let two = lora(folder.path(), "two", 0.02, &[(QUERY, 320, 320), (KEY, 320, 768)]);
    let x = |width| Tensor::full(0.5f32, (1, width), &Device::Cpu).expect("a tensor");
    let bits = || -> Vec<u32> {
        let both = [network.query.forward(&x(320)), network.key.forward(&x(768))];
        let values = both.map(|y| y.and_then(|y| y.flatten_all()?.to_vec1::<f32>()).expect("values"));
        values.concat().into_iter().map(f32::to_bits).collect()
    };
    let adapted = Adapted::default();
    let target = Target { registry: &registry, own: &OWN, adapted: &adapted, dtype: DType::F32, device: &Device::Cpu };
    let changes = |files: &[(&Path, f32)]| planned(&registry, 768, false, files).expect("they fit").unet;
    let to = |changes: &Changes, cancel: &Cancel| apply(&target, changes, cancel).map(|_| ());
    let cancel = Cancel::default();

    let plain = bits();
    let first = changes(&[(&one, 1.0)]);
    to(&first, &cancel).expect("it can be done");
    let (with_one, fingerprint) = (bits(), adapted.fingerprint());
    assert_ne!(with_one, plain);

    // What is meant for one layer fails at the other; that one may have been done by then, or not.
    let mut bad = changes(&[(&two, 1.0)]);
    let keys: Vec<String> = bad.values().map(|changes| changes[0].key.clone()).collect();
    bad.values_mut().next().expect("a layer")[0].key = keys[1].clone();
    for _ in 0..4 {
        assert_error(to(&bad, &cancel), "the computation failed");
        to(&first, &cancel).expect("it can be done");
        assert_eq!(
            (bits(), adapted.fingerprint()),
            (with_one.clone(), fingerprint.clone()),
            "back in its former state"
        );
    }
    assert_error(to(&bad, &cancel), "the computation failed");
    let stopped = Cancel::default();
    stopped.cancel();
    assert!(to(&changes(&[(&two, 0.5)]), &stopped).expect_err("it was stopped").is_cancelled());
    to(&Changes::new(), &cancel).expect("it can be done");
    assert_eq!((bits(), &*adapted.fingerprint()), (plain.clone(), ""), "the model's own bits");

    // The way to a state does not matter; the list does, with everything that is in it twice.
    to(&changes(&[(&two, -0.5), (&one, 1.0), (&one, 1.0)]), &cancel).expect("it can be done");
    let direct = bits();
    to(&changes(&[(&one, 0.25)]), &cancel).expect("it can be done");
    to(&changes(&[(&two, -0.5), (&one, 1.0), (&one, 1.0)]), &cancel).expect("it can be done");
    assert_eq!(bits(), direct);
    to(&changes(&[(&two, -0.5), (&one, 1.0)]), &cancel).expect("it can be done");
    assert_ne!(bits(), direct);
}

#[test]
fn files_describe_themselves() {
    let describe = |name: &str| super::describe(&more("lora").join(name));
    let linear = describe("kohya_linear.safetensors").expect("a good file");
    assert_eq!((linear.name.as_str(), linear.rank), ("kohya_linear", Some((4, 4))));
    assert!(linear.unet && linear.text_encoder && !linear.accelerator);
    assert_eq!(linear.kind.base.name(), "Stable Diffusion 1", "its remarks say so");
    let locon = describe("kohya_locon.safetensors").expect("a good file");
    assert_eq!((locon.rank, locon.kind.kind.name()), (Some((2, 4)), "LoCon"));
    assert!(!describe("peft_dora.safetensors").expect("a good file").text_encoder);
    assert!(describe("cloneofsimo.safetensors").expect("a good file").text_encoder);
    assert_error(describe("absent.safetensors"), "does not exist");
    assert_error(super::describe(&more("single_file/full_with_junk.safetensors")), "holds no LoRA: it is a checkpoint");
}

#[test]
fn a_file_has_the_hash_that_other_programs_give_it() {
    // sha256 of what follows the header, by Python's hashlib.
    let file = more("lora").join("kohya_linear.safetensors");
    let adapter = Adapter::open(&file).expect("a good file");
    assert_eq!(adapter.short_hash().as_deref(), Some("dc5d58a00e1c"));
    assert_eq!(adapter.stem(), "kohya_linear");
}
