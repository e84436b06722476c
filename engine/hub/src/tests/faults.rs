//! Everything that goes wrong on the way, and what is said of it.

use std::os::unix::fs::symlink;

use instaflow_test_support::{Fault, assert_error};

use super::*;
use crate::Wait;

/// What was on its way is the part of a file that the server sent before it broke off.
const PART: usize = 300_000;

#[test]
fn a_cut_download_goes_on_where_it_broke_off() {
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::CutAfter(PART), Fault::Status(503, ""), Fault::CutAfter(0)]);
    let mut waits = Vec::new();
    let mut note = |event| {
        if let Event::Waiting(wait) = event {
            waits.push(wait);
        }
    };
    place.download_with(NAME, &mut note).expect("a download");
    place.assert_whole();
    let from: Vec<_> = place.server.fetches(UNET).iter().map(instaflow_test_support::Request::from).collect();
    assert_eq!(from, [None, Some(PART), Some(PART), Some(PART)]);
    assert_eq!(waits.len(), 3);
    assert!(waits.iter().all(|wait| matches!(wait, Wait::Again { file, .. } if file == UNET)), "{waits:?}");
}

#[test]
fn a_later_download_goes_on_where_an_earlier_one_gave_up() {
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::CutAfter(PART)]);
    place.server.fail(UNET, (0..5).map(|_| Fault::CutAfter(0)));
    assert_error(place.download(), "what has arrived is kept");
    assert_eq!(fs::metadata(place.partial()).expect("the part").len(), PART as u64);
    assert!(matches!(place.state(), State::Partial { .. }));
    assert!(!place.path("snapshots").exists(), "a model is never half there");
    let to_fetch = place.plan(NAME).expect("a plan").bytes_to_fetch();
    assert!(to_fetch <= 900_000 - PART as u64 + 120_100, "{to_fetch}");

    place.download().expect("a download");
    place.assert_whole();
    assert_eq!(place.server.fetches(UNET).last().expect("a request").from(), Some(PART));
}

#[test]
fn a_file_that_lacks_its_name_alone_is_checked_and_named() {
    let mut place = Place::new();
    fs::create_dir_all(place.path("blobs")).expect("made");
    // Killed between the last byte and the name.
    fs::write(place.partial(), bytes(900_000, 2)).expect("written");
    let plan = place.plan(NAME).expect("a plan");
    assert!(!plan.is_complete() && plan.bytes_to_fetch() == plan.bytes() - 900_000);
    place.download().expect("a download");
    place.assert_whole();
    assert!(place.server.fetches(UNET).is_empty());
    assert!(place.plan(NAME).expect("a plan").is_complete());
}

#[test]
fn a_server_that_ignores_ranges_sends_all_of_it_again() {
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::CutAfter(PART), Fault::IgnoreRange]);
    place.download().expect("a download");
    place.assert_whole();
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::CutAfter(PART), Fault::WrongRange]);
    place.download().expect("a download");
    place.assert_whole();
    assert_eq!(place.server.fetches(UNET).last().expect("a request").from(), None, "from the beginning");
}

#[test]
fn slow_bytes_arrive() {
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::Slow(50_000, 1)]);
    place.download().expect("a download");
    place.assert_whole();
}

#[test]
fn what_arrives_wrong_is_not_kept() {
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::Corrupt]);
    assert_error(place.download(), "its sha256 is");
    assert!(!place.partial().exists());
    assert!(!place.path("snapshots").exists());
    place.download().expect("now it is right");
    place.assert_whole();

    let mut place = Place::new();
    place.server.fail("tokenizer/merges.txt", [Fault::Corrupt]);
    assert_error(place.download(), "merges.txt arrived whole but wrong: its git hash");

    // A part from an earlier try may be wrong, too, or longer than the file is.
    for left in [bytes(1000, 99), bytes(1_000_000, 2)] {
        let mut place = Place::new();
        fs::create_dir_all(place.path("blobs")).expect("made");
        fs::write(place.partial(), left).expect("written");
        place.download().expect("a download");
        place.assert_whole();
    }
}

#[test]
fn a_stop_ends_what_waits_and_keeps_what_is_here() {
    let mut place = Place::new();
    let plan = place.plan(NAME).expect("a plan");
    place.acceptances.accept(&plan.licences).expect("kept");
    place.server.fail(UNET, [Fault::StallAfter(PART)]);
    let stop = Stop::default();
    let mut note = |event| {
        let Event::Progress(progress) = event else { return };
        // All but the rest of the U-Net is here.
        if progress.done >= plan.bytes() - (900_000 - PART as u64) {
            stop.stop();
        }
    };
    let stopped = place.hub().download(&plan, &place.acceptances, &stop, &mut note).expect_err("stopped");
    assert!(stopped.is_stopped());
    assert_eq!(fs::metadata(place.partial()).expect("the part").len(), PART as u64);
    place.download().expect("a download");
    place.assert_whole();
    assert_eq!(place.server.fetches(UNET).last().expect("a request").from(), Some(PART));
}

