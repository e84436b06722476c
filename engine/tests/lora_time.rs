//! What a change costs at Stable Diffusion 1.5's size: measured, so it is not part of an ordinary run.
//! `cargo test --release -p instaflow-engine --test main lora_time -- --ignored --nocapture`

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{Decoder, Lora, OpenRequest, Precision, Settings, Source};
use instaflow_engine::text::{TextConfig, TextEncoder};
use instaflow_engine::unet::{UNet, UNetConfig};
use instaflow_test_support::{copy_folder, fixture};
use serde_json::json;

use crate::support::open;

/// Rank of the adapter, on all attention and feed-forward layers of both networks.
const RANK: usize = 32;

/// Writes a model folder of Stable Diffusion 1.5's U-Net and text encoder in f16, and an adapter for it. 2 GB.
fn write(folder: &Path) -> std::path::PathBuf {
    copy_folder(&fixture("model"), folder);
    let mut adapter = HashMap::new();
    let mut part = |name: &str, file: &str, prefix: &str, build: &dyn Fn(VarBuilder)| {
        let weights = VarMap::new();
        build(VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu));
        let data = weights.data().lock().unwrap();
        let half = data.iter().map(|(name, var)| (name.clone(), var.as_tensor().to_dtype(DType::F16).unwrap()));
        let half: HashMap<String, Tensor> = half.collect();
        candle_core::safetensors::save(&half, folder.join(name).join(file)).unwrap();
        for (name, tensor) in &half {
            let layer = name.trim_end_matches(".weight");
            let chosen = ["attn", "ff.net", "mlp", "proj_in", "proj_out"].iter().any(|part| layer.contains(part));
            if !chosen || !name.ends_with(".weight") || tensor.rank() < 2 {
                continue;
            }
            let key = format!("{prefix}{}", layer.replace('.', "_"));
            let (rows, columns) = (tensor.dims()[0], tensor.elem_count() / tensor.dims()[0]);
            let random = |shape| Tensor::randn(0f32, 0.01, shape, &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap();
            let kernel = &[1, 1][..tensor.rank() - 2];
            let shaped = |tensor: Tensor| tensor.reshape([tensor.dims(), kernel].concat()).unwrap();
            adapter.insert(format!("{key}.lora_up.weight"), shaped(random((rows, RANK))));
            adapter.insert(format!("{key}.lora_down.weight"), shaped(random((RANK, columns))));
        }
    };
    part("unet", "diffusion_pytorch_model.safetensors", "lora_unet_", &|vb| {
        UNet::new(vb, &UNetConfig::default()).unwrap();
    });
    part("text_encoder", "model.safetensors", "lora_te_", &|vb| {
        TextEncoder::new(vb, &TextConfig::default()).unwrap();
    });
    let unet = json!({ "_class_name": "UNet2DConditionModel", "sample_size": 64 });
    std::fs::write(folder.join("unet/config.json"), unet.to_string()).unwrap();
    let text = json!({ "architectures": ["CLIPTextModel"] });
    std::fs::write(folder.join("text_encoder/config.json"), text.to_string()).unwrap();
    let path = folder.join("adapter.safetensors");
    candle_core::safetensors::save(&adapter, &path).unwrap();
    println!("{} layers with rank {RANK}, {} MB", adapter.len() / 2, path.metadata().unwrap().len() >> 20);
    path
}

fn seconds(models: &Models, settings: &Settings) -> (f64, Vec<u32>) {
    let begun = Instant::now();
    let drawn = models.draw(settings, None, &mut |_| {}, &Cancel::default()).unwrap();
    (begun.elapsed().as_secs_f64(), drawn.latents.values.iter().map(|value| value.to_bits()).collect())
}

#[test]
#[ignore = "writes 2 GB, takes minutes, and measures the machine"]
fn changing_a_weight_at_stable_diffusions_size() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder.path().join("model"));
    for precision in [Precision::F32, Precision::Bf16] {
        let model = Source::Folder(folder.path().join("model"));
        let models = open(&OpenRequest { model, precision: Some(precision), ..OpenRequest::default() });
        // The picture is small, so that the change is most of what is measured.
        let plain = Settings { size: Some((64, 64)), decoder: Decoder::Full, ..Settings::student("a lake") };
        let with = |weight: f32| {
            let lora = Lora { file: file.clone(), weight, text_weight: weight };
            Settings { loras: vec![lora], ..plain.clone() }
        };
        let (_, own) = seconds(&models, &plain);
        let unchanged = seconds(&models, &plain).0;
        let mut last = Vec::new();
        for (what, settings) in [
            ("put in for the first time", with(1.0)),
            ("drawn again", with(1.0)),
            ("another weight", with(0.5)),
            ("another weight", with(-0.8)),
            ("taken out", plain.clone()),
            ("drawn again", plain.clone()),
        ] {
            let (time, bits) = seconds(&models, &settings);
            println!("{precision:?}: {what}: {:.2} s more than {unchanged:.2} s", time - unchanged);
            last = bits;
        }
        assert_eq!(last, own, "the exact bits come back");
    }
}
