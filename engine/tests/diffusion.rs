//! Stable Diffusion's samplers, held to what Diffusers gives for the fixture's model; and the mistakes in a scheduler's
//! config that are refused before any work.

use crate::support::{noise, open};
use instaflow_engine::pipeline::{Drawn, Models};
use instaflow_engine::protocol::{OpenRequest, Role, Sampler, Settings, Source, Step};
use instaflow_engine::{Cancel, Error};
use instaflow_test_support::{
    PROMPT, Tolerance, assert_close_case, assert_not_close, copy_folder, expected, fixture, tensor_in,
};
use tempfile::TempDir;

/// The fixture's model as a folder that calls itself Stable Diffusion; `edit` changes its scheduler's config.
fn stable_diffusion(edit: impl FnOnce(&mut serde_json::Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("model"), folder.path());
    let change = |name: &str, edit: &mut dyn FnMut(&mut serde_json::Value)| {
        let path = folder.path().join(name);
        let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
    };
    change("model_index.json", &mut |index| index["_class_name"] = "StableDiffusionPipeline".into());
    let mut edit = Some(edit);
    change("scheduler/scheduler_config.json", &mut |config| edit.take().unwrap()(config));
    folder
}

fn folder(folder: &TempDir) -> Source {
    Source::Folder(folder.path().to_owned())
}

/// The reference allows 1e-2, as its random network amplifies rounding. This arithmetic is closer than that.
const TOLERANCE: Tolerance = Tolerance::of_largest(1e-4);

/// Draws, and compares the latents with the reference's of this name.
#[track_caller]
fn check(models: &Models, settings: &Settings, name: &str) -> Drawn {
    check_against(models, settings, name, &expected(name).1)
}

