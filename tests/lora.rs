//! LoRAs and fine-tunes on the command line of the real binary, held to the reference's latents.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use instaflow_test_support::{
    PROMPT, Tolerance, assert_close, assert_not_close, copy_folder, expected, fixture, more, tensor_in,
};
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// A folder to run the binary in, which is also where it finds its own files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a folder"));
        let (shape, values) = expected("noise");
        let row: usize = shape[1..].iter().product();
        let bytes: Vec<u8> = values[..row].iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![1, shape[1], shape[2], shape[3]], &bytes).expect("a tensor");
        let noise = safetensors::serialize([("noise", view)], None).expect("serialized");
        fs::write(place.path("noise.safetensors"), noise).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn generate(&self, prompt: &str, more: &[&str]) -> Output {
        let model = fixture("model");
        let model = model.to_str().expect("a plain path");
        let common = ["generate", prompt, "-o", "out.png", "--force", "--model", model];
        let files = ["--noise", "noise.safetensors", "--save-latents", "latents.safetensors"];
        Command::new(env!("CARGO_BIN_EXE_instaflow"))
            .args(common.iter().chain(&files).chain(more))
            .current_dir(self.0.path())
            .env("XDG_DATA_HOME", self.0.path())
            .env("HOME", self.0.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .expect("the binary runs")
    }

    /// The latents of a run that must succeed.
    #[track_caller]
    fn latents(&self, prompt: &str, more: &[&str]) -> Vec<f32> {
        let output = self.generate(prompt, more);
        assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
        tensor_in(&self.path("latents.safetensors"), "latents").1
    }

    /// A run that must fail with this exit code and these words.
    #[track_caller]
    fn bad(&self, code: i32, more: &[&str], words: &str) {
        let output = self.generate(PROMPT, more);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {errors}");
        assert!(errors.contains(words), "{more:?}: {errors}");
    }
}

fn file(name: &str) -> String {
    more(&format!("lora/{name}.safetensors")).to_str().expect("a plain path").to_owned()
}

fn reference(case: &str) -> Vec<f32> {
    tensor_in(&more("lora.safetensors"), &format!("{case}.rf_latents")).1
}

const TOLERANCE: Tolerance = Tolerance::of_largest(1e-4);

#[test]
fn loras_are_files_with_weights() {
    let place = Place::new();
    let (linear, locon) = (file("kohya_linear"), file("kohya_locon"));
    let at = |file: &str, weight: &str| format!("{file}:{weight}");
    let one = place.latents(PROMPT, &["--lora", &at(&linear, "0.6")]);
    assert_close(&one[..], &reference("kohya_linear.w0.6")[..], TOLERANCE);
    let one = place.latents(PROMPT, &["--lora", &at(&linear, "0.6:0.6")]);
    assert_close(&one[..], &reference("kohya_linear.w0.6")[..], TOLERANCE);
    let two = place.latents(PROMPT, &["--lora", &locon, "--lora", &at(&linear, "-0.5")]);
    assert_close(&two[..], &reference("two.w1_-0.5")[..], TOLERANCE);

    // Other programs read in the picture what was used.
    let picture = fs::read(place.path("out.png")).expect("a picture");
    let picture = String::from_utf8_lossy(&picture);
    assert!(picture.contains(", Lora hashes: \"kohya_locon: b7f0afa924f3, kohya_linear: dc5d58a00e1c\", "));
    assert!(picture.contains("<lora:kohya_linear:-0.5>"));
}

#[test]
fn loras_have_names_in_their_folder() {
    let place = Place::new();
    let folder = place.path("instaflow/loras/styles");
    fs::create_dir_all(&folder).expect("a folder");
    fs::copy(file("kohya_linear"), folder.join("ink.safetensors")).expect("a copy");
    let named = place.latents(PROMPT, &["--lora", "ink:0.6"]);
    assert_close(&named[..], &reference("kohya_linear.w0.6")[..], TOLERANCE);
    let tagged = place.latents(&format!("{PROMPT} <lora:ink:0.6>"), &[]);
    assert_eq!(tagged, named);
    let off = place.latents(&format!("{PROMPT} <lora:ink:0>"), &[]);
    assert_not_close(&off[..], &named[..], TOLERANCE);

    place.bad(1, &["--lora", "oil"], "oil: does not exist: give the file of a LoRA");
    place.bad(2, &["--lora", ":1"], "write FILE");
    let model = fixture("model/unet/diffusion_pytorch_model.safetensors");
    place.bad(1, &["--lora", model.to_str().expect("a plain path")], "holds no LoRA: it is a U-Net");
}

#[test]
fn a_fine_tune_is_carried_over() {
    let place = Place::new();
    copy_folder(&fixture("model"), &place.path("tuned"));
    let model = fixture("model");
    let base = model.to_str().expect("a plain path");
    let plain = place.latents(PROMPT, &[]);
    let carried = place.latents(PROMPT, &["--carry", "tuned", "--carry-base", base, "--carry-weight", "-0.5"]);
    assert_eq!(carried, plain, "nothing was tuned");
    replace_unet(&place.path("tuned"), &fixture("stacked_unet"));
    place.bad(1, &["--carry", "tuned", "--carry-base", base], "lacks conv_in");
    place.bad(2, &["--carry", "tuned"], "--carry-base");
    place.bad(2, &["--carry-base", base], "--carry");
    place.bad(2, &["--carry", "tuned", "--carry-base", base, "--carry-weight", "nan"], "write a number");
}

fn replace_unet(model: &Path, unet: &Path) {
    fs::remove_dir_all(model.join("unet")).expect("removed");
    copy_folder(unet, &model.join("unet"));
}
