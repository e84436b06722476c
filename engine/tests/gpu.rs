//! The networks and whole pictures on a GPU, held to what the published Python implementations compute
//! (tests/fixtures/tiny-sd), in every arithmetic, beside the CPU's own errors: prints a table. Another network's tensors
//! belong into `networks`, another run of the pipeline into `RUNS`.
//!
//! `cargo test --release -p instaflow-engine --no-default-features --features cudnn --test main gpu:: -- --ignored --nocapture`

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use instaflow_engine::pipeline::{Latents, Models};
use instaflow_engine::protocol::{DeviceChoice, OpenRequest, Precision, Settings, Source};
use instaflow_engine::text::{TextConfig, TextEncoder};
use instaflow_engine::unet::{UNet, UNetConfig};
use instaflow_engine::vae::Autoencoder;
use instaflow_engine::{Cancel, device};
use instaflow_test_support::{PROMPT, Tolerance, compare, fixture};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A column of the table: where, in which arithmetic, and the largest error allowed, relative to a tensor's largest value.
/// f32 as the fixture's README has it; the others keep 8 and 11 bits through some twenty layers.
const COLUMNS: [(DeviceChoice, Precision, f64); 5] = [
    (DeviceChoice::Cpu, Precision::F32, 1e-4),
    (DeviceChoice::Cpu, Precision::Bf16, 5e-2),
    (DeviceChoice::Cuda, Precision::F32, 1e-4),
    (DeviceChoice::Cuda, Precision::Bf16, 5e-2),
    (DeviceChoice::Cuda, Precision::F16, 1e-2),
];

/// Runs of the pipeline, by the name of their expected latents: steps and guidance.
const RUNS: [(&str, u32, f32); 3] =
    [("one_step_latents", 1, 0.0), ("teacher_8_latents", 8, 1.0), ("teacher_4_cfg2_latents", 4, 2.0)];

#[test]
#[ignore = "needs an NVIDIA GPU and a build with `--features cudnn`"]
fn every_arithmetic_is_the_references() -> Result {
    check(&COLUMNS)
}

#[test]
fn the_cpu_is_the_references_in_the_same_table() -> Result {
    check(&COLUMNS[..2])
}

fn check(columns: &[(DeviceChoice, Precision, f64)]) -> Result {
    let expected = candle_core::safetensors::load(fixture("expected.safetensors"), &Device::Cpu)?;
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut too_far = Vec::new();
    for &(choice, precision, tolerance) in columns {
        let (device, name) = device::open(choice)?;
        println!("{name}, {precision:?}");
        let mut found = networks(&device, device::dtype(&device, Some(precision), 0)?, &expected)?;
        found.extend(runs(choice, precision, &expected)?);
        for (index, (name, values)) in found.into_iter().enumerate() {
            let off = match compare(&values, &expected[&name], Tolerance::of_largest(tolerance)) {
                Ok(distance) => distance.of_largest(),
                Err(mismatch) => {
                    too_far.push(format!("{name} on {choice:?} in {precision:?}: {mismatch}"));
                    f64::NAN
                }
            };
            match rows.get_mut(index) {
                Some((_, row)) => row.push(off),
                None => rows.push((name, vec![off])),
            }
        }
    }
    let heads = columns.iter().map(|(choice, precision, _)| format!("{:>12}", format!("{choice:?} {precision:?}")));
    println!("{:24}{}", "largest error", heads.collect::<Vec<_>>().concat());
    for (name, row) in rows {
        let row: Vec<String> = row.iter().map(|off| format!("{off:>12.1e}")).collect();
        println!("{name:24}{}", row.concat());
    }
    assert!(too_far.is_empty(), "{}", too_far.join("\n"));
    Ok(())
}

