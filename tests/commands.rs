//! Every subcommand of the real binary, right use and wrong use, on the model of the reference outputs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use instaflow_engine::png::read_settings;
use instaflow_engine::protocol::{Decoder, NoiseSchedule, PromptSyntax, Role, Sampler, Settings};
use instaflow_test_support::{PROMPT, Tolerance, assert_close, copy_folder, expected, fixture, tensor_in};
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

fn model() -> String {
    fixture("model").to_str().expect("a plain path").to_owned()
}

/// A folder to run the binary in.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_instaflow"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .expect("the binary runs")
    }

    /// Runs a command that must succeed in silence on stderr, and gives its stdout.
    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""), "{arguments:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command that must fail: this exit code, nothing on stdout, nothing written, one line on stderr that
    /// holds `words` and perhaps causes under it.
    #[track_caller]
    fn bad(&self, code: i32, arguments: &[&str], words: &str) {
        let before = self.files();
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(code), &[][..]), "{arguments:?}: {errors}");
        let mut lines = errors.lines();
        let first = lines.next().unwrap_or_default();
        assert!(first.starts_with("error: ") && errors.contains(words), "{arguments:?}: {errors:?}");
        assert!(lines.all(|line| line.starts_with("  caused by: ")), "{arguments:?}: {errors:?}");
        assert_eq!(self.files(), before, "{arguments:?} wrote something");
    }

    fn files(&self) -> BTreeSet<(PathBuf, Option<Vec<u8>>)> {
        let entries = fs::read_dir(self.folder.path()).expect("listed");
        entries.map(|entry| entry.expect("an entry").path()).map(|path| (path.clone(), fs::read(path).ok())).collect()
    }

    fn names(&self) -> Vec<String> {
        let name = |(path, _): (PathBuf, _)| path.file_name().expect("a name").to_string_lossy().into_owned();
        self.files().into_iter().map(name).collect()
    }

    /// A file with the first `count` rows of the reference outputs' `noise`.
    fn noise(&self, count: usize) -> String {
        let (shape, values) = expected("noise");
        let row: usize = shape[1..].iter().product();
        let bytes: Vec<u8> = values[..row * count].iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![count, shape[1], shape[2], shape[3]], &bytes).expect("a tensor");
        let path = self.path(&format!("noise-{count}.safetensors"));
        fs::write(&path, safetensors::serialize([("noise", view)], None).expect("serialized")).expect("written");
        path.to_str().expect("a plain path").to_owned()
    }
}

/// Compares latents with the reference's.
#[track_caller]
fn check_latents(values: &[f32], reference: &[f32]) {
    let distance = assert_close(values, reference, Tolerance::of_largest(1e-3));
    assert!(distance.largest > 0.1, "{} is small for latents", distance.largest);
}

fn dimensions(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a picture"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    (reader.info().width, reader.info().height)
}

/// The bytes of a picture, row by row.
fn pixels(path: &Path) -> Vec<Vec<u8>> {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut rgb = vec![0; reader.output_buffer_size().expect("a small picture")];
    let row = reader.next_frame(&mut rgb).expect("pixels").line_size;
    rgb.chunks(row).map(<[u8]>::to_vec).collect()
}

#[test]
fn generate_agrees_with_the_published_pipeline() {
    let place = Place::new();
    let (noise, model) = (place.noise(1), model());
    let runs: [(&str, &[&str]); 4] = [
        ("one_step", &[]),
        ("teacher_25", &["--teacher", "--negative", "painting, unreal, twisted"]),
        ("teacher_8", &["--teacher", "--steps", "8", "--guidance", "1"]),
        ("teacher_4_cfg2", &["--steps", "4", "--guidance", "2"]),
    ];
    for (name, more) in runs {
        let (picture, latents) = (format!("{name}.png"), format!("{name}.safetensors"));
        let common =
            ["generate", PROMPT, "-o", &picture, "--model", &model, "--noise", &noise, "--save-latents", &latents];
        let said = place.good(&[&common[..], more].concat());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&picture) && said.contains("128x128"), "{said}");

        let (shape, values) = tensor_in(&place.path(&latents), "latents");
        let (_, reference) = expected(&format!("{name}_latents"));
        assert_eq!(shape, [1, 4, 16, 16]);
        check_latents(&values, &reference);
        assert_eq!(dimensions(&place.path(&picture)), (128, 128));
    }
}

