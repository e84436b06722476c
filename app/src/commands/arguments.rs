//! Arguments that several commands share, as they are typed; [`super::resolved`] checks them.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use instaflow_engine::adapters;
use instaflow_engine::protocol::{
    Carry, Decoder, DeviceChoice, Lora, NoiseSchedule, OpenRequest, Precision, Prediction, PromptSyntax, Sampler,
    Settings, Source,
};
use instaflow_hub::Role;

use instaflow_engine::picture_file::DEFAULT_QUALITY;

use crate::model_names;

use crate::folders;

/// Which model, and where it computes.
#[derive(Clone, Debug, Args)]
pub struct ModelArguments {
    /// Model folder in Diffusers layout, a pair (a folder with student/ and teacher/), or a checkpoint in one file
    /// [default: the built-in Pocket pair]
    #[arg(long, value_name = "DIR|FILE.safetensors")]
    pub model: Option<PathBuf>,

    /// Folder or file of the teacher, if --model names only a student
    #[arg(long, value_name = "DIR|FILE.safetensors")]
    pub teacher_model: Option<PathBuf>,

    /// Model folder whose configs, tokenizer and missing parts a checkpoint in one file gets [default: by its shapes]
    #[arg(long, value_name = "DIR")]
    pub config: Option<PathBuf>,

    /// Take the averaged weights (model_ema.*) of a checkpoint in one file
    #[arg(long)]
    pub ema: bool,

    /// Folder or file of an autoencoder to use in place of the student's and the teacher's own
    #[arg(long, value_name = "DIR|FILE.safetensors")]
    pub vae: Option<PathBuf>,

    /// Folder or file of an AutoencoderTiny (TAESD) to use as the tiny decoder
    #[arg(long, value_name = "DIR|FILE.safetensors")]
    pub tiny_decoder: Option<PathBuf>,

    /// A textual inversion that prompts may name, or a folder of them; its token is the file's name, or the name in the
    /// file; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub embedding: Vec<PathBuf>,

    #[command(flatten)]
    pub carry: CarryArguments,

    /// Where to compute; auto uses CUDA if it is available [default: auto]
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_default_value = true, value_parser = device(), hide_possible_values = true)]
    pub device: DeviceChoice,

    /// Number format of the networks; f16 is only for CUDA. auto is bf16 on CUDA, and on a CPU that multiplies it faster if
    /// the model is large; otherwise f32 [default: auto]
    #[arg(long, value_name = "auto|f32|bf16|f16", default_value = "auto", hide_default_value = true, value_parser = precision(), hide_possible_values = true)]
    pub dtype: Dtype,

    /// What the U-Net predicts, if neither the model's files nor the table of known models say so: a flow's velocity, the
    /// noise, v, or the image
    #[arg(long, value_name = "flow|epsilon|v|sample", value_parser = prediction(), hide_possible_values = true)]
    pub recipe: Option<Prediction>,
}

/// A fine-tune whose difference is added.
#[derive(Clone, Debug, Default, Args)]
pub struct CarryArguments {
    /// Add to the U-Net what this fine-tune of Stable Diffusion changed in its base's, and take its text encoder and VAE
    #[arg(long, value_name = "DIR|FILE.safetensors", requires = "carry_base")]
    pub carry: Option<PathBuf>,

    /// What the fine-tune of --carry was tuned from
    #[arg(long, value_name = "DIR|FILE.safetensors", requires = "carry")]
    pub carry_base: Option<PathBuf>,

    /// How much of the difference [default: 1]
    #[arg(long, value_name = "A", requires = "carry", allow_negative_numbers = true, value_parser = number)]
    pub carry_weight: Option<f32>,
}

impl CarryArguments {
    fn carry(&self) -> Option<Carry> {
        // The engine looks at what is there.
        let source = |path: &PathBuf| Source::Folder(path.clone());
        let (finetune, base) = (self.carry.as_ref().map(source)?, self.carry_base.as_ref().map(source)?);
        Some(Carry { finetune, base, weight: self.carry_weight.unwrap_or(1.0) })
    }
}

/// What to record of the run.
#[derive(Clone, Debug, Default, Args)]
pub struct TraceArguments {
    /// Write where the time goes to this new file, for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
}

impl ModelArguments {
    /// Puts the folders of downloaded models in place of their names. A name may mean a pair.
    pub fn find_named(&mut self) -> anyhow::Result<()> {
        if let Some(named) = self.model.as_ref().map(|name| model_names::find(name)).transpose()?.flatten() {
            self.teacher_model = self.teacher_model.take().or(named.teacher);
            self.model = Some(named.path);
        }
        let single = |name: Option<PathBuf>, role| name.map(|name| model_names::path_of(name, role)).transpose();
        self.teacher_model = single(self.teacher_model.take(), Role::Teacher)?;
        self.tiny_decoder = single(self.tiny_decoder.take(), Role::TinyDecoder)?;
        Ok(())
    }

