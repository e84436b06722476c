//! `instaflow models` with the real binary and a hub on the loopback interface: licence, download, a killed download that
//! goes on, names instead of paths, removal, and the search for models.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use instaflow_test_support::{Fault, LoopbackHub, Repository, fixture};
use serde_json::Value;
use tempfile::TempDir;

pub const NAME: &str = "example/tiny-hills";
pub const COMMIT: &str = "41e64cba9a7ae2bd1d34e1a2a5d4d7b3e2c9b2f0";
pub const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A home of its own, and a hub.
struct Home {
    folder: TempDir,
    hub: LoopbackHub,
}

/// The model of the reference outputs as a repository.
pub fn repository(commit: &str) -> Repository {
    let root = fixture("model");
    let mut repository = Repository::new(commit).card(r#"{"license":"mit"}"#).small("README.md", "words");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).expect("inside").to_str().expect("a plain path").to_owned();
            let bytes = fs::read(&path).expect("a file");
            let large = name.ends_with(".safetensors");
            repository = if large { repository.large(&name, bytes) } else { repository.small(&name, bytes) };
        }
    }
    repository
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: TempDir::new().expect("a folder"), hub: LoopbackHub::start() };
        home.hub.add(NAME, repository(COMMIT));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_instaflow"));
        let home = self.folder.path();
        command.args(arguments).current_dir(home).env_clear().stdin(Stdio::null());
        // What the system needs to start a program at all.
        for name in ["PATH", "LD_LIBRARY_PATH", "SystemRoot"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", home).env("HF_ENDPOINT", self.hub.endpoint()).env("HF_HOME", home.join("hf"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""), "{arguments:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[track_caller]
    fn bad(&self, code: i32, arguments: &[&str], words: &str) {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.starts_with("error: ") && errors.contains(words), "{arguments:?}: {errors:?}");
    }

    fn snapshot(&self) -> PathBuf {
        self.path("hf/hub/models--example--tiny-hills/snapshots").join(COMMIT)
    }
}

