//! Checkpoints in one file from the command line to a picture, held to the reference (tests/fixtures/more).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use instaflow_test_support::{PROMPT, Tolerance, assert_close, copy_folder, expected, fixture, more, tensor_in};
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// A folder to run the binary in, with the configs of the small U-Net in `configs`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a folder"));
        copy_folder(&fixture("model"), &place.path("configs"));
        fs::remove_file(place.path("configs/unet/diffusion_pytorch_model.safetensors")).expect("it is there");
        fs::copy(more("micro/unet/config.json"), place.path("configs/unet/config.json")).expect("copied");
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

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_instaflow"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .expect("the binary runs")
    }

    /// Runs a command that must succeed, and gives what it prints.
    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The latents of one picture of the reference's prompt from the reference's noise.
    #[track_caller]
    fn latents(&self, arguments: &[&str]) -> Vec<f32> {
        let fixed = ["generate", PROMPT, "-o", "p.png", "--noise", "noise.safetensors", "--force"];
        let latents = ["--save-latents", "latents.safetensors"];
        self.good(&[&fixed[..], &latents[..], arguments].concat());
        tensor_in(&self.path("latents.safetensors"), "latents").1
    }
}

fn file(name: &str) -> String {
    text(&more(&format!("single_file/{name}.safetensors")))
}

fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

#[test]
fn a_file_draws_what_the_reference_draws() {
    let place = Place::new();
    let (_, wanted) = tensor_in(&more("single_file.safetensors"), "full.rf_latents");
    let got = place.latents(&["--model", &file("full_with_junk"), "--config", "configs"]);
    assert_close(&got[..], &wanted[..], Tolerance::of_largest(1e-4));

    // One step from the noise is the noise plus the velocity.
    let (_, noise) = expected("noise");
    for (name, more_arguments, wanted) in [
        ("micro_unet_only", &[][..], "micro.unet_t1000"),
        ("micro_ema", &[][..], "micro.unet_t1000"),
        ("micro_ema", &["--ema"][..], "micro_ema.unet_t1000"),
    ] {
        let got = place.latents(&[&["--model", &file(name), "--config", "configs"], more_arguments].concat());
        let (_, velocity) = tensor_in(&more("single_file.safetensors"), wanted);
        let wanted: Vec<f32> = noise.iter().zip(&velocity).map(|(noise, v)| noise + v).take(got.len()).collect();
        assert_close(&got[..], &wanted[..], Tolerance::of_largest(1e-4));
    }
}

#[test]
fn an_autoencoder_in_a_file_draws_as_the_folders_own() {
    let place = Place::new();
    let model = text(&fixture("model"));
    let draw = |name: &str, arguments: &[&str]| {
        place.good(&[&["generate", "a lake", "-o", name, "--model", &model], arguments].concat());
        pixels(&place.path(name))
    };
    let own = draw("own.png", &[]);
    assert_eq!(draw("file.png", &["--vae", &file("vae_bare")]), own);
    assert_eq!(draw("folder.png", &["--vae", &text(&fixture("model/vae"))]), own);
    assert_eq!(draw("model.png", &["--vae", &model]), own);
    assert_ne!(draw("tiny.png", &["--vae", &text(&fixture("vae_tiny"))]), own);
    let error =
        place.run(&["generate", "a lake", "-o", "no.png", "--model", &model, "--vae", &file("micro_unet_only")]);
    assert!(!error.status.success() && String::from_utf8_lossy(&error.stderr).contains("has no VAE"));
}

fn pixels(path: &Path) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).expect("a picture")))
        .read_info()
        .expect("a PNG");
    let mut rgb = vec![0; reader.output_buffer_size().expect("a small picture")];
    reader.next_frame(&mut rgb).expect("pixels");
    rgb
}

#[test]
fn info_says_what_a_file_is() {
    let place = Place::new();
    for (name, says) in [
        ("full_with_junk", &["a checkpoint", "tiny-sd"][..]),
        ("micro_unet_only", &["a U-Net", "f16"]),
        ("micro_ema", &["a checkpoint", "averaged weights"]),
        ("vae_bare", &["a VAE"]),
    ] {
        let printed = place.good(&["info", &file(name)]);
        assert!(says.iter().all(|words| printed.contains(words)), "{name}: {printed}");
    }
    for (name, contents, says) in [
        ("cut.safetensors", &1000u64.to_le_bytes()[..], "ends within its header"),
        ("pickle.ckpt", b"\x80\x02", "can run code when it is read"),
        ("page.safetensors", b"<!doctype html>", "web page"),
    ] {
        fs::write(place.path(name), contents).expect("written");
        for arguments in [&["info", name][..], &["generate", "x", "-o", "x.png", "--model", name]] {
            let output = place.run(arguments);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(1) && error.contains(says), "{arguments:?}: {error}");
        }
    }
}
