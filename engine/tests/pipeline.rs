//! Whole pictures, held to what the InstaFlow authors' pipeline gives for the fixture's model; and the mistakes that
//! must be refused before any work.

use crate::support::{noise, open};
use instaflow_engine::pipeline::{Latents, Models};
use instaflow_engine::protocol::{Decoder, LoadProgress, OpenRequest, Role, Settings, Source, Step};
use instaflow_engine::{Cancel, Error, Result};
use instaflow_test_support::{PROMPT, Tolerance, assert_close, assert_close_case, expected, fixture};
use safetensors::SafeTensors;

fn folder(name: &str) -> Source {
    Source::Folder(fixture(name))
}

/// The fixture's model as student and as teacher.
fn request() -> OpenRequest {
    OpenRequest { model: folder("model"), teacher: Some(folder("model")), ..OpenRequest::default() }
}

fn draw(models: &Models, settings: &Settings, noise: Option<&Latents>) -> Result<(Vec<u8>, Latents)> {
    let drawn = models.draw(settings, noise, &mut |_| {}, &Cancel::default())?;
    Ok((drawn.picture.rgb.to_vec(), drawn.latents))
}

fn check_run(name: &str, settings: &Settings, tolerance: f64) {
    let models = open(&request());
    let (rgb, latents) = draw(&models, settings, Some(&noise())).unwrap();
    let (_, wanted) = expected(&format!("{name}_latents"));
    let case = format!("{name}, latents");
    let distance = assert_close_case(case, &latents.values, &wanted, Tolerance::of_largest(tolerance));
    println!("{name}: latents off by {:e} of the largest", distance.of_largest());

    // (1, 3, H, W) in [0, 1] there, (H, W, 3) in bytes here.
    let (shape, wanted) = expected(&format!("{name}_image"));
    assert_eq!(shape, [1, 3, 128, 128]);
    let area = 128 * 128;
    let wanted: Vec<f32> = (0..3 * area).map(|at| wanted[at % 3 * area + at / 3]).collect();
    let image: Vec<f32> = rgb.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let distance =
        assert_close_case(format!("{name}, image"), image, wanted, Tolerance::absolute(0.5 / 255.0 + tolerance));
    println!("{name}: image off by {:e}", distance.difference);
}

#[test]
fn one_step_is_the_references() {
    check_run("one_step", &Settings { guidance: 0.0, ..Settings::student(PROMPT) }, 1e-4);
}

#[test]
fn the_teacher_is_the_references() {
    let negative_prompt = "painting, unreal, twisted".to_owned();
    check_run("teacher_25", &Settings { negative_prompt, ..Settings::teacher(PROMPT) }, 1e-3);
}

#[test]
fn fewer_steps_and_guidance_are_the_references() {
    let teacher = Settings::teacher(PROMPT);
    check_run("teacher_8", &Settings { steps: 8, guidance: 1.0, ..teacher.clone() }, 1e-3);
    check_run("teacher_4_cfg2", &Settings { steps: 4, guidance: 2.0, ..teacher }, 1e-3);
}

#[test]
fn the_seed_gives_torchs_noise() {
    let models = open(&request());
    let settings = Settings { seed: 42, ..Settings::student(PROMPT) };
    let values = instaflow_engine::flow::noise::randn(42, &[1, 4, 16, 16]);
    let given = Latents { shape: [1, 4, 16, 16], values };
    assert_eq!(draw(&models, &settings, None).unwrap(), draw(&models, &settings, Some(&given)).unwrap());
    let other = Settings { seed: 43, ..settings.clone() };
    assert_ne!(draw(&models, &settings, None).unwrap().0, draw(&models, &other, None).unwrap().0);
}

#[test]
fn the_negative_prompt_counts_only_with_guidance() {
    let models = open(&request());
    let plain = Settings { steps: 2, guidance: 1.0, ..Settings::teacher(PROMPT) };
    let negative = Settings { negative_prompt: "painting".to_owned(), ..plain.clone() };
    assert_eq!(draw(&models, &plain, None).unwrap(), draw(&models, &negative, None).unwrap());
    let guided = |settings: &Settings| Settings { guidance: 2.0, ..settings.clone() };
    assert_ne!(draw(&models, &guided(&plain), None).unwrap(), draw(&models, &guided(&negative), None).unwrap());
}

#[test]
fn a_run_of_several_steps_shows_its_estimates() {
    let mut request = request();
    for tiny in [None, Some(fixture("vae_tiny"))] {
        request.tiny_decoder = tiny;
        let models = open(&request);
        let settings = Settings { steps: 3, size: Some((192, 128)), ..Settings::teacher(PROMPT) };
        let mut seen = Vec::new();
        let mut observer = |step: Step| {
            let estimate = step.estimate.expect("an estimate after every step");
            assert_eq!((estimate.width, estimate.height, estimate.rgb.len()), (192, 128, 192 * 128 * 3));
            seen.push((step.done, step.total));
        };
        let picture = models.draw(&settings, None, &mut observer, &Cancel::default()).unwrap().picture;
        assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
        let straightness = picture.straightness.expect("a run of several steps");
        let mean = picture.path.iter().map(|point| f64::from(point.deviation)).sum::<f64>() / 3.0;
        assert!(straightness > 0.0, "{straightness}");
        assert_close(straightness, mean, Tolerance::of_largest(1e-4));
        assert_eq!(picture.settings.size, Some((192, 128)));
        let timings = picture.timings;
        assert!(timings.unet > 0.0 && timings.decoder > 0.0 && timings.text_encoder > 0.0);
        assert!(timings.total >= timings.unet + timings.decoder + timings.text_encoder);
    }
}

