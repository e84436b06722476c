//! The samplers of diffusion models, held to what Diffusers' schedulers give for the fixture's model with the settings and
//! the configs of `fixtures/more/samplers.json`, and Stable Diffusion 2's shapes with `sd2.json`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use instaflow_engine::Cancel;
use instaflow_engine::checkpoint;
use instaflow_engine::flow::noise::Generator;
use instaflow_engine::protocol::{ModelCard, NoiseSchedule, OpenRequest, Prediction, Role, Sampler, Settings, Source};
use instaflow_engine::text::{TextConfig, TextEncoder};
use instaflow_engine::unet::{UNet, UNetConfig};
use instaflow_test_support::{Tolerance, assert_close_case, assert_error, copy_folder, expected, fixture, tensor_in};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{noise, open};

/// The reference's own tolerance.
const TOLERANCE: Tolerance = Tolerance::of_largest(5e-4);

fn cases(file: &str) -> Vec<Value> {
    let text = std::fs::read(fixture("../more").join(file)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn wanted(file: &str, name: &str) -> Vec<f32> {
    tensor_in(&fixture("../more").join(file), name).1
}

fn write_json(path: &Path, value: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, value.to_string()).unwrap();
}

/// The sampler of a scheduler's class.
fn sampler(class: &str) -> Sampler {
    match class {
        "EulerDiscreteScheduler" => Sampler::Euler,
        "EulerAncestralDiscreteScheduler" => Sampler::EulerAncestral,
        "DPMSolverMultistepScheduler" => Sampler::DpmPlusPlus2M,
        "UniPCMultistepScheduler" => Sampler::UniPc,
        "HeunDiscreteScheduler" => Sampler::Heun,
        "LMSDiscreteScheduler" => Sampler::Lms,
        "DDIMScheduler" => Sampler::Ddim,
        "LCMScheduler" => Sampler::Lcm,
        "TCDScheduler" => Sampler::Tcd,
        other => panic!("{other}"),
    }
}

/// A folder of the fixture's model with the case's scheduler and U-Net.
fn folder(case: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("model"), folder.path());
    if case["unet"] == "lcm/unet" {
        copy_folder(&fixture("../more/lcm/unet"), &folder.path().join("unet"));
    }
    write_json(&folder.path().join("model_index.json"), &json!({ "_class_name": "StableDiffusionPipeline" }));
    write_scheduler(folder.path(), case);
    folder
}

fn write_scheduler(folder: &Path, case: &Value) {
    let mut config = case["scheduler_config"].clone();
    config["_class_name"] = case["scheduler"].clone();
    // Diffusers takes these as arguments of the pipeline.
    for key in ["eta", "guidance_rescale"] {
        config[key] = case[key].clone();
    }
    write_json(&folder.join("scheduler/scheduler_config.json"), &config);
}

fn settings(case: &Value, role: Role) -> Settings {
    let name = case["name"].as_str().unwrap();
    Settings {
        role,
        negative_prompt: case["negative_prompt"].as_str().unwrap().to_owned(),
        steps: case["num_inference_steps"].as_u64().unwrap() as u32,
        guidance: case["guidance_scale"].as_f64().unwrap() as f32,
        seed: case["generator_seed"].as_u64().unwrap_or(0),
        sampler: Some(sampler(case["scheduler"].as_str().unwrap())),
        // Diffusers' ancestral scheduler has no option for this.
        schedule: (name == "euler_a_karras").then_some(NoiseSchedule::Karras),
        ..Settings::student(case["prompt"].as_str().unwrap())
    }
}

/// Opens a single folder; the model is a student only if it draws in a few steps.
fn open_one(path: &Path) -> (instaflow_engine::pipeline::Models, Role, ModelCard) {
    let models = open(&OpenRequest { model: Source::Folder(path.to_owned()), ..OpenRequest::default() });
    let summary = models.summary();
    match (summary.student, summary.teacher) {
        (Some(card), _) => (models, Role::Student, card),
        (None, card) => (models, Role::Teacher, card.unwrap()),
    }
}

