//! The networks, held to what the published Python implementations compute (tests/fixtures/tiny-sd), on every path
//! through the kernels.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use instaflow_engine::text::{TextConfig, TextEncoder};
use instaflow_engine::unet::{UNet, UNetConfig};
use instaflow_engine::vae::Autoencoder;
use instaflow_engine::{Cancel, Error};
use instaflow_test_support::{Tolerance, assert_close_case, fixture};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn json<T: serde::de::DeserializeOwned>(path: &str) -> Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(fixture(path))?)?)
}

/// A way through the kernels.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Packed weights, everything folded into few passes.
    F32,
    /// The same with 16-bit weights and activations.
    Bf16,
    /// Weights that learn: every layer on its own, with its gradient.
    Learning,
}

const WAYS: [Way; 3] = [Way::F32, Way::Bf16, Way::Learning];

impl Way {
    fn dtype(self) -> DType {
        if matches!(self, Self::Bf16) { DType::BF16 } else { DType::F32 }
    }

    /// bf16 keeps 8 bits, and every layer rounds anew.
    fn tolerance(self) -> Tolerance {
        Tolerance::of_largest(if matches!(self, Self::Bf16) { 3e-2 } else { 1e-4 })
    }

    fn weights(self, path: &str) -> Result<VarBuilder<'static>> {
        let mut tensors = candle_core::safetensors::load(fixture(path), &Device::Cpu)?;
        if matches!(self, Self::Learning) {
            for tensor in tensors.values_mut() {
                *tensor = Var::from_tensor(tensor)?.as_tensor().clone();
            }
        }
        Ok(VarBuilder::from_tensors(tensors, self.dtype(), &Device::Cpu))
    }

    #[track_caller]
    fn assert_close(self, what: &str, got: &Tensor, want: &Tensor) {
        assert_eq!(got.dtype(), self.dtype(), "{what}: type");
        let distance = assert_close_case(format!("{what}, {self:?}"), got, want, self.tolerance());
        println!("{what}, {self:?}: largest difference {:.1e} of the largest value", distance.of_largest());
    }
}

fn weights(path: &str) -> Result<VarBuilder<'static>> {
    Way::F32.weights(path)
}

fn expected() -> Result<HashMap<String, Tensor>> {
    Ok(candle_core::safetensors::load(fixture("expected.safetensors"), &Device::Cpu)?)
}

fn prompt_embeds(rows: usize) -> Result<Tensor> {
    Ok(expected()?["prompt_embeds"].narrow(0, 0, rows)?)
}

#[test]
fn text_encoder() -> Result {
    let cases: serde_json::Value = json("cases.json")?;
    let cases = cases["cases"].as_array().expect("cases");
    let mut ids: Vec<(u64, Vec<u32>)> = cases
        .iter()
        .filter(|case| case["kind"] == "tokens" && case["embeds_row"].is_u64())
        .map(|case| {
            let ids = case["ids"].as_array().expect("ids").iter().map(|id| id.as_u64().expect("id") as u32).collect();
            (case["embeds_row"].as_u64().expect("row"), ids)
        })
        .collect();
    ids.sort();
    assert_eq!(ids.len(), 6);
    let ids: Vec<Vec<u32>> = ids.into_iter().map(|(_, ids)| ids).collect();
    let config: TextConfig = json("model/text_encoder/config.json")?;
    let ids = Tensor::new(ids, &Device::Cpu)?;
    for way in WAYS {
        let encoder = TextEncoder::new(way.weights("model/text_encoder/model.safetensors")?, &config)?;
        way.assert_close("prompt_embeds", &encoder.forward(&ids)?, &expected()?["prompt_embeds"]);
    }
    Ok(())
}

#[test]
fn unet() -> Result {
    let config: UNetConfig = json("model/unet/config.json")?;
    let expected = expected()?;
    for way in WAYS {
        let unet = UNet::new(way.weights("model/unet/diffusion_pytorch_model.safetensors")?, &config)?;
        let (noise, context) = (expected["noise"].to_dtype(way.dtype())?, prompt_embeds(2)?.to_dtype(way.dtype())?);
        for time in [1000u32, 520, 40] {
            let times = Tensor::new(&[time as f32; 2], &Device::Cpu)?;
            let got = unet.forward(&noise, &times, &context, &Cancel::default())?;
            way.assert_close(&format!("unet_t{time}"), &got, &expected[&format!("unet_t{time}")]);
        }
    }
    Ok(())
}

#[test]
fn stacked_unet() -> Result {
    let config: UNetConfig = json("stacked_unet/config.json")?;
    assert_eq!(config.num_stacks, 2);
    let expected = expected()?;
    let times = Tensor::new(&[1000f32; 2], &Device::Cpu)?;
    for way in WAYS {
        let unet = UNet::new(way.weights("stacked_unet/diffusion_pytorch_model.safetensors")?, &config)?;
        let (noise, context) = (expected["noise"].to_dtype(way.dtype())?, prompt_embeds(2)?.to_dtype(way.dtype())?);
        let got = unet.forward(&noise, &times, &context, &Cancel::default())?;
        way.assert_close("stacked_t1000", &got, &expected["stacked_t1000"]);
    }
    Ok(())
}

#[test]
fn full_autoencoder() -> Result {
    let config: serde_json::Value = json("model/vae/config.json")?;
    let scale = config["scaling_factor"].as_f64().expect("scaling_factor");
    let (expected, cancel) = (expected()?, Cancel::default());
    for way in WAYS {
        let vae = Autoencoder::new(way.weights("model/vae/diffusion_pytorch_model.safetensors")?, &config)?;
        let given = |name: &str| expected[name].to_dtype(way.dtype());
        way.assert_close("vae_out", &vae.decode(&given("vae_in")?, &cancel)?, &expected["vae_out"]);
        let mean = (vae.encode(&given("encode_in")?, &cancel)? / scale)?;
        way.assert_close("vae_mean", &mean, &expected["vae_mean"]);
    }
    Ok(())
}

#[test]
fn tiny_autoencoder() -> Result {
    let config: serde_json::Value = json("vae_tiny/config.json")?;
    let (expected, cancel) = (expected()?, Cancel::default());
    for way in WAYS {
        let vae = Autoencoder::new(way.weights("vae_tiny/diffusion_pytorch_model.safetensors")?, &config)?;
        let given = |name: &str| expected[name].to_dtype(way.dtype());
        way.assert_close("tiny_out", &vae.decode(&given("vae_in")?, &cancel)?, &expected["tiny_out"]);
        way.assert_close("tiny_latents", &vae.encode(&given("encode_in")?, &cancel)?, &expected["tiny_latents"]);
    }
    Ok(())
}

#[test]
fn a_cancelled_job_stops_inside_the_unet() -> Result {
    let config: UNetConfig = json("model/unet/config.json")?;
    let unet = UNet::new(weights("model/unet/diffusion_pytorch_model.safetensors")?, &config)?;
    let cancel = Cancel::default();
    cancel.cancel();
    let times = Tensor::new(&[1000f32; 2], &Device::Cpu)?;
    let result = unet.forward(&expected()?["noise"], &times, &prompt_embeds(2)?, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
    Ok(())
}

#[test]
fn unknown_blocks_are_refused_by_name() -> Result {
    let mut config: UNetConfig = json("model/unet/config.json")?;
    config.down_block_types[0] = "ResnetDownBlock2D".into();
    let sentence = config.validate().expect_err("an unknown block type");
    assert!(sentence.contains("ResnetDownBlock2D"), "{sentence}");
    Ok(())
}