#[test]
fn the_text_embedding_is_cached() {
    let models = open(&request());
    let text_seconds = |settings: &Settings| {
        models.draw(settings, None, &mut |_| {}, &Cancel::default()).unwrap().picture.timings.text_encoder
    };
    let student = Settings::student(PROMPT);
    assert!(text_seconds(&student) > 0.0);
    assert!(text_seconds(&Settings { seed: 7, ..student.clone() }) <= 0.0);
    let teacher = Settings { role: Role::Teacher, ..student.clone() };
    assert!(text_seconds(&teacher) <= 0.0, "student and teacher share one text encoder");
    models.clear_cache();
    assert!(text_seconds(&student) > 0.0);
}

#[test]
fn equal_parts_are_loaded_once_and_kept() {
    let mut loaded = Vec::new();
    let mut note = |progress: LoadProgress| loaded.push(progress.part.to_string());
    let first = Models::open(&request(), &mut note).unwrap();
    assert_eq!(loaded, ["student: text encoder", "student: U-Net", "student: decoder"]);
    loaded.clear();
    let with_tiny = OpenRequest { tiny_decoder: Some(fixture("vae_tiny")), ..request() };
    let mut note = |progress: LoadProgress| loaded.push(progress.part.to_string());
    Models::open_reusing(Some(&first), &with_tiny, &mut note, &Cancel::default()).unwrap();
    assert_eq!(loaded, ["student: tiny decoder"]);
}

#[test]
fn the_tiny_decoder_draws_where_there_is_one() {
    let full = Settings::student(PROMPT);
    let tiny = Settings { decoder: Decoder::Tiny, ..full.clone() };
    let error = draw(&open(&request()), &tiny, None).unwrap_err().to_string();
    assert!(error.contains("AutoencoderTiny"), "{error}");
    let models = open(&OpenRequest { tiny_decoder: Some(fixture("vae_tiny")), ..request() });
    assert!(models.summary().student.unwrap().has_tiny_decoder);
    assert_ne!(draw(&models, &full, None).unwrap().0, draw(&models, &tiny, None).unwrap().0);
}

#[test]
fn mistakes_are_refused_before_any_work() {
    let models = open(&OpenRequest { model: folder("model"), ..OpenRequest::default() });
    let check = |settings: Settings, words: &str| {
        let error = draw(&models, &settings, None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let student = Settings::student(PROMPT);
    check(Settings::teacher(PROMPT), "no teacher is open");
    check(Settings { steps: 0, ..student.clone() }, "1 to 50");
    check(Settings { guidance: f32::NAN, ..student.clone() }, "guidance");
    check(Settings { size: Some((100, 128)), ..student.clone() }, "multiples of 64");
    // Where the system says how much memory is free; macOS says how much there is.
    if cfg!(any(target_os = "linux", windows)) {
        check(Settings { size: Some((1 << 14, 1 << 14)), ..student.clone() }, "GiB are free");
    }
    check(Settings { size: Some((1 << 20, 1 << 20)), ..student }, "no side may be longer");
    let teacher = open(&OpenRequest { model: folder("model"), as_teacher: true, ..OpenRequest::default() });
    let error = draw(&teacher, &Settings::student(PROMPT), None).unwrap_err().to_string();
    assert!(error.contains("only a teacher is open"), "{error}");
}

#[test]
fn a_cancelled_job_ends_as_cancelled() {
    let models = open(&request());
    let cancel = Cancel::default();
    let mut steps = 0;
    let mut observer = |_: Step| {
        steps += 1;
        cancel.cancel();
    };
    let result = models.draw(&Settings::teacher(PROMPT), None, &mut observer, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(steps, 1);
}

#[test]
fn tokens_are_counted_by_the_folders_tokenizer() {
    assert_eq!(open(&request()).count_tokens(&Settings::student(PROMPT)).used, 13);
}

#[test]
fn latents_survive_a_file_and_are_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents.safetensors");
    let latents = noise();
    latents.write(&path, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor("latents").unwrap();
    assert_eq!((view.dtype(), view.shape()), (safetensors::Dtype::F32, [1, 4, 16, 16].as_slice()));

    assert!(latents.write(&path, false).unwrap_err().to_string().contains("cannot write"));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file that was there is untouched");
    latents.write(&path, true).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written is left");

    let error = Latents::read(&path).unwrap_err().to_string();
    assert!(error.contains("no tensor `noise`"), "{error}");
    let read = Latents::read(&fixture("expected.safetensors")).unwrap();
    assert_eq!(read.shape, [2, 4, 16, 16]);
    assert_eq!(read.picture(0), Some(latents));
    assert_eq!(read.picture(2), None);
}