#[test]
fn the_samplers_are_diffusers() {
    let cases = cases("samplers.json");
    assert_eq!(cases.len(), 33);
    let mut seen = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        if name == "lcm_t800" {
            // Times of its own come from a recipe, so the engine's own tests draw it.
            continue;
        }
        let folder = folder(case);
        let (models, role, card) = open_one(folder.path());
        assert!(card.samplers.contains(&Sampler::Lms) && card.samplers.contains(&Sampler::Tcd));
        let drawn = models.draw(&settings(case, role), Some(&noise()), &mut |_| {}, &Cancel::default());
        let drawn = drawn.unwrap_or_else(|error| panic!("{name}: {error}"));
        let latents = wanted("samplers.safetensors", &format!("{name}.latents"));
        let distance = assert_close_case(name, &drawn.latents.values, &latents, TOLERANCE);
        println!("{name}: latents off by {:e} of the largest", distance.of_largest());
        // Noise on the way makes no path.
        let is_stochastic = case["noise_draws"].as_u64().unwrap() > 0;
        let has_path = settings(case, role).steps > 1 && !is_stochastic;
        assert_eq!(!drawn.picture.path.is_empty(), has_path, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 32);
}

/// What samplers add on the way is the stream of the seed's generator: after the start, or from its beginning if the start
/// is given.
#[test]
fn noise_on_the_way_is_torchs() {
    let mut compared = 0;
    for case in cases("samplers.json") {
        let (name, draws) = (case["name"].as_str().unwrap(), case["noise_draws"].as_u64().unwrap());
        let mut generator = Generator::new(case["generator_seed"].as_u64().unwrap());
        for draw in 0..draws {
            let name = format!("{name}.step_noise_{draw}");
            let torchs = wanted("samplers.safetensors", &name);
            assert_close_case(name, generator.randn(&[1, 4, 16, 16]), torchs, Tolerance::absolute(1e-6));
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");

    let case = cases("samplers.json").into_iter().find(|case| case["name"] == "euler_a").unwrap();
    let folder = folder(&case);
    let (models, role, _) = open_one(folder.path());
    let settings = Settings { steps: 4, seed: 42, ..settings(&case, role) };
    let draw = |settings: &Settings| models.draw(settings, None, &mut |_| {}, &Cancel::default()).unwrap().latents;
    assert_eq!(draw(&settings), draw(&settings), "the same seed draws the same picture");
    assert_ne!(draw(&settings), draw(&Settings { seed: 43, ..settings.clone() }));
}

#[test]
fn a_schedule_that_is_asked_for_goes_before_the_folders() {
    let cases = cases("samplers.json");
    let case = |name: &str| cases.iter().find(|case| case["name"] == name).unwrap();
    // The first folder, drawn as the second says.
    for (of, name, schedule) in [
        ("euler", "euler_karras", NoiseSchedule::Karras),
        ("euler_karras", "euler_trailing", NoiseSchedule::Trailing),
        ("euler", "euler_linspace", NoiseSchedule::Linspace),
        ("dpmpp_2m", "dpmpp_2m_karras", NoiseSchedule::Karras),
        ("unipc", "unipc_karras", NoiseSchedule::Karras),
    ] {
        let folder = folder(case(of));
        let (models, role, _) = open_one(folder.path());
        let settings = Settings { schedule: Some(schedule), ..settings(case(name), role) };
        let drawn = models.draw(&settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap();
        let latents = wanted("samplers.safetensors", &format!("{name}.latents"));
        assert_close_case(name, &drawn.latents.values, &latents, TOLERANCE);
    }
    let folder = folder(case("lcm_4"));
    let (models, role, card) = open_one(folder.path());
    assert_eq!((role, card.sampler, card.steps), (Role::Student, Sampler::Lcm, 4));
    let settings = Settings { schedule: Some(NoiseSchedule::Karras), ..settings(case("lcm_4"), role) };
    assert_error(models.draw(&settings, None, &mut |_| {}, &Cancel::default()), "leave the schedule out");
}

/// Stable Diffusion 2: linear projections, a number of heads for each level, GELU in the text encoder, padding with "!".
fn stable_diffusion_2() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("../more/tiny-sd2"), folder.path());
    copy_folder(&fixture("model/vae"), &folder.path().join("vae"));
    for name in ["vocab.json", "merges.txt"] {
        std::fs::copy(fixture("model/tokenizer").join(name), folder.path().join("tokenizer").join(name)).unwrap();
    }
    folder
}

#[test]
fn stable_diffusion_2s_networks_are_diffusers() {
    let folder = stable_diffusion_2();
    let case = cases("sd2.json").into_iter().find(|case| case["name"] == "embeds").unwrap();
    let tokenizer = checkpoint::open_tokenizer(&Source::Folder(folder.path().to_owned())).unwrap();
    let prompts = case["prompts"].as_array().unwrap();
    let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| tokenizer.encode(prompt.as_str().unwrap())).collect();
    assert_eq!(json!(ids), case["ids"]);

    let weights = |path: &str| {
        let tensors = candle_core::safetensors::load(folder.path().join(path), &Device::Cpu).unwrap();
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    };
    let config = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    let text: TextConfig = serde_json::from_slice(&config("text_encoder/config.json")).unwrap();
    let text = TextEncoder::new(weights("text_encoder/model.safetensors"), &text).unwrap();
    let context = text.forward(&Tensor::new(ids, &Device::Cpu).unwrap()).unwrap();
    let tolerance = Tolerance::of_largest(1e-4);
    let file = fixture("../more/sd2.safetensors");
    let (shape, embeds) = tensor_in(&file, "prompt_embeds");
    assert_eq!(context.dims(), shape);
    assert_close_case("prompt_embeds", context.flatten_all().unwrap(), embeds, tolerance);

    let unet: UNetConfig = serde_json::from_slice(&config("unet/config.json")).unwrap();
    assert_eq!((0..4).map(|level| unet.heads(level)).collect::<Vec<_>>(), [1, 2, 4, 4]);
    let unet = UNet::new(weights("unet/diffusion_pytorch_model.safetensors"), &unet).unwrap();
    let (shape, values) = expected("noise");
    let noise = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    for time in [1000u32, 500] {
        let times = Tensor::new(&[time as f32; 2], &Device::Cpu).unwrap();
        let found = unet.forward(&noise, &times, &context, &Cancel::default()).unwrap();
        let name = format!("unet_t{time}");
        let wanted = tensor_in(&file, &name).1;
        assert_close_case(name, found.flatten_all().unwrap(), wanted, tolerance);
    }
}