    /// Opens everything that is named, and a single folder as a student.
    pub fn open_request(&self) -> OpenRequest {
        OpenRequest {
            model: self.source(),
            teacher: self.teacher_model.clone().map(source),
            baseline: None,
            config: self.config.clone(),
            ema: self.ema,
            vae: self.vae.clone(),
            tiny_decoder: self.tiny_decoder.clone(),
            embeddings: self.embedding.clone(),
            device: self.device,
            precision: self.dtype.0,
            prediction: self.recipe,
            carry: self.carry.carry(),
            ..OpenRequest::default()
        }
    }

    /// Opens what one picture needs: the student, or the teacher.
    pub(super) fn open_one(&self, teacher: bool) -> OpenRequest {
        match (&self.teacher_model, teacher) {
            (Some(folder), true) => {
                OpenRequest { model: source(folder.clone()), teacher: None, as_teacher: true, ..self.open_request() }
            }
            (_, as_teacher) => OpenRequest { teacher: None, as_teacher, ..self.open_request() },
        }
    }

    fn source(&self) -> Source {
        self.model.clone().map_or(Source::Pocket, source)
    }
}

/// A third model beside student and teacher.
#[derive(Clone, Debug, Args)]
pub struct BaselineArguments {
    /// Folder or file of a third model to compare with: the base flow, or Stable Diffusion
    #[arg(long, value_name = "DIR|FILE.safetensors")]
    pub baseline_model: Option<PathBuf>,
}

/// A model at a path: a file or a folder, as it is on disk. What is not there is what its name looks like.
pub fn source(path: PathBuf) -> Source {
    let looks_like_file = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    if path.is_file() || (looks_like_file && !path.is_dir()) { Source::File(path) } else { Source::Folder(path) }
}

/// The same request with absolute paths, so that the next start finds the folders from anywhere.
pub fn absolute(request: OpenRequest) -> OpenRequest {
    let whole = |folder: PathBuf| std::path::absolute(&folder).unwrap_or(folder);
    let source = |source| match source {
        Source::Folder(folder) => Source::Folder(whole(folder)),
        Source::File(file) => Source::File(whole(file)),
        Source::Pocket => Source::Pocket,
    };
    OpenRequest {
        model: source(request.model),
        teacher: request.teacher.map(source),
        baseline: request.baseline.map(source),
        config: request.config.map(whole),
        vae: request.vae.map(whole),
        tiny_decoder: request.tiny_decoder.map(whole),
        carry: request.carry.map(|carry| Carry {
            finetune: source(carry.finetune),
            base: source(carry.base),
            weight: carry.weight,
        }),
        embeddings: request.embeddings.into_iter().map(whole).collect(),
        ..request
    }
}

impl BaselineArguments {
    /// Puts the folder of a downloaded model in place of its name.
    pub fn find_named(&mut self) -> anyhow::Result<()> {
        let name = self.baseline_model.take();
        self.baseline_model = name.map(|name| model_names::path_of(name, Role::Baseline)).transpose()?;
        Ok(())
    }

    /// The same request with this model in it.
    pub fn add_to(&self, request: OpenRequest) -> OpenRequest {
        OpenRequest { baseline: self.baseline_model.clone().map(source), ..request }
    }
}

/// How prompts are read.
#[derive(Clone, Debug, Args)]
pub struct PromptArguments {
    /// Whose rules say what brackets, BREAK and <lora:…> in a prompt mean; off takes every character as text
    /// [default: a1111]
    #[arg(long, value_name = "a1111|comfyui|off", default_value = "a1111", hide_default_value = true, value_parser = prompt_syntax(), hide_possible_values = true)]
    pub prompt_syntax: PromptSyntax,

    /// Which layer of the text encoder counts, from the end: 1 is the last, 2 the last but one [default: 1]
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub clip_skip: u32,
}

impl PromptArguments {
    /// The same settings with prompts that are read so.
    pub(super) fn apply(&self, settings: Settings) -> Settings {
        Settings { prompt_syntax: self.prompt_syntax, clip_skip: self.clip_skip, ..settings }
    }
}

/// What is added to the weights of the model that draws.
#[derive(Clone, Debug, Default, Args)]
pub struct LoraArguments {
    /// Add a LoRA: a safetensors file, or its name if it is in the folder of LoRAs; then how much of it the U-Net and the
    /// text encoder take [default: 1]. Give the option again for another one
    #[arg(long = "lora", value_name = "FILE|NAME[:WEIGHT[:TEXT_WEIGHT]]", value_parser = lora)]
    pub loras: Vec<Lora>,
}

/// The same request with the folders in which LoRAs are looked for by name.
pub(super) fn with_loras(request: OpenRequest) -> OpenRequest {
    OpenRequest { lora_folders: folders::loras(), ..request }
}