/// What every network gives, by the name of what is expected.
fn networks(device: &Device, dtype: DType, expected: &HashMap<String, Tensor>) -> Result<Vec<(String, Tensor)>> {
    let input = |name: &str| expected[name].to_dtype(dtype)?.to_device(device);
    let weights = |path: &str| -> Result<VarBuilder<'static>> {
        Ok(VarBuilder::from_tensors(candle_core::safetensors::load(fixture(path), device)?, dtype, device))
    };
    let cancel = Cancel::default();
    let mut found = Vec::new();

    let config: TextConfig = json("model/text_encoder/config.json")?;
    let encoder = TextEncoder::new(weights("model/text_encoder/model.safetensors")?, &config)?;
    found.push(("prompt_embeds".to_owned(), encoder.forward(&Tensor::new(tokens()?, device)?)?));

    let config: UNetConfig = json("model/unet/config.json")?;
    let unet = UNet::new(weights("model/unet/diffusion_pytorch_model.safetensors")?, &config)?;
    let config: UNetConfig = json("stacked_unet/config.json")?;
    let stacked = UNet::new(weights("stacked_unet/diffusion_pytorch_model.safetensors")?, &config)?;
    let (noise, context) = (input("noise")?, input("prompt_embeds")?.narrow(0, 0, 2)?);
    for (name, network, time) in [
        ("unet_t1000", &unet, 1000f32),
        ("unet_t520", &unet, 520.0),
        ("unet_t40", &unet, 40.0),
        ("stacked_t1000", &stacked, 1000.0),
    ] {
        let times = Tensor::new(&[time; 2], device)?;
        found.push((name.to_owned(), network.forward(&noise, &times, &context, &cancel)?));
    }

    let config: serde_json::Value = json("model/vae/config.json")?;
    let scale = config["scaling_factor"].as_f64().ok_or("no scaling_factor")?;
    let vae = Autoencoder::new(weights("model/vae/diffusion_pytorch_model.safetensors")?, &config)?;
    found.push(("vae_out".to_owned(), vae.decode(&input("vae_in")?, &cancel)?));
    found.push(("vae_mean".to_owned(), (vae.encode(&input("encode_in")?, &cancel)? / scale)?));

    let config: serde_json::Value = json("vae_tiny/config.json")?;
    let tiny = Autoencoder::new(weights("vae_tiny/diffusion_pytorch_model.safetensors")?, &config)?;
    found.push(("tiny_out".to_owned(), tiny.decode(&input("vae_in")?, &cancel)?));
    found.push(("tiny_latents".to_owned(), tiny.encode(&input("encode_in")?, &cancel)?));
    Ok(found)
}

/// The latents of whole pictures, by the name of what is expected.
fn runs(
    choice: DeviceChoice,
    precision: Precision,
    expected: &HashMap<String, Tensor>,
) -> Result<Vec<(String, Tensor)>> {
    let model = Source::Folder(fixture("model"));
    let request = OpenRequest {
        model: model.clone(),
        teacher: Some(model),
        device: choice,
        precision: Some(precision),
        ..OpenRequest::default()
    };
    let models = Models::open(&request, &mut |_| {})?;
    let noise = Latents { shape: [1, 4, 16, 16], values: expected["noise"].get(0)?.flatten_all()?.to_vec1()? };
    RUNS.iter()
        .map(|&(name, steps, guidance)| {
            let settings = Settings { steps, guidance, ..Settings::teacher(PROMPT) };
            let latents = models.draw(&settings, Some(&noise), &mut |_| {}, &Cancel::default())?.latents;
            Ok((name.to_owned(), Tensor::from_vec(latents.values, &latents.shape, &Device::Cpu)?))
        })
        .collect()
}

/// The token ids behind `prompt_embeds`, in its order.
fn tokens() -> Result<Vec<Vec<u32>>> {
    let cases: serde_json::Value = json("cases.json")?;
    let mut rows: Vec<(u64, Vec<u32>)> = Vec::new();
    for case in cases["cases"].as_array().ok_or("no cases")? {
        if let Some(row) = case["embeds_row"].as_u64().filter(|_| case["kind"] == "tokens") {
            rows.push((row, serde_json::from_value(case["ids"].clone())?));
        }
    }
    rows.sort();
    Ok(rows.into_iter().map(|(_, ids)| ids).collect())
}

fn json<T: serde::de::DeserializeOwned>(path: &str) -> Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(fixture(path))?)?)
}