#[test]
fn stable_diffusion_2_is_drawn_by_its_v() {
    let folder = stable_diffusion_2();
    let mut runs = 0;
    for case in cases("sd2.json").iter().filter(|case| case["scheduler"].is_string()) {
        write_scheduler(folder.path(), case);
        let (models, role, card) = open_one(folder.path());
        assert_eq!((role, card.sampler, card.steps), (Role::Teacher, Sampler::DpmPlusPlus2M, 25));
        let name = case["name"].as_str().unwrap();
        let drawn = models.draw(&settings(case, role), Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap();
        let latents = wanted("sd2.safetensors", &format!("{name}.latents"));
        let distance = assert_close_case(name, &drawn.latents.values, &latents, Tolerance::of_largest(1e-3));
        println!("{name}: latents off by {:e} of the largest", distance.of_largest());
        runs += 1;
    }
    assert_eq!(runs, 3);
}

/// The fixture's model under the name of a known one, which its folder says is something else.
fn named(name: &str) -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    copy_folder(&fixture("model"), &path);
    write_json(&path.join("model_index.json"), &json!({ "_class_name": "StableDiffusionPipeline" }));
    (folder, Source::Folder(path))
}

/// InstaFlow's student beside a one-step diffusion, from the same noise.
#[test]
fn a_one_step_diffusion_plays_any_part() {
    let (_flow, student) = named("instaflow_0_9B_from_sd_1_5");
    let (_turbo, turbo) = named("sd-turbo");
    let request = OpenRequest { model: student, baseline: Some(turbo.clone()), ..OpenRequest::default() };
    let models = open(&request);
    let (student, baseline) = (models.summary().student.unwrap(), models.summary().baseline.unwrap());
    assert_eq!((student.sampler, student.steps, student.samplers.as_slice()), (Sampler::Flow, 1, &[Sampler::Flow][..]));
    assert_eq!((baseline.sampler, baseline.steps, baseline.samplers.len()), (Sampler::Euler, 1, 9));
    let prompt = instaflow_test_support::PROMPT;
    let draw = |settings: &Settings| models.draw(settings, Some(&noise()), &mut |_| {}, &Cancel::default());
    let latents = draw(&Settings::of(Role::Student, &student, prompt)).unwrap().latents.values;
    assert_close_case("student", latents, expected("one_step_latents").1, Tolerance::of_largest(1e-4));
    let drawn = draw(&Settings::of(Role::Baseline, &baseline, prompt)).unwrap();
    let latents = wanted("samplers.safetensors", "turbo_eps_1.latents");
    assert_close_case("baseline", &drawn.latents.values, latents, TOLERANCE);
    assert_eq!(drawn.picture.settings.sampler, Some(Sampler::Euler));

    // Known for certain, neither is taken for the other kind.
    let asked = |role, sampler| draw(&Settings { role, sampler: Some(sampler), ..Settings::student(prompt) });
    assert_error(
        asked(Role::Student, Sampler::Ddim),
        "the sampler DDIM is not for instaflow_0_9B_from_sd_1_5, which is a flow",
    );
    assert_error(
        asked(Role::Baseline, Sampler::Flow),
        "the sampler Euler flow is not for sd-turbo, which is a diffusion model",
    );

    let (models, role, card) = {
        let Source::Folder(path) = &turbo else { panic!("{turbo:?}") };
        open_one(path)
    };
    assert_eq!((role, card.steps), (Role::Student, 1));
    let drawn = models.draw(&Settings::of(role, &card, prompt), Some(&noise()), &mut |_| {}, &Cancel::default());
    let latents = wanted("samplers.safetensors", "turbo_eps_1.latents");
    assert_close_case("student", &drawn.unwrap().latents.values, latents, TOLERANCE);
}