#[test]
fn the_png_tells_what_made_it() {
    let place = Place::new();
    let model = model();
    let prompt = "a \"lake\"\n😀, Steps: 5";
    place.good(&[
        "generate",
        prompt,
        "-o",
        "a.png",
        "--model",
        &model,
        "--seed",
        "18446744073709551615",
        "--size",
        "64x128",
    ]);
    let restored = read_settings(&place.path("a.png")).expect("settings");
    let expected =
        Settings { seed: u64::MAX, size: Some((64, 128)), sampler: Some(Sampler::Flow), ..Settings::student(prompt) };
    assert_eq!((&restored.settings, restored.model.as_deref()), (&expected, Some("model")));
    let hash = restored.model_hash.expect("a hash");
    assert_eq!(hash.len(), 10);

    let told = place.good(&["info", "a.png"]);
    let expected = format!(
        "Program: instaflow {}\nPrompt: {prompt}\nModel: model\nModel hash: {hash}\nDrawn by: student\n\
         Seed: 18446744073709551615\nSize: 64x128\nSteps: 1\n\
         Sampler: Euler flow\nGuidance scale: 1\nDecoder: full\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(told, expected);

    place.good(&[
        "generate",
        "x",
        "-o",
        "t.png",
        "--model",
        &model,
        "--teacher",
        "--steps",
        "3",
        "--guidance",
        "2.5",
        "--negative",
        "dog",
    ]);
    let settings = read_settings(&place.path("t.png")).expect("settings").settings;
    assert_eq!((settings.role, settings.steps, settings.negative_prompt.as_str()), (Role::Teacher, 3, "dog"));
    assert_close(settings.guidance, 2.5, Tolerance::EXACT);
}

#[test]
fn a_seed_is_the_same_picture_again() {
    let place = Place::new();
    let model = model();
    let draw = |name: &str, seed: &str, more: &[&str]| {
        place.good(&[&["generate", "x", "-o", name, "--model", &model, "--seed", seed], more].concat());
    };
    draw("a.png", "7", &[]);
    draw("b.png", "7", &[]);
    draw("c.png", "8", &[]);
    let bytes = |name: &str| fs::read(place.path(name)).expect("a picture");
    assert_eq!(bytes("a.png"), bytes("b.png"));
    assert_ne!(bytes("a.png"), bytes("c.png"));

    // Several at once are the pictures of the seeds that follow. The noise is that of a seed's low 32 bits.
    draw("many.png", "4294967295", &["--count", "2", "--save-latents", "many.safetensors"]);
    draw("last.png", "4294967295", &["--save-latents", "last.safetensors"]);
    draw("first.png", "0", &["--save-latents", "first.safetensors"]);
    assert_eq!(bytes("many-001.png"), bytes("last.png"));
    let second = read_settings(&place.path("many-002.png")).expect("settings").settings;
    assert_eq!(second.seed, 1 << 32, "kept whole");
    assert!(!place.path("many.png").exists());
    let (shape, many) = tensor_in(&place.path("many.safetensors"), "latents");
    let single = |name: &str| tensor_in(&place.path(name), "latents").1;
    assert_eq!(shape, [2, 4, 16, 16]);
    assert_eq!(many, [single("last.safetensors"), single("first.safetensors")].concat());
}

#[test]
fn noise_sets_size_and_count() {
    let place = Place::new();
    let (model, noise) = (model(), place.noise(2));
    let common = ["generate", PROMPT, "-o", "a.png", "--model", &model, "--noise", &noise];
    place.good(&[&common[..], &["--save-latents", "l.safetensors"]].concat());
    assert_eq!(place.names(), ["a-001.png", "a-002.png", "l.safetensors", "noise-2.safetensors"]);
    let (_, values) = tensor_in(&place.path("l.safetensors"), "latents");
    let (_, reference) = expected("one_step_latents");
    check_latents(&values[..reference.len()], &reference);

    place.good(&[&common[..], &["--count", "2", "--size", "128x128", "--force"]].concat());
    place.bad(2, &[&common[..], &["--count", "3", "--force"]].concat(), "--count asks for 3");
    place.bad(2, &[&common[..], &["--size", "64x64", "--force"]].concat(), "64x64");
    let not_noise = fixture("cases.json");
    let not_noise = not_noise.to_str().expect("a plain path");
    place.bad(1, &["generate", "x", "-o", "b.png", "--model", &model, "--noise", not_noise], "safetensors");
    place.bad(1, &["generate", "x", "-o", "b.png", "--model", &model, "--noise", "absent"], "absent");
    let other = fixture("expected.safetensors");
    let vae = fixture("vae_tiny/diffusion_pytorch_model.safetensors");
    place.bad(
        1,
        &["generate", "x", "-o", "b.png", "--model", &model, "--noise", vae.to_str().expect("plain")],
        "noise",
    );
    place.bad(1, &["generate", "x", "-o", "b.png", "--model", &model, "--noise", "."], "not a regular file");
    // A picture is a file: a small file of noise must not ask for more of them than anybody can mean.
    let zeros = vec![0; 10_001 * 4];
    let view = TensorView::new(Dtype::F32, vec![10_001, 1, 1, 1], &zeros).expect("a tensor");
    let many = safetensors::serialize([("noise", view)], None).expect("serialized");
    fs::write(place.path("many.safetensors"), many).expect("written");
    let many = ["generate", "x", "-o", "b.png", "--model", &model, "--noise", "many.safetensors"];
    place.bad(2, &many, "10000 are the most");
    // A file with more tensors than the noise will do.
    place.good(&["generate", "x", "-o", "b.png", "--model", &model, "--noise", other.to_str().expect("plain")]);
}

#[test]
fn the_tiny_decoder_is_used_where_named() {
    let place = Place::new();
    let (model, tiny) = (model(), fixture("vae_tiny"));
    let tiny = tiny.to_str().expect("a plain path");
    let common = ["generate", "x", "--model", &model, "-o"];
    place.good(&[&common[..], &["full.png", "--tiny-decoder", tiny]].concat());
    place.good(&[&common[..], &["tiny.png", "--tiny-decoder", tiny, "--decoder", "tiny"]].concat());
    let restored = |name: &str| read_settings(&place.path(name)).expect("settings").settings.decoder;
    assert_eq!((restored("full.png"), restored("tiny.png")), (Decoder::Full, Decoder::Tiny));
    assert_ne!(fs::read(place.path("full.png")).ok(), fs::read(place.path("tiny.png")).ok());
    place.bad(2, &[&common[..], &["none.png", "--decoder", "tiny"]].concat(), "no tiny decoder");
    place.bad(2, &["bench", "--model", &model, "--runs", "1", "--decoder", "tiny"], "no tiny decoder");

    // A model whose own decoder is the tiny one has both.
    copy_folder(&fixture("model"), &place.path("all-tiny"));
    fs::remove_dir_all(place.path("all-tiny/vae")).expect("removed");
    copy_folder(&fixture("vae_tiny"), &place.path("all-tiny/vae"));
    place.good(&["generate", "x", "--model", "all-tiny", "-o", "own.png", "--decoder", "tiny"]);
}

#[test]
fn nothing_is_overwritten_unasked() {
    let place = Place::new();
    let model = model();
    fs::write(place.path("a.png"), "precious").expect("written");
    fs::write(place.path("b-002.png"), "precious").expect("written");
    fs::write(place.path("l.safetensors"), "precious").expect("written");
    fs::create_dir(place.path("folder.png")).expect("made");
    let common = ["generate", "x", "--model", &model, "-o"];
    place.bad(1, &[&common[..], &["a.png"]].concat(), "--force");
    place.bad(1, &[&common[..], &["b.png", "--count", "2"]].concat(), "b-002.png");
    place.bad(1, &[&common[..], &["c.png", "--save-latents", "l.safetensors"]].concat(), "--force");
    place.bad(1, &[&common[..], &["no/such/a.png"]].concat(), "no/such");
    place.bad(1, &[&common[..], &["folder.png", "--force"]].concat(), "folder");
    // Refused before any work: the model is not even looked for.
    place.bad(1, &["generate", "x", "--model", "absent", "-o", "a.png"], "--force");
    place.bad(1, &["compare", "x", "--model", &model, "--teacher-model", &model, "-o", "a.png"], "--force");

    place.good(&[&common[..], &["a.png", "--force", "--save-latents", "l.safetensors"]].concat());
    assert_eq!(dimensions(&place.path("a.png")), (128, 128));
    assert_eq!(tensor_in(&place.path("l.safetensors"), "latents").0, [1, 4, 16, 16]);
}

#[test]
fn wrong_use_of_generate_is_told_in_one_line() {
    let place = Place::new();
    let model = model();
    for (more, words) in [
        (&["-o", "a.png", "--steps", "0"][..], "1..=50"),
        (&["-o", "a.png", "--steps", "51"], "1..=50"),
        (&["-o", "a.png", "--steps", "-1"], "--steps"),
        (&["-o", "a.png", "--guidance", "-1"], "0 or more"),
        (&["-o", "a.png", "--guidance", "nan"], "0 or more"),
        (&["-o", "a.png", "--seed", "18446744073709551616"], "18446744073709551615"),
        (&["-o", "a.png", "--seed", "-1"], "--seed"),
        (&["-o", "a.png", "--size", "128"], "WIDTHxHEIGHT"),
        (&["-o", "a.png", "--size", "0x128"], "WIDTHxHEIGHT"),
        (&["-o", "a.png", "--size", "129x128"], "multiple"),
        (&["-o", "a.png", "--count", "0"], "--count"),
        (&["-o", "a.png", "--decoder", "none"], "full, tiny"),
        (&["-o", "a.png", "--device", "tpu"], "auto, cpu, cuda"),
        (&["-o", "a.png", "--dtype", "f64"], "f32, bf16, f16"),
        (&["-o", "a.png", "--sampler", "plms"], "dpmpp-2m"),
        (&["-o", "a.png", "--schedule", "cosine"], "default, karras, trailing, linspace"),
        (&["-o", "a.png", "--recipe", "gan"], "epsilon, flow, v"),
        (&["-o", "a.png", "--sede", "1"], "--seed"),
        (&["-o", "a.gif"], ".png, .jpg or .webp"),
        (&["-o", "a.jpg", "--quality", "101"], "1..=100"),
        (&["-o", ".png"], ".png"),
        (&["-o", "a.png", "--save-latents", "a.png"], "two names"),
        (&["-o", "a.png", "second prompt"], "second prompt"),
        (&[], "--output"),
    ] {
        place.bad(2, &[&["generate", "x", "--model", &model], more].concat(), words);
    }
    place.bad(2, &["generate", "-o", "a.png"], "<PROMPT>");
    place.bad(1, &["generate", "x", "-o", "a.png", "--model", "absent"], "absent");
}

#[test]
fn pictures_are_saved_in_the_form_of_their_name() {
    let place = Place::new();
    let model = model();
    let mut told = Vec::new();
    for name in ["a.png", "a.jpg", "a.webp"] {
        place.good(&["generate", "a lake, 😀", "-o", name, "--model", &model, "--seed", "7"]);
        assert_eq!(read_settings(&place.path(name)).expect("settings").settings.seed, 7, "{name}");
        told.push(place.good(&["info", name]));
    }
    assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
    let size = |name: &str| fs::metadata(place.path(name)).expect("a file").len();
    place.good(&["generate", "a lake", "-o", "small.jpg", "--model", &model, "--seed", "7", "--quality", "20"]);
    assert!(size("small.jpg") < size("a.jpg"));
    place.good(&["compare", "a lake", "-o", "both.webp", "--model", &model, "--teacher-model", &model, "--steps", "2"]);
    assert_eq!(read_settings(&place.path("both.webp")).expect("settings").settings.steps, 2);
}

#[test]
fn prompts_may_be_anything() {
    let place = Place::new();
    let model = model();
    let long = "a very long prompt ".repeat(2000);
    for (index, prompt) in ["", "-5 degrees", "--steps 3", long.as_str(), "日本の山 😀\n\"'\\"].into_iter().enumerate()
    {
        let name = format!("{index}.png");
        place.good(&["generate", "-o", &name, "--model", &model, "--", prompt]);
        assert_eq!(read_settings(&place.path(&name)).expect("settings").settings.prompt, prompt);
    }
}

#[test]
fn compare_shows_student_teacher_and_difference() {
    let place = Place::new();
    let (model, noise) = (model(), place.noise(1));
    let pair = ["--model", &model, "--teacher-model", &model];
    let asked = ["--noise", &noise, "--negative", "painting, unreal, twisted", "--save-latents", "l.safetensors"];
    let said = place.good(&[&["compare", PROMPT, "-o", "a.png"], &pair[..], &asked].concat());
    for words in ["student: 128x128", "1 step,", "teacher: 128x128", "25 steps,", "straightness", "PSNR"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (shape, values) = tensor_in(&place.path("l.safetensors"), "latents");
    assert_eq!(shape, [2, 4, 16, 16]);
    let (student, teacher) = values.split_at(values.len() / 2);
    check_latents(student, &expected("one_step_latents").1);
    check_latents(teacher, &expected("teacher_25_latents").1);

    // The panes are the pictures that `generate` draws, and their difference.
    place.good(&["generate", PROMPT, "-o", "s.png", "--model", &model, "--noise", &noise]);
    place.good(&[
        "generate",
        PROMPT,
        "-o",
        "t.png",
        "--model",
        &model,
        "--noise",
        &noise,
        "--teacher",
        "--negative",
        "painting, unreal, twisted",
    ]);
    let pixels = |name: &str| pixels(&place.path(name));
    assert_eq!(dimensions(&place.path("a.png")), (3 * 128, 128));
    for ((all, student), teacher) in pixels("a.png").iter().zip(pixels("s.png")).zip(pixels("t.png")) {
        let difference = student.iter().zip(&teacher).map(|(s, t)| s.abs_diff(*t)).collect();
        assert_eq!(*all, [student, teacher, difference].concat());
    }
    let settings = read_settings(&place.path("a.png")).expect("settings").settings;
    assert_eq!((settings.role, settings.steps, settings.size), (Role::Teacher, 25, Some((128, 128))));

    place.bad(2, &["compare", "x", "-o", "b.png", "--model", &model], "--teacher-model");
    place.bad(2, &[&["compare", "x", "-o", "b.png", "--teacher"], &pair[..]].concat(), "--teacher");
    place.bad(2, &[&["compare", "x", "-o", "b.png", "--size", "100x100"], &pair[..]].concat(), "multiple");
    place.bad(1, &["compare", "x", "-o", "b.png", "--model", "absent", "--teacher-model", &model], "absent");
}

#[test]
fn a_sheet_shows_each_prompt_from_each_seed() {
    let place = Place::new();
    let model = model();
    fs::write(place.path("prompts.txt"), "# a comment\n a lake \n\na mountain\n").expect("written");
    let pair = ["--model", &model, "--teacher-model", &model];
    let asked = ["sheet", "prompts.txt", "-o", "a.png", "--count", "2", "--seed", "7"];
    let said = place.good(&[&asked[..], &pair].concat());
    assert_eq!(said, "a.png: columns 1 to 2 student, 3 to 4 teacher; seeds 7 to 8\nrow 1: a lake\nrow 2: a mountain\n");
    // 2 pixels between pictures, 10 before the teacher's.
    assert_eq!(dimensions(&place.path("a.png")), (4 * 128 + 2 + 10 + 2, 2 * 128 + 2));
    let sheet = pixels(&place.path("a.png"));
    for (left, top, more) in [(130, 0, &["a lake"][..]), (268, 130, &["a mountain", "--teacher"])] {
        let seed = if left == 130 { "8" } else { "7" };
        place.good(&[&["generate", "-o", "one.png", "--model", &model, "--seed", seed, "--force"], more].concat());
        for (y, line) in pixels(&place.path("one.png")).iter().enumerate() {
            assert_eq!(sheet[top + y][left * 3..(left + 128) * 3], *line, "row {y} of {more:?}");
        }
    }

    place.good(&["sheet", "prompts.txt", "-o", "b.png", "--model", &model]);
    assert_eq!(dimensions(&place.path("b.png")), (4 * 128 + 3 * 2, 2 * 128 + 2));

    fs::write(place.path("empty.txt"), "\n# nothing\n").expect("written");
    fs::write(place.path("binary.txt"), [0xff, 0xfe, 0]).expect("written");
    fs::write(place.path("many.txt"), "x\n".repeat(20_000)).expect("written");
    place.bad(1, &["sheet", "empty.txt", "-o", "c.png", "--model", &model], "holds no prompt");
    place.bad(1, &["sheet", "binary.txt", "-o", "c.png", "--model", &model], "save it as UTF-8");
    place.bad(1, &["sheet", "absent.txt", "-o", "c.png", "--model", &model], "cannot read absent.txt");
    place.bad(2, &["sheet", "many.txt", "-o", "c.png", "--model", &model], "too large");
    place.bad(1, &["sheet", "prompts.txt", "-o", "a.png", "--model", &model], "--force");
    place.bad(2, &["sheet", "prompts.txt", "-o", "a.gif", "--model", &model], ".png");
    place.bad(2, &["sheet", "prompts.txt", "-o", "c.png", "--model", &model, "--count", "0"], "1..=64");
}

/// The fixture's model as a folder of Stable Diffusion's kind, with each sampler's own spacing, as the reference has it.
fn stable_diffusion(place: &Place) {
    copy_folder(&fixture("model"), &place.path("sd"));
    for (file, from, to) in [
        ("model_index.json", "RectifiedFlowPipeline", "StableDiffusionPipeline"),
        ("scheduler/scheduler_config.json", "\"timestep_spacing\": \"leading\",", ""),
    ] {
        let path = place.path("sd").join(file);
        let text = fs::read_to_string(&path).expect("a config");
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).expect("a test file");
    }
}

#[test]
fn stable_diffusion_is_drawn_with_its_own_samplers() {
    let place = Place::new();
    stable_diffusion(&place);
    let noise = place.noise(1);
    let draw = |name: &str, model: &str, more: &[&str]| {
        let (output, latents) = (format!("{name}.png"), format!("{name}.safetensors"));
        let files = ["--model", model, "--noise", &noise, "-o", &output, "--save-latents", &latents];
        place.good(&[&["generate", PROMPT], &files[..], more].concat());
        (tensor_in(&place.path(&latents), "latents").1, read_settings(&place.path(&output)).expect("settings").settings)
    };
    let (latents, settings) = draw("own", "sd", &[]);
    check_latents(&latents, &expected("sd_dpm_latents").1);
    assert_eq!((settings.sampler, settings.steps), (Some(Sampler::DpmPlusPlus2M), 25));
    assert_close(settings.guidance, 5.0, Tolerance::EXACT);
    let (latents, settings) = draw("ddim", "sd", &["--sampler", "ddim"]);
    check_latents(&latents, &expected("sd_ddim_latents").1);
    assert_eq!(settings.sampler, Some(Sampler::Ddim));
    // Asked for, a sampler goes before what the folder says, defaults and all; its spacing stays the folder's.
    let (latents, _) = draw("asked", &model(), &["--sampler", "dpmpp-2m"]);
    let leading = tensor_in(&fixture("expected_spacing.safetensors"), "sd_dpm_leading_latents").1;
    check_latents(&latents, &leading);
    let (latents, _) = draw("flow", "sd", &["--sampler", "flow", "--steps", "8", "--guidance", "1"]);
    check_latents(&latents, &expected("teacher_8_latents").1);

    let info = place.good(&["info", "own.png"]);
    assert!(info.contains("Sampler: DPM++ 2M"), "{info}");
    assert!(place.good(&["info", "sd"]).contains("DPM++ 2M"));
    let object = json(&place.good(&["bench", "--model", "sd", "--runs", "1", "--json"]));
    assert!(object["teacher_s"].as_f64().is_some_and(|s| s > 0.0), "{object}");
}

/// A flow drawn with a diffusion's sampler would be noise. Pocket is known to be one; what a folder says of itself may be
/// wrong, so there a sampler that is asked for goes before it.
#[test]
fn a_sampler_of_the_wrong_kind_is_refused() {
    let place = Place::new();
    stable_diffusion(&place);
    copy_folder(&fixture("model"), &place.path("noindex"));
    fs::remove_file(place.path("noindex/model_index.json")).expect("removed");
    let prompt = "a snowy mountain near a lake";
    for asked in [
        &["generate", prompt, "--sampler", "ddim"][..],
        &["generate", prompt, "--sampler", "dpmpp-2m"],
        &["generate", prompt, "--teacher", "--sampler", "ddim"],
        &["compare", prompt, "--sampler", "ddim"],
    ] {
        place.bad(2, &[asked, &["-o", "refused.png"]].concat(), "which is a flow: leave the sampler out");
        assert!(!place.path("refused.png").exists());
    }
    place.good(&["generate", prompt, "-o", "own.png"]);
    place.good(&["generate", prompt, "-o", "flow.png", "--sampler", "flow"]);
    let pixels = |name: &str| image::open(place.path(name)).expect("a picture").to_rgb8();
    assert_eq!(pixels("own.png"), pixels("flow.png"));
    for (index, model) in ["sd", &model(), "noindex"].into_iter().enumerate() {
        let output = format!("{index}.png");
        place.good(&["generate", prompt, "-o", &output, "--model", model, "--steps", "4", "--sampler", "ddim"]);
    }
    let wrong = ["generate", prompt, "-o", "x.png", "--model", "sd", "--sampler", "lcm", "--schedule", "karras"];
    place.bad(2, &wrong, "LCM visits times of its own");

    let (latents, noise) = ("karras.safetensors", place.noise(1));
    let karras = ["--sampler", "dpmpp-2m", "--schedule", "karras", "--steps", "20", "--guidance", "5"];
    let files = ["-o", "karras.png", "--model", "sd", "--noise", &noise, "--save-latents", latents];
    place.good(&[&["generate", PROMPT], &karras[..], &files].concat());
    let wanted = tensor_in(&fixture("../more/samplers.safetensors"), "dpmpp_2m_karras.latents").1;
    check_latents(&tensor_in(&place.path(latents), "latents").1, &wanted);
    let settings = read_settings(&place.path("karras.png")).expect("settings").settings;
    assert_eq!(settings.schedule, Some(NoiseSchedule::Karras));
}

#[test]
fn a_baseline_is_compared_beside_the_pair() {
    let place = Place::new();
    stable_diffusion(&place);
    let model = model();
    let pair = ["--model", &model, "--teacher-model", &model, "--baseline-model", "sd", "--steps", "3"];
    let said =
        place.good(&[&["compare", PROMPT, "-o", "a.png", "--save-latents", "l.safetensors"], &pair[..]].concat());
    assert!(said.contains("student | teacher | baseline | difference"), "{said}");
    assert!(said.contains("distance of student and baseline"), "{said}");
    assert_eq!(dimensions(&place.path("a.png")), (4 * 128, 128));
    assert_eq!(tensor_in(&place.path("l.safetensors"), "latents").0, [3, 4, 16, 16]);
    let baseline = ["--model", "sd", "-o", "b.png", "--steps", "3", "--save-latents", "b.safetensors"];
    place.good(&[&["generate", PROMPT], &baseline[..]].concat());
    let (all, alone) =
        (tensor_in(&place.path("l.safetensors"), "latents").1, tensor_in(&place.path("b.safetensors"), "latents").1);
    assert_eq!(all[2 * alone.len()..], alone, "the same noise and the same defaults");
    let object = json(&place.good(&["bench", "--baseline-model", "sd", "--model", &model, "--runs", "1", "--json"]));
    assert!(object["baseline_s"].as_f64().is_some_and(|s| s > 0.0), "{object}");
    place.bad(1, &[&["compare", "x", "-o", "c.png", "--baseline-model", "absent"], &pair[..4]].concat(), "absent");
}

#[test]
fn a_pair_is_one_folder() {
    let place = Place::new();
    copy_folder(&fixture("model"), &place.path("pair/teacher"));
    copy_folder(&fixture("model/unet"), &place.path("pair/student/unet"));
    fs::copy(fixture("model/model_index.json"), place.path("pair/student/model_index.json")).expect("copied");
    place.good(&["compare", "x", "-o", "a.png", "--model", "pair", "--steps", "2"]);
    place.good(&["generate", "x", "-o", "s.png", "--model", "pair"]);
    place.good(&["generate", "x", "-o", "t.png", "--model", "pair", "--teacher", "--steps", "2"]);
    assert_eq!(read_settings(&place.path("t.png")).expect("settings").settings.role, Role::Teacher);
    let object = json(&place.good(&["bench", "--model", "pair", "--runs", "1", "--json"]));
    assert!(object["teacher_s"].as_f64().is_some_and(|s| s > 0.0), "{object}");
    assert!(place.good(&["tokens", "x", "--model", "pair"]).starts_with("49406 "));
    assert!(place.good(&["info", "pair"]).contains("teacher"));
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("exactly one JSON value")
}

#[test]
fn bench_prints_one_object() {
    let place = Place::new();
    let model = model();
    let object = json(&place.good(&["bench", "--model", &model, "--runs", "3", "--json"]));
    assert_eq!(
        (&object["model"], &object["dtype"], &object["size"], &object["teacher_s"]),
        (&"model".into(), &"f32".into(), &vec![128, 128].into(), &serde_json::Value::Null)
    );
    let seconds = |value: &serde_json::Value| value.as_f64().filter(|s| *s > 0.0 && *s < 60.0).expect("seconds");
    let stages = ["text_encoder", "unet", "decoder"].map(|stage| seconds(&object["stages"][stage]));
    assert!(seconds(&object["one_step_s"]) >= stages.into_iter().fold(0.0, f64::max), "{object}");
    let keys: BTreeSet<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = ["device", "dtype", "model", "one_step_s", "size", "stages", "teacher_s"];
    assert_eq!(keys, BTreeSet::from(expected));

    let bf16 = ["bench", "--model", &model, "--runs", "1", "--dtype", "bf16", "--device", "cpu"];
    let object = json(&place.good(&[&bf16[..], &["--json"]].concat()));
    let products = object["bf16_products"].as_str().expect("how bf16 is multiplied");
    let words = match products {
        "pairs" => "multiplied in pairs",
        "widened" => "widened to f32",
        other => panic!("{other}"),
    };
    assert!(place.good(&bf16).contains(words), "the text says the same as the object");

    let object = json(&place.good(&["bench", "--model", &model, "--teacher", "--runs", "1", "--json"]));
    assert!(seconds(&object["teacher_s"]) > seconds(&object["one_step_s"]), "{object}");

    let object = json(&place.good(&["bench", "--model", &model, "--runs", "1", "--live", "a lake 😀", "--json"]));
    let live = &object["live"];
    assert!(seconds(&live["p50_s"]) <= seconds(&live["p95_s"]), "{live}");
    assert_eq!(live["drawn"].as_u64().zip(live["dropped"].as_u64()).map(|(a, b)| a + b), Some(8), "{live}");

    let text = place.good(&["bench", "--model", &model, "--runs", "2", "--size", "64x64"]);
    assert!(text.contains("64x64") && text.contains("U-Net") && text.lines().count() == 5, "{text}");
}

#[test]
fn wrong_use_of_bench_is_told_in_one_line() {
    let place = Place::new();
    let model = model();
    place.bad(2, &["bench", "--model", &model, "--runs", "0"], "--runs");
    place.bad(2, &["bench", "--model", &model, "--live", ""], "--live");
    place.bad(2, &["bench", "--model", &model, "--size", "100x100"], "multiple");
    place.bad(2, &["bench", "--model", &model, "--decoder", "tiny"], "tiny decoder");
    place.bad(2, &["bench", "--random", "sd15", "--model", &model], "--random");
    place.bad(2, &["bench", "--random", "sdxl"], "sdxl");
    place.bad(2, &["bench", "--random", "sdxl"], "sd15");
    place.bad(1, &["bench", "--model", "absent", "--json"], "absent");
}

#[test]
fn prompts_are_read_as_asked() {
    let place = Place::new();
    let model = model();
    let draw = |file: &str, more: &[&str]| {
        let prompt = "a (red:1.3) fox in the snow";
        let (png, latents) = (format!("{file}.png"), format!("{file}.safetensors"));
        let common = ["generate", prompt, "-o", &png, "--save-latents", &latents, "--model", &model];
        place.good(&[&common, more].concat());
        read_settings(&place.path(&png)).expect("settings").settings
    };
    let plain = draw("a", &[]);
    assert_eq!((plain.prompt_syntax, plain.clip_skip), (PromptSyntax::A1111, 1));
    let asked = draw("b", &["--prompt-syntax", "comfyui", "--clip-skip", "2"]);
    assert_eq!((asked.prompt_syntax, asked.clip_skip), (PromptSyntax::ComfyUi, 2));
    draw("c", &["--prompt-syntax", "off"]);
    let latents = |file: &str| tensor_in(&place.path(file), "latents").1;
    assert_ne!(latents("a.safetensors"), latents("b.safetensors"));
    assert_ne!(latents("a.safetensors"), latents("c.safetensors"));
    place.bad(2, &["generate", "x", "-o", "d.png", "--model", &model, "--clip-skip", "3"], "clip skip 3");
    place.bad(2, &["generate", "x", "-o", "d.png", "--clip-skip", "0"], "--clip-skip");
    place.bad(2, &["tokens", "x", "--prompt-syntax", "invoke"], "a1111");

    let trio = fixture("../more/textual_inversion/trio.safetensors").display().to_string();
    let ids = place.good(&["tokens", "a trio (b) BREAK c", "--model", &model, "--embedding", &trio]);
    assert!(ids.starts_with("49406 320 49408 49409 49410 321 49407 "), "{ids}");
    assert_eq!(ids.split_whitespace().count(), 2 * 77);
    draw("e", &["--embedding", &trio]);
    place.bad(1, &["generate", "x", "-o", "f.png", "--embedding", &trio], "holds vectors of 16 numbers");
    place.bad(1, &["tokens", "x", "--model", &model, "--embedding", "old.pt"], "safetensors");
}

#[test]
fn tokens_are_those_of_transformers() {
    let place = Place::new();
    let model = model();
    let cases: serde_json::Value = json(&fs::read_to_string(fixture("cases.json")).expect("cases"));
    let mut checked = 0;
    for case in cases["cases"].as_array().expect("a list").iter().filter(|case| case["kind"] == "tokens") {
        let prompt = case["prompt"].as_str().expect("a prompt");
        let ids: Vec<String> = case["ids"].as_array().expect("ids").iter().map(ToString::to_string).collect();
        let off = ["tokens", prompt, "--model", &model, "--prompt-syntax", "off"];
        assert_eq!(place.good(&off), ids.join(" ") + "\n", "{prompt:?}");
        // What is longer goes on in further chunks.
        let all = place.good(&["tokens", prompt, "--model", &model]);
        assert!(
            all.starts_with(&ids.join(" ")) && all.split_whitespace().count().is_multiple_of(77),
            "{prompt:?}: {all}"
        );
        checked += 1;
    }
    assert_eq!(checked, 6);
    place.bad(2, &["tokens"], "<PROMPT>");
    place.bad(1, &["tokens", "x", "--model", "absent"], "absent");
}

#[test]
fn info_tells_of_folders_and_their_faults() {
    let place = Place::new();
    let told = place.good(&["info", &model()]);
    for part in ["unet", "vae", "text_encoder", "tokenizer"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    fs::write(place.path("text.png"), "no picture").expect("written");
    fs::create_dir(place.path("empty")).expect("made");
    place.bad(1, &["info", "text.png"], "not a PNG");
    place.bad(1, &["info", "absent.png"], "absent.png");
    place.bad(1, &["info", "empty"], "empty");
    place.bad(2, &["info"], "FILE|DIR");
}

#[test]
fn a_file_cannot_command_the_terminal() {
    let place = Place::new();
    let model = model();
    place.good(&["generate", "\u{1b}]0;owned\u{7} lake\r\u{9b}2J", "-o", "a.png", "--model", &model]);
    let told = place.good(&["info", "a.png"]);
    assert!(told.contains("lake") && !told.contains(['\u{1b}', '\u{7}', '\r', '\u{9b}']), "{told:?}");
    place.bad(2, &["\u{1b}[31mpaint"], "paint");
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    assert_eq!(place.good(&["--version"]), concat!("instaflow ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = place.good(&["--help"]);
    for command in ["generate", "compare", "bench", "info", "tokens", "models", "--tiny-decoder", "Examples:"] {
        assert!(help.contains(command), "{command}: {help}");
    }
    for command in ["generate", "compare", "bench", "info", "tokens", "models"] {
        assert!(place.good(&[command, "--help"]).contains("Example"), "{command}");
    }
    place.bad(2, &["paint"], "paint");
    place.bad(2, &["--model"], "--model");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_instaflow"))
        .args(["tokens", "x", "--model", &model()])
        .current_dir(place.folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
