//! Files of adapters as they should not be, and as they may be: each a sentence, or a remark, and nothing of them stays.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{Lora, OpenRequest, Settings, Source};
use instaflow_test_support::{PROMPT, assert_error, fixture, more};

use crate::support::altered::{Tensors, numbers, save};
use crate::support::{noise, open};

const QUERY: &str = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
const CONV: &str = "lora_unet_down_blocks_0_resnets_0_conv1";

fn model() -> Models {
    open(&OpenRequest { model: Source::Folder(fixture("model")), ..OpenRequest::default() })
}

fn settings(files: &[&Path]) -> Settings {
    let loras = files.iter().map(|file| Lora { file: file.to_path_buf(), weight: 1.0, text_weight: 1.0 });
    Settings { loras: loras.collect(), ..Settings::student(PROMPT) }
}

fn bits(models: &Models, settings: &Settings) -> Vec<u32> {
    let drawn = models.draw(settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap();
    drawn.latents.values.iter().map(|value| value.to_bits()).collect()
}

/// Tensors of these shapes under one layer's name, with harmless values.
fn file(folder: &Path, name: &str, layer: &str, parts: &[(&str, &[usize])]) -> PathBuf {
    let tensors = parts.iter().map(|(part, shape)| (format!("{layer}.{part}"), numbers(shape, 0.1, 1)));
    save(&folder.join(format!("{name}.safetensors")), &tensors.collect())
}

/// A file's name, its layer, its tensors and what is said of it.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a [usize])], &'a str);

/// The layers are (16, 16) and (16, 16, 3, 3). Products of the larger shapes would take terabytes.
#[test]
fn shapes_that_do_not_fit_are_refused_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let models = model();
    let plain = bits(&models, &settings(&[]));
    let many = 1 << 20;
    let other = "was made for another base model, and this model is one whose text embeddings are 16 wide";
    let cases: &[Case] = &[
        ("wide", QUERY, &[("lora_up.weight", &[32, 2]), ("lora_down.weight", &[2, 32])], other),
        ("vast", QUERY, &[("lora_up.weight", &[many, 1]), ("lora_down.weight", &[1, many])], other),
        ("ranks", QUERY, &[("lora_up.weight", &[16, 2]), ("lora_down.weight", &[3, 16])], other),
        ("rank", QUERY, &[("lora_up.weight", &[16, 5000]), ("lora_down.weight", &[5000, 16])], "rank 5000"),
        ("nothing", QUERY, &[("lora_up.weight", &[16, 0]), ("lora_down.weight", &[0, 16])], "holds nothing"),
        ("half", QUERY, &[("lora_up.weight", &[16, 2])], "is incomplete"),
        ("scalar", QUERY, &[("lora_up.weight", &[]), ("lora_down.weight", &[])], other),
        ("alpha", QUERY, &[("lora_up.weight", &[16, 2]), ("lora_down.weight", &[2, 16]), ("alpha", &[7])], other),
        (
            "core",
            CONV,
            &[
                ("lora_up.weight", &[16, 1, 1, 1]),
                ("lora_mid.weight", &[1, many, 1, 1]),
                ("lora_down.weight", &[1, 16, 1, 1]),
            ],
            other,
        ),
        (
            "taps",
            CONV,
            &[
                ("lora_up.weight", &[16, 2, 1, 1]),
                ("lora_mid.weight", &[2, 2, 64, 64]),
                ("lora_down.weight", &[2, 16, 1, 1]),
            ],
            other,
        ),
        (
            "hada",
            QUERY,
            &[("hada_w1_a", &[many, 1]), ("hada_w1_b", &[1, many]), ("hada_w2_a", &[16, 1]), ("hada_w2_b", &[1, 16])],
            other,
        ),
        ("hada half", QUERY, &[("hada_w1_a", &[16, 1]), ("hada_w1_b", &[1, 16])], "is incomplete"),
        ("kron", QUERY, &[("lokr_w1", &[4, many]), ("lokr_w2", &[4, 4])], other),
        ("kron half", QUERY, &[("lokr_w1", &[4, 4])], "is incomplete"),
        ("diff", QUERY, &[("diff", &[16, 15])], other),
        ("bias", CONV, &[("diff_b", &[17])], other),
        (
            "dora",
            QUERY,
            &[("lora_up.weight", &[16, 2]), ("lora_down.weight", &[2, 16]), ("dora_scale", &[3, 1])],
            other,
        ),
        ("glora", QUERY, &[("a1.weight", &[16, 2]), ("a2.weight", &[2, 16]), ("b1.weight", &[16, 2])], "is incomplete"),
        ("rotation", QUERY, &[("oft_blocks", &[4, 4, 4])], "is of the family OFT, which this program cannot apply"),
        ("weights", QUERY, &[("weight", &[16, 16])], "holds no LoRA"),
        (
            "elsewhere",
            "lora_unet_nowhere",
            &[("lora_up.weight", &[2, 2]), ("lora_down.weight", &[2, 2])],
            "matches no layer",
        ),
        ("unet:7", "unet:7", &[], "holds no LoRA"),
    ];
    for (name, layer, parts, says) in cases {
        let path = file(folder.path(), name, layer, parts);
        let wanted = settings(&[&path]);
        assert_error(models.draw(&wanted, Some(&noise()), &mut |_| {}, &Cancel::default()), says);
        assert_eq!(bits(&models, &settings(&[])), plain, "{name}: nothing of it stays");
    }
}