/// PeRFlow's folder says StableDiffusionPipeline with DEIS.
#[test]
fn a_piecewise_flow_is_known_by_its_name() {
    let (_folder, source) = named("perflow-sd15-dreamshaper");
    let Source::Folder(path) = &source else { panic!("{source:?}") };
    let (models, role, card) = open_one(path);
    assert_eq!((role, card.sampler, card.steps), (Role::Student, Sampler::Flow, 4));
    let settings = Settings::of(role, &card, instaflow_test_support::PROMPT);
    let picture = models.draw(&settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap().picture;
    assert_eq!(picture.path.iter().map(|point| point.t).collect::<Vec<_>>(), [0.0, 0.25, 0.5, 0.75]);
}

/// What the person says counts for a folder that says nothing.
#[test]
fn a_folder_that_says_nothing_is_what_the_person_says() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("model"), folder.path());
    std::fs::remove_file(folder.path().join("model_index.json")).unwrap();
    let request = OpenRequest { model: Source::Folder(folder.path().to_owned()), ..OpenRequest::default() };
    assert_eq!(open(&request).summary().student.unwrap().sampler, Sampler::Flow);
    let request = OpenRequest { prediction: Some(Prediction::Epsilon), ..request };
    let summary = open(&request).summary();
    assert!(summary.student.is_none());
    assert_eq!(summary.teacher.unwrap().sampler, Sampler::DpmPlusPlus2M);
}
