//! A fine-tune that is carried over, held to the reference's LoRA: a model with a LoRA in its weights is a fine-tune of that
//! model, and carrying it over to the model itself with a weight is the LoRA with that weight.

use std::path::Path;

use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{Carry, Lora, OpenRequest, Settings, Source};
use instaflow_test_support::{PROMPT, Tolerance, assert_close_case, assert_error, fixture, more, tensor_in};

use crate::support::altered::{Tensors, altered_model, tensors};
use crate::support::{noise, open};

fn request(carry: Option<Carry>) -> OpenRequest {
    OpenRequest { model: Source::Folder(fixture("model")), carry, ..OpenRequest::default() }
}

fn carry(finetune: &Path, base: &Path, weight: f32) -> Carry {
    Carry { finetune: Source::Folder(finetune.to_owned()), base: Source::Folder(base.to_owned()), weight }
}

fn latents(models: &Models, loras: Vec<Lora>) -> Vec<f32> {
    let settings = Settings { loras, ..Settings::student(PROMPT) };
    models.draw(&settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap().latents.values
}

/// The fixture's model with kohya's LoRA in its weights, by kohya's formula.
fn with_lora(folder: &Path, unet_weight: f64, text_weight: f64) -> std::path::PathBuf {
    let lora = tensors(&more("lora/kohya_linear.safetensors"));
    altered_model(folder, |part, weights: &mut Tensors| {
        let (prefix, weight) =
            if part == "unet" { ("lora_unet_", unet_weight) } else { ("lora_te_text_model_", text_weight) };
        let mut changed = 0;
        for (name, tensor) in weights.iter_mut() {
            let Some(layer) = name.strip_suffix(".weight") else { continue };
            let layer = layer.trim_start_matches("text_model.").replace('.', "_");
            let part = |part: &str| lora.get(&format!("{prefix}{layer}.{part}"));
            let (Some(up), Some(down), Some(alpha)) = (part("lora_up.weight"), part("lora_down.weight"), part("alpha"))
            else {
                continue;
            };
            let alpha = f64::from(alpha.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]);
            let (up, down) = (up.flatten_from(1).unwrap(), down.flatten_from(1).unwrap());
            let scale = weight * alpha / down.dims()[0] as f64;
            let difference = (up.matmul(&down).unwrap() * scale).unwrap();
            *tensor = (&*tensor + difference.reshape(tensor.shape()).unwrap()).unwrap();
            changed += 1;
        }
        assert!(changed > 10, "{part}: {changed} layers");
    })
}

#[test]
fn a_fine_tune_is_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = with_lora(&folder.path().join("tuned"), 1.0, 0.6);
    let models = open(&request(Some(carry(&tuned, &fixture("model"), 0.6))));
    let (_, expected) = tensor_in(&more("lora.safetensors"), "kohya_linear.w0.6.rf_latents");
    let carried = latents(&models, Vec::new());
    assert_close_case("carried", carried.as_slice(), expected.as_slice(), Tolerance::of_largest(1e-4));

    // Neither name nor hash is that of the model alone, nor of another weight.
    let card = |models: &Models| models.summary().student.unwrap();
    let plain = open(&request(None));
    let other = open(&request(Some(carry(&tuned, &fixture("model"), 0.5))));
    let (carried_card, plain_card) = (card(&models), card(&plain));
    assert_eq!(carried_card.name, format!("{} + tuned", plain_card.name));
    let hashes = [carried_card.hash, plain_card.hash, card(&other).hash];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{hashes:?}");

    // Parts that are in memory are taken only for what they are.
    let again = |carry| Models::open_reusing(Some(&models), &request(carry), &mut |_| {}, &Cancel::default()).unwrap();
    assert_eq!(latents(&again(None), Vec::new()), latents(&plain, Vec::new()));
    assert_eq!(latents(&again(Some(carry(&tuned, &fixture("model"), 0.6))), Vec::new()), carried);

    // A LoRA goes on top of it, and off again.
    let file = more("lora/lycoris_loha.safetensors");
    assert_ne!(latents(&models, vec![Lora { file, weight: 0.7, text_weight: 0.7 }]), carried);
    assert_eq!(latents(&models, Vec::new()), carried);
}

#[test]
fn a_fine_tune_of_another_shape_is_refused_before_anything_is_loaded() {
    let refused = |carry: Carry, says: &str| {
        let mut loaded = 0;
        let opened = Models::open(&request(Some(carry)), &mut |_| loaded += 1);
        assert_error(opened.map(|models| models.summary()), says);
        assert_eq!(loaded, 0, "{says}");
    };
    let (model, stacked) = (fixture("model"), fixture("stacked_unet"));
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("stacked");
    std::fs::create_dir(&parts).unwrap();
    instaflow_test_support::copy_folder(&stacked, &parts.join("unet"));
    refused(carry(&parts, &model, 1.0), "lacks conv_in");
    refused(carry(&model, &parts, 1.0), "to carry a fine-tune over, it, its base and the model must be of one shape");
    refused(carry(&model, &model, f32::NAN), "with a weight of NaN");
    refused(carry(&fixture("vae_tiny"), &model, 1.0), "holds no U-Net");
    refused(carry(&folder.path().join("absent"), &model, 1.0), "does not exist");
    let wide = altered_model(&folder.path().join("wide"), |part, weights| {
        if part == "unet" {
            let zeros = candle_core::Tensor::zeros((17, 4, 3, 3), candle_core::DType::F32, &candle_core::Device::Cpu);
            weights.insert("conv_in.weight".to_owned(), zeros.unwrap());
        }
    });
    refused(
        carry(&model, &wide, 1.0),
        "has conv_in.weight in the shape [17, 4, 3, 3], but the model has [16, 4, 3, 3]",
    );
}

/// A tensor that the network does not ask for plays no part.
#[test]
fn junk_in_the_models_unet_is_not_asked_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let with_junk = altered_model(&folder.path().join("junk"), |part, weights| {
        if part == "unet" {
            let zeros = candle_core::Tensor::zeros(4, candle_core::DType::F32, &candle_core::Device::Cpu);
            weights.insert("position_ids".to_owned(), zeros.unwrap());
        }
    });
    let model = fixture("model");
    let plain = request(None);
    let request = OpenRequest { model: Source::Folder(with_junk), ..request(Some(carry(&model, &model, 1.0))) };
    assert_eq!(latents(&open(&request), Vec::new()), latents(&open(&plain), Vec::new()));
}

/// A fine-tune of which only the U-Net is there, in one file, leaves the model's other parts in place.
#[test]
fn a_file_with_a_unet_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = with_lora(&folder.path().join("tuned"), 1.0, 0.6);
    let alone = folder.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    instaflow_test_support::copy_folder(&tuned.join("unet"), &alone.join("unet"));
    let whole = open(&request(Some(carry(&tuned, &fixture("model"), 1.0))));
    let models = open(&request(Some(carry(&alone, &fixture("model"), 1.0))));
    let lora = Lora { file: more("lora/kohya_linear.safetensors"), weight: 0.0, text_weight: 0.6 };
    let (expected, drawn) = (latents(&whole, Vec::new()), latents(&models, vec![lora]));
    assert_close_case("the U-Net alone", drawn.as_slice(), expected.as_slice(), Tolerance::of_largest(1e-4));
}