#[track_caller]
fn check_against(models: &Models, settings: &Settings, name: &str, wanted: &[f32]) -> Drawn {
    let drawn = models.draw(settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap();
    let distance = assert_close_case(name, &drawn.latents.values, wanted, TOLERANCE);
    println!("{name}: latents off by {:e} of the largest", distance.of_largest());
    drawn
}

#[test]
fn the_samplers_are_diffusers() {
    // The reference's schedulers have their own spacing.
    let sd = stable_diffusion(|config| config["timestep_spacing"] = serde_json::Value::Null);
    let index = sd.path().join("model_index.json");
    std::fs::copy(fixture("model").join("model_index.json"), index).unwrap();
    let models = open(&OpenRequest { model: folder(&sd), ..OpenRequest::default() });
    for (sampler, name, other) in [
        (Sampler::DpmPlusPlus2M, "sd_dpm_latents", "sd_ddim_latents"),
        (Sampler::Ddim, "sd_ddim_latents", "sd_dpm_latents"),
    ] {
        // The folder calls itself a flow; asked for, the sampler goes before that.
        let settings =
            Settings { role: Role::Student, sampler: Some(sampler), ..Settings::of(Role::Student, sampler, PROMPT) };
        assert_eq!(settings.steps, 25);
        let drawn = check(&models, &settings, name);
        assert_eq!(drawn.picture.settings.sampler, Some(sampler));
        // The two samplers end at different latents. Otherwise this would prove nothing.
        assert_not_close(&drawn.latents.values, expected(other).1, Tolerance::of_largest(1e-1));
    }
}

#[test]
fn a_folder_of_stable_diffusion_is_drawn_as_one() {
    let sd = stable_diffusion(|config| config["timestep_spacing"] = serde_json::Value::Null);
    let models = open(&OpenRequest { model: folder(&sd), ..OpenRequest::default() });
    let summary = models.summary();
    assert!(summary.student.is_none(), "it is no student");
    let card = summary.teacher.unwrap();
    assert_eq!(card.sampler, Sampler::DpmPlusPlus2M);
    let settings = Settings::of(Role::Teacher, card.sampler, PROMPT);
    let picture = check(&models, &settings, "sd_dpm_latents").picture;
    assert_eq!(picture.path.len(), 25);
    assert!(picture.straightness.is_some_and(|s| s.is_finite() && s > 0.0));
    let times: Vec<f32> = picture.path.iter().map(|point| point.t).collect();
    assert!(times[0] > 0.0 && times.windows(2).all(|pair| pair[0] < pair[1]) && times[24] < 1.0, "{times:?}");
}

/// A PNDM scheduler saved by a Diffusers of today names its spacing, and `from_config` keeps it.
#[test]
fn the_spacing_that_a_folder_names_is_kept() {
    let sd = stable_diffusion(|config| assert_eq!(config["timestep_spacing"], "leading"));
    let models = open(&OpenRequest { model: folder(&sd), ..OpenRequest::default() });
    let settings = Settings::of(Role::Teacher, Sampler::DpmPlusPlus2M, PROMPT);
    let name = "sd_dpm_leading_latents";
    let (_, wanted) = tensor_in(&fixture("expected_spacing.safetensors"), name);
    check_against(&models, &settings, name, &wanted);
}

#[test]
fn a_baseline_is_a_third_model_that_shares_its_parts() {
    let sd = stable_diffusion(|_| {});
    let request = OpenRequest {
        model: Source::Folder(fixture("model")),
        teacher: Some(Source::Folder(fixture("model"))),
        baseline: Some(folder(&sd)),
        tiny_decoder: Some(fixture("vae_tiny")),
        ..OpenRequest::default()
    };
    let mut loaded = Vec::new();
    let models = Models::open(&request, &mut |progress| loaded.push(progress.part.to_string())).unwrap();
    let once = ["student: text encoder", "student: U-Net", "student: decoder", "student: tiny decoder"];
    assert_eq!(loaded, once, "equal parts are loaded once");
    let baseline = models.summary().baseline.unwrap();
    assert!(baseline.has_tiny_decoder);

    let settings = Settings { steps: 3, ..Settings::of(Role::Baseline, baseline.sampler, PROMPT) };
    let mut steps = Vec::new();
    let mut observer = |step: Step| {
        assert!(step.estimate.is_some_and(|estimate| estimate.width == 128), "an estimate after every step");
        steps.push((step.done, step.total));
    };
    let picture = models.draw(&settings, None, &mut observer, &Cancel::default()).unwrap().picture;
    assert_eq!(steps, [(1, 3), (2, 3), (3, 3)]);
    assert_eq!((picture.settings.role, picture.settings.sampler), (Role::Baseline, Some(Sampler::DpmPlusPlus2M)));

    let alone = open(&OpenRequest { baseline: None, ..request });
    let error = alone.draw(&settings, None, &mut |_| {}, &Cancel::default()).unwrap_err();
    assert!(matches!(&error, Error::Setting(message) if message.contains("no baseline is open")), "{error}");
}

#[test]
fn one_step_has_no_path() {
    // One step of either sampler leads to the image that the network sees in the noise, and has no path to speak of.
    let models = open(&OpenRequest { model: Source::Folder(fixture("model")), ..OpenRequest::default() });
    for sampler in [Sampler::DpmPlusPlus2M, Sampler::Ddim] {
        let settings = Settings { sampler: Some(sampler), ..Settings::student(PROMPT) };
        let picture = models.draw(&settings, Some(&noise()), &mut |_| {}, &Cancel::default()).unwrap().picture;
        assert!(picture.path.is_empty() && picture.straightness.is_none());
    }
}

/// Diffusers writes this scheduler's own config with an infinity, which JSON does not have.
#[test]
fn a_config_as_python_writes_it_is_read() {
    let sd = stable_diffusion(|config| {
        config["_class_name"] = "DPMSolverMultistepScheduler".into();
        config["lambda_min_clipped"] = "infinite".into();
        config["timestep_spacing"] = "linspace".into();
    });
    let path = sd.path().join("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&path).unwrap().replace(":\"infinite\"", ": -Infinity");
    assert!(text.contains("-Infinity"));
    std::fs::write(&path, text).unwrap();
    let models = open(&OpenRequest { model: folder(&sd), ..OpenRequest::default() });
    let settings = Settings::of(Role::Teacher, Sampler::DpmPlusPlus2M, PROMPT);
    check(&models, &settings, "sd_dpm_latents");
}

#[test]
fn what_the_scheduler_says_is_refused_where_it_is_not_known() {
    let refused = |sd: &TempDir, words: &str| {
        let error = Models::open(&OpenRequest { model: folder(sd), ..OpenRequest::default() }, &mut |_| {}).err();
        let message = error.expect(words).to_string();
        let file = sd.path().join("scheduler/scheduler_config.json");
        assert!(message.starts_with(&format!("{}: ", file.display())) && message.contains(words), "{message}");
        assert_eq!(message.lines().count(), 1);
    };
    refused(&stable_diffusion(|config| config["beta_schedule"] = "squaredcos_cap_v2".into()), "scaled_linear");
    refused(&stable_diffusion(|config| config["prediction_type"] = "flow_prediction".into()), "v_prediction");
    refused(&stable_diffusion(|config| config["_class_name"] = "EDMEulerScheduler".into()), "EDMEulerScheduler");
    let without = stable_diffusion(|_| {});
    std::fs::remove_dir_all(without.path().join("scheduler")).unwrap();
    refused(&without, "fetch the whole folder");

    // A flow opens without a scheduler, and says so only when it is asked to step as a diffusion.
    let flow = tempfile::tempdir().unwrap();
    copy_folder(&fixture("model"), flow.path());
    std::fs::remove_dir_all(flow.path().join("scheduler")).unwrap();
    let models = open(&OpenRequest { model: folder(&flow), ..OpenRequest::default() });
    assert!(models.draw(&Settings::student(PROMPT), None, &mut |_| {}, &Cancel::default()).is_ok());
    let settings = Settings { sampler: Some(Sampler::Ddim), ..Settings::student(PROMPT) };
    let error = models.draw(&settings, None, &mut |_| {}, &Cancel::default()).unwrap_err().to_string();
    assert!(error.contains("cannot be drawn with DDIM") && error.contains("scheduler_config.json"), "{error}");
}

#[test]
fn stable_diffusion_is_no_student() {
    let sd = stable_diffusion(|_| {});
    let request =
        OpenRequest { model: folder(&sd), teacher: Some(Source::Folder(fixture("model"))), ..OpenRequest::default() };
    let error = Models::open(&request, &mut |_| {}).err().expect("refused").to_string();
    assert!(error.contains("cannot be a student"), "{error}");
    let pair = tempfile::tempdir().unwrap();
    copy_folder(sd.path(), &pair.path().join("student"));
    copy_folder(&fixture("model"), &pair.path().join("teacher"));
    let error = Models::open(&OpenRequest { model: folder(&pair), ..OpenRequest::default() }, &mut |_| {}).err();
    let error = error.expect("refused").to_string();
    assert!(error.contains("student/"), "{error}");
}