#[test]
fn the_hub_may_ask_to_wait_but_not_for_ever() {
    let mut place = Place::new();
    place.server.fail(UNET, [Fault::Status(429, "Retry-After: 0"), Fault::Status(429, "")]);
    let mut waits = 0;
    let mut note = |event| waits += usize::from(matches!(event, Event::Waiting(Wait::RateLimited { .. })));
    place.download_with(NAME, &mut note).expect("a download");
    place.assert_whole();
    assert_eq!(waits, 2);

    let mut place = Place::new();
    place.server.fail("api", [Fault::Status(429, "Retry-After: 3600")]);
    assert_error(place.download(), "try again in 60 minutes");
    place.server.fail("api", (0..5).map(|_| Fault::Status(500, "")));
    assert_error(place.download(), "a fault of its own (500)");
}

#[test]
fn every_refusal_has_a_sentence_of_its_own() {
    let mut place = Place::new();
    place.server.set_token("right");
    place.server.add("example/gated", model(COMMIT).gated());
    place.server.add("example/private", model(COMMIT).private());
    let plan = |place: &Place, name: &str| place.plan(name).map(|plan| plan.bytes());
    assert_error(plan(&place, "example/absent"), "example/absent is not on http://127.0.0.1:");
    assert_error(plan(&place, "example/private"), "or is private");
    assert_error(plan(&place, "example/gated"), "/example/gated, then put an access token");
    assert_error(plan(&place, &format!("{NAME}/absent.safetensors")), "has no file absent.safetensors");

    place.set("HF_TOKEN", "wrong");
    assert_error(plan(&place, NAME), "refuses the access token, which comes from HF_TOKEN");
    place.variables.clear();
    place.set("HF_TOKEN", "right");
    for name in ["example/gated", "example/private"] {
        place.download_with(name, &mut |_| {}).expect("with the token");
    }
    assert!(place.server.requests().iter().any(|request| request.headers.contains_key("authorization")));
    let second: Vec<_> = place.server.requests().into_iter().filter(|request| request.second_host).collect();
    assert!(second.len() >= 3, "large files come from another host");
    assert!(second.iter().all(|request| !request.headers.contains_key("authorization")), "it never sees the token");
}

#[test]
fn without_a_network_the_sentence_says_so() {
    let mut place = Place::new();
    place.set("HF_HUB_OFFLINE", "1");
    assert_error(place.plan(NAME).map(drop), "HF_HUB_OFFLINE is set");
    assert!(place.server.requests().is_empty());

    let mut place = Place::new();
    place.set("HTTP_PROXY", place.server.endpoint().to_owned().as_str());
    // Our hub is no proxy, and says so.
    assert_error(place.plan(NAME).map(drop), "the proxy refuses");
    place.set("NO_PROXY", "127.0.0.1");
    place.plan(NAME).expect("around the proxy");

    let place = Place::new();
    let mut hub = place.hub();
    let entry = hub.catalogue().target(NAME).expect("a name");
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    hub.environment.endpoint = format!("http://{free}");
    assert_error(
        hub.plan(&entry, PlanOptions::default(), &Stop::default(), &|_| {}).map(drop),
        "cannot reach 127.0.0.1:",
    );
    hub.environment.endpoint = "hub.example".to_owned();
    assert_error(hub.plan(&entry, PlanOptions::default(), &Stop::default(), &|_| {}).map(drop), "HF_ENDPOINT must be");
}

#[test]
fn a_full_disk_is_told_before_and_during_the_download() {
    let mut place = Place::new();
    let plan = place.plan(NAME).expect("a plan");
    place.acceptances.accept(&plan.licences).expect("kept");
    let mut hub = place.hub();
    hub.free = Some(1_000_000);
    let refused = hub.download(&plan, &place.acceptances, &Stop::default(), &mut |_| {});
    assert_error(refused.map(drop), "1.0 MB more are needed");
    assert!(!place.cache().folder().exists(), "nothing was begun");

    // A device that is always full stands in for the file that grows.
    if Path::new("/dev/full").exists() {
        fs::create_dir_all(place.path("blobs")).expect("made");
        symlink("/dev/full", place.partial()).expect("linked");
        let refused = place.hub().download(&plan, &place.acceptances, &Stop::default(), &mut |_| {});
        assert_error(refused.map(drop), "the disk is full");
    }
}

#[test]
fn a_cache_that_is_no_folder_is_said() {
    let mut place = Place::new();
    fs::write(place.folder.path().join("hub"), "").expect("written");
    assert_error(place.download().map(drop), "cannot make the folder");
}