#[test]
fn a_model_is_listed_downloaded_used_and_removed() {
    let home = Home::new();
    let list: Value = serde_json::from_str(&home.good(&["models", "list", "--json"])).expect("one object");
    let ids: Vec<&str> = list["models"].as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
    assert!(["instaflow", "taesd", "sd15", "sd-turbo"].iter().all(|id| ids.contains(id)), "{ids:?}");
    assert!(list["models"].as_array().expect("a list").iter().all(|model| model["state"] == "absent"));
    let text = home.good(&["models", "list"]);
    assert!(text.contains("8.5 GB") && text.contains("cc-by-nc-4.0"), "{text}");
    assert!(home.hub.requests().is_empty(), "a list needs no network");

    home.bad(2, &["models", "download", "nothing"], "names no model");
    home.bad(2, &["models", "download", "instaflow", "--revision", "x"], "leave --revision out");
    home.bad(1, &["models", "path", NAME], "instaflow models download example/tiny-hills");
    home.bad(1, &["models", "remove", NAME], "is not downloaded");
    home.bad(1, &["generate", "x", "-o", "a.png", "--model", "taesd"], "instaflow models download taesd");
    home.bad(1, &["generate", "x", "-o", "a.png", "--model", NAME], "nor in the hub's cache");
    home.bad(1, &["models", "download", "example/absent", "--accept-licence"], "is not on http://127.0.0.1");

    // Nothing is fetched before somebody has said yes, and a dry run fetches nothing.
    home.bad(2, &["models", "download", NAME], "--accept-licence");
    let dry = home.good(&["models", "download", NAME, "--dry-run"]);
    for words in ["unet/config.json", "MIT License (mit)", "To download", "41e64cb"] {
        assert!(dry.contains(words), "{words}: {dry}");
    }
    assert!(!home.path("hf").exists() && home.hub.fetches("safetensors").is_empty());

    let told = home.good(&["models", "download", NAME, "--accept-licence"]);
    let snapshot = home.snapshot();
    assert!(told.ends_with(&format!("{NAME} is here: {}\n", snapshot.display())), "{told}");
    assert_eq!(home.good(&["models", "path", NAME]), format!("{}\n", snapshot.display()));
    // Accepted for this commit; and nothing is fetched twice.
    let fetched = home.hub.fetches("safetensors").len();
    assert!(home.good(&["models", "download", NAME]).contains("all of it is here"));
    assert_eq!(home.hub.fetches("safetensors").len(), fetched);
    assert!(home.good(&["models", "list"]).contains(NAME));

    // The name draws what the folder draws.
    let model = fixture("model");
    let draw = |name: &str, model: &str| {
        let latents = format!("{name}.safetensors");
        home.good(&["generate", "a lake", "-o", &format!("{name}.png"), "--model", model, "--save-latents", &latents]);
        fs::read(home.path(&latents)).expect("latents")
    };
    assert_eq!(draw("name", NAME), draw("folder", model.to_str().expect("a plain path")));

    let mut offline = home.command(&["models", "download", NAME]);
    assert!(offline.env("HF_HUB_OFFLINE", "1").output().expect("runs").status.success(), "it is here already");
    let removed = home.good(&["models", "remove", NAME]);
    assert!(
        removed.contains("are free again") && !home.path("hf/hub/models--example--tiny-hills").exists(),
        "{removed}"
    );
    let mut offline = home.command(&["models", "download", NAME, "--accept-licence"]);
    let refused = offline.env("HF_HUB_OFFLINE", "1").output().expect("runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("HF_HUB_OFFLINE"), "{refused:?}");
}

#[test]
fn the_pair_has_one_name() {
    let home = Home::new();
    home.hub.add("XCLiu/instaflow_0_9B_from_sd_1_5", repository(COMMIT));
    home.hub.add("XCLiu/2_rectified_flow_from_sd_1_5", repository("ffffffffffffffffffffffffffffffffffffffff"));
    home.good(&["models", "download", "instaflow", "--accept-licence"]);
    assert_eq!(home.hub.fetches(UNET).len(), 1, "both halves have the same file here");
    let paths = home.good(&["models", "path", "instaflow"]);
    assert_eq!(paths.lines().count(), 2, "{paths}");
    home.good(&["compare", "a lake", "-o", "both.png", "--model", "instaflow", "--steps", "2"]);
    home.good(&["generate", "a lake", "-o", "student.png", "--model", "instaflow"]);
    home.good(&["generate", "a lake", "-o", "teacher.png", "--model", "instaflow", "--teacher", "--steps", "2"]);
    home.good(&["tokens", "a lake", "--model", "instaflow"]);
    // A folder of that name that holds no model does not hide it.
    fs::create_dir(home.path("instaflow")).expect("made");
    home.good(&["generate", "a lake", "-o", "again.png", "--model", "instaflow"]);
    assert_eq!(fs::read(home.path("again.png")).ok(), fs::read(home.path("student.png")).ok());
}

/// Kills a process however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_download_goes_on_where_it_stopped() {
    const PART: usize = 100_000;
    let home = Home::new();
    home.hub.fail(UNET, [Fault::StallAfter(PART)]);
    let download = ["models", "download", NAME, "--accept-licence"];
    let mut command = home.command(&download);
    let process = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"));
    home.hub.wait_until(|requests| requests.iter().any(|it| it.second_host && it.path.ends_with(UNET)));
    let blobs = home.path("hf/hub/models--example--tiny-hills/blobs");
    let unfinished = || {
        let entries = fs::read_dir(&blobs).into_iter().flatten().flatten().map(|entry| entry.path());
        let unfinished = entries.filter(|path| path.extension().is_some_and(|it| it == "incomplete"));
        unfinished.filter_map(|path| Some(path.metadata().ok()?.len())).collect::<Vec<_>>()
    };
    // All that was sent is on the disk: nothing more will come.
    while !unfinished().contains(&(PART as u64)) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // SIGKILL: the program has no last word.
    drop(process);
    assert!(unfinished().contains(&(PART as u64)));
    assert!(!home.snapshot().exists(), "nothing is half there");

    home.good(&download);
    assert_eq!(home.hub.fetches(UNET).last().expect("a request").from(), Some(PART));
    assert_eq!(fs::read(home.snapshot().join(UNET)).ok(), fs::read(fixture("model").join(UNET)).ok());
    assert_eq!(unfinished(), Vec::<u64>::new());
}

#[test]
fn models_on_the_disk_are_found() {
    let home = Home::new();
    home.good(&["models", "download", NAME, "--accept-licence"]);
    let root = home.path("stable-diffusion-webui");
    let copy = |to: &str, from: &Path| {
        fs::create_dir_all(root.join(to).parent().expect("a folder")).expect("made");
        fs::copy(from, root.join(to)).expect("copied");
    };
    copy("models/VAE/vae.safetensors", &fixture("vae_tiny/diffusion_pytorch_model.safetensors"));
    fs::create_dir_all(root.join("models/Stable-diffusion")).expect("made");
    fs::write(root.join("models/Stable-diffusion/old.ckpt"), "PK").expect("written");

    let all: Value = serde_json::from_str(&home.good(&["models", "scan", "--json"])).expect("one object");
    let found = all["models"].as_array().expect("a list");
    assert_eq!(found.len(), 3, "{all}");
    let of = |ending: &str| {
        found.iter().find(|model| model["path"].as_str().is_some_and(|path| path.ends_with(ending))).expect(ending)
    };
    let snapshot = of(COMMIT);
    assert_eq!((&snapshot["program"], &snapshot["kind"]), (&"hub cache".into(), &"model folder".into()), "{snapshot}");
    assert_eq!((&snapshot["name"], &snapshot["usable"]), (&NAME.into(), &true.into()), "{snapshot}");
    let old = of("old.ckpt");
    assert!(old["why_not"].as_str().is_some_and(|why| why.contains("can run code")), "{old}");
    assert_eq!((&old["program"], &old["usable"]), (&"A1111".into(), &false.into()));
    assert_eq!(of("vae.safetensors")["kind"], "tiny autoencoder");

    let text = home.good(&["models", "scan", "stable-diffusion-webui/models/VAE"]);
    assert!(text.ends_with("1 model in 1 folder, 1 of them usable\n"), "{text}");
    home.bad(1, &["models", "scan", "absent"], "absent is no folder");
}
