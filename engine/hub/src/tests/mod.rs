//! Downloads from a hub of our own: [`faults`] has what goes wrong, [`sharing`] what is shared with other programs.

mod faults;
mod sharing;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use instaflow_test_support::{LoopbackHub, Repository};

use crate::selection::Weights;
use crate::{Acceptances, Cache, Environment, Event, Found, Hub, Patience, Plan, PlanOptions, Result, State, Stop};

const NAME: &str = "example/tiny-hills";
const COMMIT: &str = "41e64cba9a7ae2bd1d34e1a2a5d4d7b3e2c9b2f0";
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A hub, a cache, and what a person has accepted.
struct Place {
    folder: tempfile::TempDir,
    server: LoopbackHub,
    acceptances: Acceptances,
    variables: Vec<(String, OsString)>,
}

/// Bytes that no two files have in common.
fn bytes(count: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// A model in Diffusers layout with what nobody needs beside it.
fn model(commit: &str) -> Repository {
    Repository::new(commit)
        .card(r#"{"license":"openrail++"}"#)
        .small("README.md", "not needed")
        .small("model_index.json", "{}")
        .small("tokenizer/vocab.json", r#"{"a":0}"#)
        .small("tokenizer/merges.txt", "#version: 0.2\n")
        .small("scheduler/scheduler_config.json", "{ }")
        .small("text_encoder/config.json", "{  }")
        .large("text_encoder/model.safetensors", bytes(70_000, 1))
        .small("unet/config.json", "{   }")
        .large(UNET, bytes(900_000, 2))
        .large("unet/diffusion_pytorch_model.fp16.safetensors", bytes(450_000, 3))
        .large("unet/diffusion_pytorch_model.bin", bytes(1000, 4))
        .small("vae/config.json", "{    }")
        .large("vae/diffusion_pytorch_model.safetensors", bytes(50_000, 5))
        .large("safety_checker/model.safetensors", bytes(2000, 6))
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a folder"),
            server: LoopbackHub::start(),
            acceptances: Acceptances::default(),
            variables: Vec::new(),
        };
        place.server.add(NAME, model(COMMIT));
        place
    }

    fn cache(&self) -> Cache {
        Cache::new(self.folder.path().join("hub"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cache().folder().join("models--example--tiny-hills").join(name)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// The hub as a program sees it that lives here and waits for no longer than it must.
    fn hub(&self) -> Hub {
        let find = |name: &str| match name {
            "HF_ENDPOINT" => Some(self.server.endpoint().into()),
            "HF_HUB_CACHE" => Some(self.folder.path().join("hub").into()),
            _ => self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
        };
        let mut hub = Hub::new(Environment::new(&find, None), None).expect("a good catalogue");
        hub.patience = Patience { pause: Duration::from_millis(1), ..Patience::default() };
        hub
    }

    fn plan(&self, name: &str) -> Result<Plan> {
        let hub = self.hub();
        hub.plan(&hub.catalogue().target(name)?, PlanOptions::default(), &Stop::default(), &|_| {})
    }

    /// Plans, accepts and downloads.
    fn download_with(&mut self, name: &str, on: &mut dyn FnMut(Event)) -> Result<Vec<Found>> {
        let plan = self.plan(name)?;
        self.acceptances.accept(&plan.licences)?;
        self.hub().download(&plan, &self.acceptances, &Stop::default(), on)
    }

    fn download(&mut self) -> Result<Vec<Found>> {
        self.download_with(NAME, &mut |_| {})
    }

    fn state(&self) -> State {
        let hub = self.hub();
        hub.cache().state(&hub.catalogue().target(NAME).expect("a name"))
    }

    /// Panics unless the whole model is in the cache, in the layout that other programs read.
    #[track_caller]
    fn assert_whole(&self) {
        let snapshot = self.path("snapshots").join(COMMIT);
        assert_eq!(fs::read(snapshot.join(UNET)).expect("the U-Net"), bytes(900_000, 2));
        assert_eq!(fs::read(snapshot.join("tokenizer/merges.txt")).expect("the merges"), b"#version: 0.2\n");
        assert_eq!(fs::read_to_string(self.path("refs/main")).expect("the ref"), COMMIT);
        let target = fs::read_link(snapshot.join(UNET)).expect("a link");
        assert!(target.starts_with("../../../blobs"), "{}", target.display());
        let left: Vec<_> = names(&self.path("blobs")).into_iter().filter(|name| name.contains('.')).collect();
        assert_eq!(left, Vec::<String>::new(), "nothing is left unfinished");
        assert!(matches!(self.state(), State::Here { .. }));
    }

    fn partial(&self) -> PathBuf {
        let plan = self.plan(NAME).expect("a plan");
        let unet = plan.pieces[0].files.iter().find(|file| file.path == UNET).expect("a U-Net");
        self.path("blobs").join(format!("{}.incomplete", unet.etag))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn only_what_is_needed_arrives_and_nothing_comes_twice() {
    let mut place = Place::new();
    assert_eq!(place.state(), State::Absent);
    let plan = place.plan(NAME).expect("a plan");
    assert_eq!((plan.bytes(), plan.bytes_to_fetch()), (1_020_041, 1_020_041));
    assert_eq!(plan.pieces[0].files.len(), 10);
    assert_eq!((plan.pieces[0].commit.as_str(), plan.licences[0].id.as_str()), (COMMIT, "openrail++"));
    assert!(!place.cache().folder().exists(), "planning writes nothing");

    let mut events = Vec::new();
    let found = place.download_with(NAME, &mut |event| events.push(event)).expect("a download");
    assert_eq!(found[0].path, place.path("snapshots").join(COMMIT));
    place.assert_whole();
    assert!(matches!(events[0], Event::Begin { files: 10, bytes: 1_020_041 }), "{:?}", events[0]);
    let last = events.iter().rev().find_map(|event| match event {
        Event::Progress(progress) => Some((progress.done, progress.total)),
        _ => None,
    });
    assert_eq!(last, Some((1_020_041, 1_020_041)));
    let arrived = events.iter().filter(|event| matches!(event, Event::Arrived { .. })).count();
    assert_eq!(arrived, 10);
    let asked: Vec<String> = place.server.requests().into_iter().map(|request| request.path).collect();
    for unneeded in ["README.md", "safety_checker", ".bin", "fp16"] {
        assert!(!asked.iter().any(|path| path.contains(unneeded)), "{unneeded}");
    }

    let before = place.server.fetches("safetensors").len();
    assert_eq!(place.plan(NAME).expect("a plan").bytes_to_fetch(), 0);
    place.download().expect("nothing to do");
    assert_eq!(place.server.fetches("safetensors").len(), before);
}

#[test]
fn the_smaller_weights_are_taken_if_they_will_do() {
    let place = Place::new();
    let hub = place.hub();
    let entry = hub.catalogue().target(NAME).expect("a name");
    let unet = |weights, half_from| {
        let options = PlanOptions { weights, half_from, ..PlanOptions::default() };
        let plan = hub.plan(&entry, options, &Stop::default(), &|_| {}).expect("a plan");
        let file =
            plan.pieces[0].files.iter().find(|file| file.path.starts_with("unet/diff")).expect("a U-Net").clone();
        (file.path, file.bytes)
    };
    let (full, half) =
        ((UNET.to_owned(), 900_000), ("unet/diffusion_pytorch_model.fp16.safetensors".to_owned(), 450_000));
    assert_eq!(unet(Weights::Half, None), half);
    assert_eq!(unet(Weights::Full, Some(900_000)), half, "it is large enough to be computed in 16 bits");
    assert_eq!(unet(Weights::Full, Some(900_001)), full);
}

#[test]
fn nothing_is_fetched_before_the_licence_is_accepted() {
    let mut place = Place::new();
    let plan = place.plan(NAME).expect("a plan");
    let hub = place.hub();
    let refused = hub.download(&plan, &place.acceptances, &Stop::default(), &mut |_| {}).expect_err("not accepted");
    assert!(refused.to_string().contains("has not been accepted"), "{refused}");
    assert!(!place.cache().folder().exists() && place.server.fetches("safetensors").is_empty());
    place.download().expect("accepted");

    // A new commit may have another licence.
    place
        .server
        .add(NAME, model("ffffffffffffffffffffffffffffffffffffffff").large("text_encoder/model.safetensors", "x"));
    let newer = place.plan(NAME).expect("a plan");
    assert!(newer.bytes_to_fetch() > 0 && !place.acceptances.have_all(&newer.licences));
}

#[test]
fn a_revision_is_pinned_to_its_commit() {
    let place = Place::new();
    let hub = place.hub();
    let newer = "ffffffffffffffffffffffffffffffffffffffff";
    place.server.add(NAME, model(newer));
    let entry = hub.catalogue().target(NAME).expect("a name");
    let plan = hub
        .plan(&entry, PlanOptions { revision: Some(COMMIT), ..PlanOptions::default() }, &Stop::default(), &|_| {})
        .expect("a plan");
    assert_eq!(plan.pieces[0].commit, COMMIT);
    let mut acceptances = Acceptances::default();
    acceptances.accept(&plan.licences).expect("kept");
    hub.download(&plan, &acceptances, &Stop::default(), &mut |_| {}).expect("a download");
    assert_eq!(names(&place.path("snapshots")), [COMMIT]);
    assert!(!place.path("refs").exists(), "a commit needs no note");
    let absent = hub
        .plan(&entry, PlanOptions { revision: Some("v9"), ..PlanOptions::default() }, &Stop::default(), &|_| {})
        .expect_err("absent");
    assert!(absent.to_string().contains("has no revision v9"), "{absent}");

    // The commit may be named by the heads alone, or by the description alone.
    for (heads, description) in [(true, false), (false, true)] {
        place.server.set_says_commit(heads, description);
        assert_eq!(place.plan(NAME).expect("a plan").pieces[0].commit, newer);
    }
    place.server.set_says_commit(false, false);
    let unknown = place.plan(NAME).expect_err("no commit").to_string();
    assert!(unknown.contains("which commit"), "{unknown}");
}

#[test]
fn one_file_of_a_repository_can_be_had_alone() {
    let mut place = Place::new();
    let name = format!("{NAME}/vae/diffusion_pytorch_model.safetensors");
    let found = place.download_with(&name, &mut |_| {}).expect("a download");
    assert_eq!(fs::read(&found[0].path).expect("the file"), bytes(50_000, 5));
    assert!(matches!(place.state(), State::Partial { .. }));
}