impl LoraArguments {
    /// The same settings with these LoRAs.
    pub(super) fn apply(&self, settings: Settings) -> Settings {
        Settings { loras: self.loras.clone(), ..settings }
    }
}

/// The most pictures that one command draws.
pub(super) const MOST_PICTURES: u32 = 10_000;

/// What to draw and where to put it.
#[derive(Debug, Args)]
pub(super) struct DrawArguments {
    /// What to draw, in quotes; put -- before a prompt that starts with a dash
    pub prompt: String,

    /// Where to save (.png, .jpg or .webp); several pictures become NAME-001.png, NAME-002.png …
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Quality of a JPEG
    #[arg(long, value_name = "1..100", default_value_t = DEFAULT_QUALITY, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,

    #[command(flatten)]
    pub model: ModelArguments,

    #[command(flatten)]
    pub trace: TraceArguments,

    #[command(flatten)]
    pub reading: PromptArguments,

    #[command(flatten)]
    pub loras: LoraArguments,

    /// Number of steps, 1 to 50 [default: 1 for the student, 25 for other models]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub steps: Option<u32>,

    /// Guidance scale, 0 or more; it has an effect only above 1 [default: student 1, teacher 1.5, Stable Diffusion 5]
    #[arg(long, value_name = "G", allow_negative_numbers = true, value_parser = guidance)]
    pub guidance: Option<f32>,

    /// What to avoid; needs a guidance scale above 1
    #[arg(long, value_name = "TEXT")]
    pub negative: Option<String>,

    /// Seed of the noise, the same as torch.manual_seed(S) on a CPU; each further picture adds 1
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true, value_parser = seed)]
    pub seed: u64,

    /// Picture size in pixels [default: the model's own]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    pub size: Option<(u32, u32)>,

    /// How many pictures to draw, with ascending seeds [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PICTURES)))]
    pub count: Option<u32>,

    /// Which decoder: the model's own, or the fast tiny one [default: full]
    #[arg(long, value_name = "full|tiny", default_value = "full", hide_default_value = true, value_parser = decoder(), hide_possible_values = true)]
    pub decoder: Decoder,

    /// How to get from noise to a picture: by Euler steps along a flow, or with a sampler for diffusion models
    /// [default: flow, or dpmpp-2m for Stable Diffusion, or what a known model needs]
    #[arg(long, value_name = "flow|dpmpp-2m|ddim|euler|euler-a|unipc|heun|lms|lcm|tcd", value_parser = sampler(), hide_possible_values = true)]
    pub sampler: Option<Sampler>,

    /// Which noise levels a diffusion model's steps visit [default: what the model's files say]
    #[arg(long, value_name = "default|karras|trailing|linspace", value_parser = schedule(), hide_possible_values = true)]
    pub schedule: Option<Schedule>,

    /// Start from the tensor `noise` (N,C,h,w) in this file, which sets size and count; --seed then has no effect
    #[arg(long, value_name = "FILE.safetensors")]
    pub noise: Option<PathBuf>,

    /// Also save the final latents, as the f32 tensor `latents` (N,C,h,w), not divided by the scaling factor
    #[arg(long, value_name = "FILE.safetensors")]
    pub save_latents: Option<PathBuf>,

    /// Overwrite existing pictures and latents
    #[arg(long)]
    pub force: bool,
}

pub(super) fn device() -> impl TypedValueParser<Value = DeviceChoice> {
    PossibleValuesParser::new(["auto", "cpu", "cuda"]).map(|name| match name.as_str() {
        "cpu" => DeviceChoice::Cpu,
        "cuda" => DeviceChoice::Cuda,
        _ => DeviceChoice::Auto,
    })
}

/// A number format, or none for the device's own.
#[derive(Clone, Copy, Debug)]
pub struct Dtype(pub Option<Precision>);

pub(super) fn precision() -> impl TypedValueParser<Value = Dtype> {
    PossibleValuesParser::new(["auto", "f32", "bf16", "f16"]).map(|name| {
        Dtype(match name.as_str() {
            "f32" => Some(Precision::F32),
            "bf16" => Some(Precision::Bf16),
            "f16" => Some(Precision::F16),
            _ => None,
        })
    })
}

/// A schedule, or none for the model's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule(pub Option<NoiseSchedule>);

fn schedule() -> impl TypedValueParser<Value = Schedule> {
    let names = std::iter::once("default").chain(NoiseSchedule::ALL.map(NoiseSchedule::option));
    PossibleValuesParser::new(names)
        .map(|name| Schedule(NoiseSchedule::ALL.into_iter().find(|schedule| schedule.option() == name)))
}

