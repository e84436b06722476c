//! LoRA and its family, held to what kohya-ss' sd-scripts, LyCORIS, PEFT and Diffusers compute for the fixture's model with
//! the files of `fixtures/more/lora` (`lora.json` says which at which weight).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::{Latents, Models};
use instaflow_engine::protocol::{Lora, OpenRequest, Picture, Precision, Role, Settings, Source};
use instaflow_test_support::{Tolerance, assert_close_case, assert_error, fixture, more, tensor_in};
use serde_json::Value;

use crate::support::{noise, open};

/// The reference's own tolerance.
const TOLERANCE: Tolerance = Tolerance::of_largest(1e-4);

fn cases() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(more("lora.json")).unwrap()).unwrap()
}

fn file(name: &str) -> PathBuf {
    more("lora").join(name)
}

fn lora(file: PathBuf, weight: f32) -> Lora {
    Lora { file, weight, text_weight: weight }
}

fn student() -> Models {
    open(&OpenRequest { model: Source::Folder(fixture("model")), ..OpenRequest::default() })
}

fn settings(loras: Vec<Lora>) -> Settings {
    Settings { loras, ..Settings::student(instaflow_test_support::PROMPT) }
}

fn drawn(models: &Models, settings: &Settings) -> (Latents, Picture) {
    let start = noise();
    let drawn = models.draw(settings, Some(&start), &mut |_| {}, &Cancel::default()).unwrap();
    (drawn.latents, drawn.picture)
}

fn bits(latents: &Latents) -> Vec<u32> {
    latents.values.iter().map(|value| value.to_bits()).collect()
}

/// One step of the flow from the reference's noise, through text encoder and U-Net, for every case; all in one program, one
/// after the other.
#[test]
fn every_kind_of_file_changes_the_picture_as_published() {
    let models = student();
    let plain = bits(&drawn(&models, &settings(Vec::new())).0);
    let mut count = 0;
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let files = case["files"].as_array().unwrap().iter().map(|file| more(file.as_str().unwrap()));
        let weights = case["weights"].as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap() as f32);
        let loras = files.zip(weights).map(|(file, weight)| lora(file, weight)).collect();
        let (latents, picture) = drawn(&models, &settings(loras));
        let (_, expected) = tensor_in(&more("lora.safetensors"), &format!("{name}.rf_latents"));
        assert_close_case(name, latents.values.as_slice(), expected.as_slice(), TOLERANCE);
        assert_eq!(picture.remarks, Vec::<String>::new(), "{name}");
        assert_ne!(bits(&latents), plain, "{name}: it does something");
        count += 1;
    }
    assert!(count > 20, "{count} cases");
    assert_eq!(bits(&drawn(&models, &settings(Vec::new())).0), plain, "the exact bits come back");
}

/// Student and teacher are one network in memory here, with other LoRAs in turns.
#[test]
fn two_models_that_share_their_networks_take_different_ones() {
    let source = Source::Folder(fixture("model"));
    let pair = || open(&OpenRequest { model: source.clone(), teacher: Some(source.clone()), ..OpenRequest::default() });
    let one = settings(vec![lora(file("kohya_linear.safetensors"), 0.7)]);
    let other = Settings {
        steps: 2,
        ..Settings { role: Role::Teacher, ..settings(vec![lora(file("lycoris_loha.safetensors"), -0.5)]) }
    };
    let (fresh_one, fresh_other) = (bits(&drawn(&pair(), &one).0), bits(&drawn(&pair(), &other).0));
    let models = pair();
    for round in 0..3 {
        assert_eq!(bits(&drawn(&models, &one).0), fresh_one, "round {round}");
        assert_eq!(bits(&drawn(&models, &other).0), fresh_other, "round {round}");
    }
    // The same set in another order, at weight 0, or broken off.
    let none = settings(vec![lora(file("kohya_linear.safetensors"), 0.0)]);
    assert_eq!(bits(&drawn(&models, &none).0), bits(&drawn(&pair(), &settings(Vec::new())).0));
    let stopped = Cancel::default();
    stopped.cancel();
    assert!(models.draw(&other, Some(&noise()), &mut |_| {}, &stopped).unwrap_err().is_cancelled());
    assert_eq!(bits(&drawn(&models, &one).0), fresh_one, "after a change that was broken off");
}

