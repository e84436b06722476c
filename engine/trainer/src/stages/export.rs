//! Writes a pair as it ships: a teacher's model folder, and a student's with what differs from it; weights in f16. Change
//! here what is in the folders; `engine/src/checkpoint` reads them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use serde_json::{Value, json};

use crate::architecture::{TEXT, UNET};
use crate::base_model::BaseModel;
use crate::file_io::{self, Metadata};
use crate::pair_data;
use crate::parameters::{Tensors, weights_fingerprint};
use crate::scenes;
use crate::stage::{Stage, Student};
use crate::training_run::Run;

/// Writes `folder/teacher`, the flow that `student` was distilled from, and `folder/student`; existing files of these
/// names are replaced one by one. Beside them `vocabulary.json` says what the scenes can show, in words.
pub fn write(run: &Run, folder: &Path, student: Student) -> Result<()> {
    let architecture = run.full_architecture()?;
    let autoencoder = match run.base_model() {
        Some(model) => model.autoencoder()?,
        None => run.trained(Stage::Decoder)?,
    };
    let flow = run.trained(Stage::Flow(student.from))?;
    pair_data::check_existing(run, &flow, Stage::Flow(student.from))?;
    let stage = Stage::Student(student);
    let distilled = run.trained(stage)?;
    let text = part(&flow, TEXT);
    ensure!(
        same(&text, &part(&distilled, TEXT))?,
        "the student was distilled from another {} than the one here: run `instaflow-trainer {}` anew",
        Stage::Flow(student.from).title(),
        stage.command()
    );
    let teacher = folder.join("teacher");
    for name in TOKENIZER {
        let source = run.tokenizer_folder().join(name);
        if source.exists() {
            let bytes = std::fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
            file_io::write(&teacher.join("tokenizer").join(name), &bytes)?;
        }
    }
    if run.base_model().is_none() {
        file_io::write_json(&folder.join("vocabulary.json"), &scenes::vocabulary_json::vocabulary())?;
    }
    file_io::write_json(&teacher.join("scheduler/scheduler_config.json"), &scheduler())?;
    let student_folder = folder.join("student");
    let vae = architecture.autoencoder["_class_name"].as_str().unwrap_or("AutoencoderKL");
    for (folder, stacks) in [(&teacher, 1), (&student_folder, student.stacks)] {
        let unet = architecture.unet_json(stacks);
        let class = unet["_class_name"].as_str().unwrap_or("UNet2DConditionModel");
        file_io::write_json(&folder.join("model_index.json"), &model_index(class, vae))?;
    }
    let components = [
        (teacher.join("text_encoder"), "model", architecture.text_encoder.clone(), text),
        (teacher.join("unet"), DIFFUSERS, architecture.unet_json(1), part(&flow, UNET)),
        (teacher.join("vae"), DIFFUSERS, architecture.autoencoder.clone(), autoencoder),
        (student_folder.join("unet"), DIFFUSERS, architecture.unet_json(student.stacks), part(&distilled, UNET)),
    ];
    let mut bytes = 0;
    for (folder, name, mut config, tensors) in components {
        if folder.ends_with("text_encoder") {
            config["dtype"] = json!("float16");
        }
        file_io::write_json(&folder.join("config.json"), &config)?;
        let path = folder.join(format!("{name}.safetensors"));
        bytes += write_weights(&path, &tensors)?;
    }
    file_io::print(&format!("{}: {:.1} MiB of weights\n", folder.display(), bytes as f64 / f64::from(1 << 20)))
}

/// Puts the run's autoencoder into a pair that is there, whose latents it must share; its flows and its student stay. For
/// a run that adopted that pair and trained the decoder alone.
pub fn write_decoder(run: &Run, folder: &Path) -> Result<()> {
    let teacher = folder.join("teacher");
    let before = BaseModel::open(&teacher)?.autoencoder()?;
    let autoencoder = run.trained(Stage::Decoder)?;
    for (name, tensor) in before.iter().filter(|(name, _)| name.starts_with("encoder.")) {
        let shipped = |tensor: &Tensor| -> Result<Vec<u32>> {
            let values = tensor.to_dtype(DType::F16)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f32::to_bits).collect())
        };
        let ours = autoencoder.get(name).map(shipped).transpose()?;
        ensure!(
            ours == Some(shipped(tensor)?),
            "{} has other latents than this run, so its student cannot be decoded with this decoder: adopt it first",
            teacher.display()
        );
    }
    let path = teacher.join("vae");
    file_io::write_json(&path.join("config.json"), &run.full_architecture()?.autoencoder)?;
    let bytes = write_weights(&path.join(format!("{DIFFUSERS}.safetensors")), &autoencoder)?;
    file_io::print(&format!("{}: {:.1} MiB of weights\n", path.display(), bytes as f64 / f64::from(1 << 20)))
}

/// The files that a tokenizer can consist of.
const TOKENIZER: [&str; 5] =
    ["vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json"];

/// How Diffusers names the weights of its models.
const DIFFUSERS: &str = "diffusion_pytorch_model";

fn write_weights(path: &PathBuf, tensors: &Tensors) -> Result<u64> {
    let half = tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(DType::F16)?)));
    // Transformers refuses files that do not say which library's layout they have.
    let metadata = Metadata::from([("format".to_owned(), "pt".to_owned())]);
    file_io::write_tensors(path, file_io::saved(&half.collect::<Result<_>>()?), metadata)?;
    Ok(std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}

/// The tensors below a prefix, without it.
fn part(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))).collect()
}

fn same(a: &Tensors, b: &Tensors) -> Result<bool> {
    Ok(weights_fingerprint(a, "")? == weights_fingerprint(b, "")?)
}

fn model_index(unet: &str, vae: &str) -> Value {
    json!({
        "_class_name": "RectifiedFlowPipeline",
        "_diffusers_version": "0.35.2",
        "feature_extractor": [null, null],
        "requires_safety_checker": false,
        "safety_checker": [null, null],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", unet],
        "vae": ["diffusers", vae],
    })
}

/// The published folders have this scheduler, and no one steps with it: pipelines want to find one.
fn scheduler() -> Value {
    json!({
        "_class_name": "PNDMScheduler",
        "_diffusers_version": "0.35.2",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "trained_betas": null,
    })
}
