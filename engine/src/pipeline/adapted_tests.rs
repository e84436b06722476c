//! LoRAs in each network, held to what kohya-ss' sd-scripts, LyCORIS, PEFT and Diffusers compute for the fixture's model;
//! whole pictures are in `tests/lora.rs`.

use candle_core::{Device, Tensor};
use instaflow_test_support::{Tolerance, assert_close_case, expected, fixture, more, tensor_in};
use serde_json::Value;

use super::*;
use crate::pipeline::conditioning::Conditioning;
use crate::protocol::{OpenRequest, Source, Timings};

/// The reference's own.
const TOLERANCE: Tolerance = Tolerance::of_largest(1e-4);

fn reference(name: &str) -> Tensor {
    let (shape, values) = tensor_in(&more("lora.safetensors"), name);
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

#[test]
fn every_case_gives_the_published_embeddings_and_predictions() -> Result<()> {
    let request = OpenRequest { model: Source::Folder(fixture("model")), ..OpenRequest::default() };
    let models = Models::open(&request, &mut |_| {})?;
    let model = models.model(Role::Student)?;
    let (shape, noise) = expected("noise");
    let noise = Tensor::from_vec(noise, shape, &Device::Cpu)?;
    let timesteps = Tensor::full(1000f32, noise.dim(0)?, &Device::Cpu)?;
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(more("lora.json")).expect("the cases")).expect("a list of cases");
    assert_eq!(cases.len(), 29);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let files = case["files"].as_array().expect("files").iter().zip(case["weights"].as_array().expect("weights"));
        let loras = files.map(|(file, weight)| {
            let weight = weight.as_f64().expect("a number") as f32;
            Lora { file: more(file.as_str().expect("a path")), weight, text_weight: weight }
        });
        let loras: Vec<Lora> = loras.collect();
        let cancel = Cancel::default();
        let mut embeddings = Vec::new();
        for prompt in case["prompts"].as_array().expect("prompts") {
            let prompt = prompt.as_str().expect("a text");
            let settings = Settings { loras: loras.clone(), ..Settings::student(prompt) };
            let _adapted = model.adapt(&models, &settings, &[], &cancel)?;
            let conditioning = Conditioning::read(model, &settings, false)?;
            embeddings.push(conditioning.encode(&models, &mut Timings::default(), &cancel)?);
        }
        let embeddings = Tensor::cat(&embeddings, 0)?;
        let distance = assert_close_case(name, &embeddings, reference(&format!("{name}.prompt_embeds")), TOLERANCE);
        let settings = Settings { loras, ..Settings::student("") };
        let _adapted = model.adapt(&models, &settings, &[], &cancel)?;
        let prediction = model.unet.network.forward(&noise, &timesteps, &embeddings, &cancel)?;
        let of_unet = assert_close_case(name, &prediction, reference(&format!("{name}.unet_t1000")), TOLERANCE);
        println!("{name}: {:.1e} and {:.1e} of the largest value", distance.of_largest(), of_unet.of_largest());
    }
    Ok(())
}