/// Two threads that draw at once with the same networks wait for each other.
#[test]
fn pictures_that_are_drawn_at_once_do_not_meet() {
    let models = student();
    let wanted = [
        settings(vec![lora(file("kohya_linear.safetensors"), 0.7)]),
        settings(vec![lora(file("lycoris_loha.safetensors"), -0.5)]),
        settings(Vec::new()),
    ];
    let alone: Vec<_> = wanted.iter().map(|settings| bits(&drawn(&models, settings).0)).collect();
    std::thread::scope(|scope| {
        let threads = wanted.iter().zip(&alone).map(|(settings, alone)| {
            let models = &models;
            scope.spawn(move || (0..5).for_each(|_| assert_eq!(bits(&drawn(models, settings).0), *alone)))
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// In bf16, sums are taken in f32 and rounded once; and what was loaded comes back.
#[test]
fn in_half_precision_too() {
    let model = Source::Folder(fixture("model"));
    let models = open(&OpenRequest { model, precision: Some(Precision::Bf16), ..OpenRequest::default() });
    let plain = bits(&drawn(&models, &settings(Vec::new())).0);
    for (name, file_name, weight) in [
        ("kohya_locon.w0.6", "kohya_locon.safetensors", 0.6),
        ("dora_out.w1", "lycoris_dora.safetensors", 1.0),
        ("loha.w1", "lycoris_loha.safetensors", 1.0),
    ] {
        let (latents, _) = drawn(&models, &settings(vec![lora(file(file_name), weight)]));
        let (_, expected) = tensor_in(&more("lora.safetensors"), &format!("{name}.rf_latents"));
        assert_close_case(name, latents.values.as_slice(), expected.as_slice(), Tolerance::of_largest(0.03));
        assert_ne!(bits(&latents), plain, "{name}");
    }
    assert_eq!(bits(&drawn(&models, &settings(Vec::new())).0), plain, "the exact bits come back");
}

#[test]
fn a_prompt_names_a_lora() {
    let folder = more("lora");
    let request = OpenRequest {
        model: Source::Folder(fixture("model")),
        lora_folders: vec![folder.clone()],
        ..OpenRequest::default()
    };
    let models = open(&request);
    let prompt = format!("{} <lora:kohya_linear:0.6>", instaflow_test_support::PROMPT);
    let tagged = drawn(&models, &Settings::student(prompt)).0;
    let listed = drawn(&models, &settings(vec![lora(file("kohya_linear.safetensors"), 0.6)])).0;
    assert_eq!(bits(&tagged), bits(&listed));
    let (_, picture) = drawn(&models, &settings(vec![lora(file("kohya_linear.safetensors"), 0.6); 2]));
    assert_eq!(picture.lora_hashes, [("kohya_linear".to_owned(), "dc5d58a00e1c".to_owned())], "once");
    let absent = Settings::student("a lake <lora:nobody:1>");
    assert_error(models.draw(&absent, None, &mut |_| {}, &Cancel::default()), "no LoRA nobody");
}

/// Writes a file with these tensors.
fn write(path: &Path, tensors: &[(&str, Vec<f32>, &[usize])]) -> PathBuf {
    let tensors: HashMap<String, Tensor> = tensors
        .iter()
        .map(|(name, values, shape)| {
            ((*name).to_owned(), Tensor::from_vec(values.clone(), *shape, &Device::Cpu).unwrap())
        })
        .collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
    path.to_owned()
}

#[test]
fn files_that_do_not_fit_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let models = student();
    let plain = bits(&drawn(&models, &settings(Vec::new())).0);
    let query = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    let (up, down) = (format!("{query}.lora_up.weight"), format!("{query}.lora_down.weight"));
    for (name, tensors, words) in [
        (
            "wide",
            vec![(up.as_str(), vec![0.1; 64], &[32, 2][..]), (&down, vec![0.1; 64], &[2, 32])],
            "another base model",
        ),
        ("nan", vec![(&up, vec![f32::NAN; 32], &[16, 2]), (&down, vec![0.1; 32], &[2, 16])], "not finite"),
        ("half", vec![(&up, vec![0.1; 32], &[16, 2])], "is incomplete"),
        ("ranks", vec![(&up, vec![0.1; 32], &[16, 2]), (&down, vec![0.1; 48], &[3, 16])], "another base model"),
        ("elsewhere", vec![("lora_unet_nowhere.lora_up.weight", vec![0.1; 4], &[2, 2])], "matches no layer"),
        ("other", vec![("model.weight", vec![0.1; 4], &[2, 2])], "holds no LoRA"),
    ] {
        let path = write(&folder.path().join(format!("{name}.safetensors")), &tensors);
        let wanted = settings(vec![lora(path, 1.0)]);
        assert_error(models.draw(&wanted, Some(&noise()), &mut |_| {}, &Cancel::default()), words);
        assert_eq!(bits(&drawn(&models, &settings(Vec::new())).0), plain, "{name}: nothing of it stays");
    }
    let path = folder.path().join("partly.safetensors");
    let partly = [
        (up.as_str(), vec![0.1; 32], &[16, 2][..]),
        (&down, vec![0.1; 32], &[2, 16]),
        ("lora_unet_nowhere.lora_up.weight", vec![0.1; 4], &[2, 2]),
    ];
    let wanted = settings(vec![lora(write(&path, &partly), 1.0)]);
    let (_, picture) = drawn(&models, &wanted);
    assert_eq!(
        picture.remarks,
        ["1 of 3 keys of partly.safetensors match nothing in this model, such as lora_unet_nowhere.lora_up.weight."]
    );
}