#[test]
fn values_that_are_no_numbers_are_refused_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let models = model();
    let good = more("lora/kohya_linear.safetensors");
    let before = bits(&models, &settings(&[&good]));
    for (index, (dtype, value)) in
        [(DType::F32, f32::NAN), (DType::F16, f32::INFINITY), (DType::BF16, f32::NEG_INFINITY)].into_iter().enumerate()
    {
        let tensor =
            |value: f32, shape: &[usize]| Tensor::full(value, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        // One of them, at the end.
        let down = Tensor::cat(&[tensor(0.1, &[1, 16]), tensor(value, &[1, 16])], 0).unwrap();
        let tensors = Tensors::from([
            (format!("{CONV}.lora_up.weight"), tensor(0.1, &[16, 2, 1, 1])),
            (format!("{CONV}.lora_down.weight"), tensor(0.1, &[2, 16, 3, 3])),
            (format!("{QUERY}.lora_up.weight"), tensor(0.1, &[16, 2])),
            (format!("{QUERY}.lora_down.weight"), down),
        ]);
        let path = save(&folder.path().join(format!("{index}.safetensors")), &tensors);
        let wanted = settings(&[&good, &path]);
        assert_error(models.draw(&wanted, Some(&noise()), &mut |_| {}, &Cancel::default()), "not finite");
        assert_eq!(bits(&models, &settings(&[&good])), before, "{dtype:?}");
    }
    let whole = Tensor::zeros((2, 16), DType::U32, &Device::Cpu).unwrap();
    let tensors = Tensors::from([
        (format!("{QUERY}.lora_up.weight"), numbers(&[16, 2], 0.1, 1)),
        (format!("{QUERY}.lora_down.weight"), whole),
    ]);
    let path = save(&folder.path().join("whole.safetensors"), &tensors);
    let drawn = models.draw(&settings(&[&path]), Some(&noise()), &mut |_| {}, &Cancel::default());
    assert_error(drawn, "in a type that weights do not have");
    let absent = folder.path().join("absent.safetensors");
    let drawn = models.draw(&settings(&[&absent]), Some(&noise()), &mut |_| {}, &Cancel::default());
    assert_error(drawn, "does not exist: give the file of a LoRA");
}

#[test]
fn keys_that_match_nothing_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let models = model();
    let tensors = Tensors::from([
        (format!("{QUERY}.lora_up.weight"), numbers(&[16, 2], 0.1, 1)),
        (format!("{QUERY}.lora_down.weight"), numbers(&[2, 16], 0.1, 2)),
        // The query has no bias.
        (format!("{QUERY}.diff_b"), numbers(&[16], 0.1, 3)),
        ("lora_te_text_model_encoder_layers_99_mlp_fc1.lora_up.weight".to_owned(), numbers(&[16, 2], 0.1, 4)),
        ("something.else".to_owned(), numbers(&[2], 0.1, 5)),
    ]);
    let path = save(&folder.path().join("partly.safetensors"), &tensors);
    let drawn = models.draw(&settings(&[&path, &path]), Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap();
    let [remark] = &drawn.picture.remarks[..] else { panic!("{:?}", drawn.picture.remarks) };
    assert!(remark.starts_with("3 of 5 keys of partly.safetensors match nothing in this model, such as "), "{remark}");
}

/// A file that is replaced under its name is read again.
#[test]
fn another_file_under_the_same_name_is_another_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let models = model();
    let path = folder.path().join("it.safetensors");
    let write = |rank: usize| {
        let tensors = Tensors::from([
            (format!("{QUERY}.lora_up.weight"), numbers(&[16, rank], 0.1, 1)),
            (format!("{QUERY}.lora_down.weight"), numbers(&[rank, 16], 0.1, 2)),
        ]);
        // Beside it and renamed, as programs do: the file that is mapped stays whole.
        let new = save(&folder.path().join("new"), &tensors);
        std::fs::rename(new, &path).unwrap();
    };
    write(2);
    let first = bits(&models, &settings(&[&path]));
    write(3);
    let second = bits(&models, &settings(&[&path]));
    assert_ne!(first, second);
    assert_eq!(second, bits(&model(), &settings(&[&path])));
}