fn prediction() -> impl TypedValueParser<Value = Prediction> {
    PossibleValuesParser::new(Prediction::ALL.map(Prediction::option)).map(|name| {
        Prediction::ALL.into_iter().find(|prediction| prediction.option() == name).unwrap_or(Prediction::Epsilon)
    })
}

pub(super) fn decoder() -> impl TypedValueParser<Value = Decoder> {
    PossibleValuesParser::new(["full", "tiny"]).map(|name| if name == "tiny" { Decoder::Tiny } else { Decoder::Full })
}

fn prompt_syntax() -> impl TypedValueParser<Value = PromptSyntax> {
    PossibleValuesParser::new(["a1111", "comfyui", "off"]).map(|name| match name.as_str() {
        "comfyui" => PromptSyntax::ComfyUi,
        "off" => PromptSyntax::Off,
        _ => PromptSyntax::A1111,
    })
}

fn sampler() -> impl TypedValueParser<Value = Sampler> {
    PossibleValuesParser::new(Sampler::ALL.map(Sampler::option))
        .map(|name| Sampler::ALL.into_iter().find(|sampler| sampler.option() == name).unwrap_or_default())
}

pub(super) fn size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || "write WIDTHxHEIGHT in pixels, for example 512x512".to_owned();
    let (width, height) = text.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
    match (width.parse(), height.parse()) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => Ok((width, height)),
        _ => Err(wrong()),
    }
}

/// `FILE`, `FILE:WEIGHT` or `FILE:WEIGHT:TEXT_WEIGHT`. A last part that is no number belongs to the path.
fn lora(text: &str) -> Result<Lora, String> {
    let number = |text: &str| text.parse::<f32>().ok().filter(|weight| weight.is_finite());
    let split = |text: &'_ str| -> Option<(String, f32)> {
        let (rest, last) = text.rsplit_once(':')?;
        Some((rest.to_owned(), number(last)?))
    };
    let (name, weight, text_weight) = match split(text) {
        None => (text.to_owned(), 1.0, 1.0),
        Some((rest, last)) => match split(&rest) {
            Some((name, weight)) => (name, weight, last),
            None => (rest, last, last),
        },
    };
    if name.is_empty() {
        return Err("write FILE, FILE:WEIGHT or FILE:WEIGHT:TEXT_WEIGHT".to_owned());
    }
    let file = adapters::find(&name, &folders::loras()).unwrap_or_else(|_| PathBuf::from(name));
    Ok(Lora { file, weight, text_weight })
}

pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

fn number(text: &str) -> Result<f32, String> {
    text.parse::<f32>().ok().filter(|number| number.is_finite()).ok_or_else(|| "write a number".to_owned())
}

fn guidance(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(scale) if scale.is_finite() && scale >= 0.0 => Ok(scale),
        _ => Err("a guidance scale is a number that is 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    #[test]
    fn a_lora_has_up_to_two_weights() {
        for (text, file, weight, text_weight) in [
            ("no/such.safetensors", "no/such.safetensors", 1.0, 1.0),
            ("no/such.safetensors:0.5", "no/such.safetensors", 0.5, 0.5),
            ("no/such.safetensors:-1:0.25", "no/such.safetensors", -1.0, 0.25),
            ("C:\\no\\such.safetensors", "C:\\no\\such.safetensors", 1.0, 1.0),
            ("no/su:ch", "no/su:ch", 1.0, 1.0),
            ("no/such:nan", "no/such:nan", 1.0, 1.0),
        ] {
            assert_eq!(lora(text), Ok(Lora { file: file.into(), weight, text_weight }), "{text}");
        }
        assert_error(lora(":1"), "write FILE");
    }

    #[test]
    fn sizes_are_two_positive_numbers() {
        for (text, expected) in [("512x768", Some((512, 768))), ("64X64", Some((64, 64)))] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        for text in ["", "x", "512", "512x", "0x64", "64x-64", "64x64x64", "4294967296x64", "a x b"] {
            assert_error(size(text), "WIDTHxHEIGHT");
        }
    }

    #[test]
    fn folders_are_found_again_from_another_one() {
        let named = |name: &str| Source::Folder(name.into());
        let request = OpenRequest {
            model: named("here/student"),
            teacher: Some(Source::Pocket),
            tiny_decoder: Some("tiny".into()),
            ..OpenRequest::default()
        };
        let here = std::env::current_dir().expect("a folder to be in");
        let whole = absolute(request);
        assert_eq!(whole.model, Source::Folder(here.join("here/student")));
        assert_eq!(
            (whole.teacher, whole.baseline, whole.tiny_decoder),
            (Some(Source::Pocket), None, Some(here.join("tiny")))
        );
    }

    #[test]
    fn guidance_is_a_finite_number_from_0_up() {
        assert_eq!(guidance("1.5"), Ok(1.5));
        for text in ["-0.1", "nan", "inf", "1e39", "", "two"] {
            assert_error(guidance(text), "0 or more");
        }
    }
}
