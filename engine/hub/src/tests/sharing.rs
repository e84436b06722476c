//! What is shared: with other programs, between repositories, and what a removal leaves.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, symlink};

use instaflow_test_support::assert_error;

use super::*;
use crate::{Removed, Role, Wait};

#[test]
fn what_another_program_has_fetched_is_found() {
    let mut place = Place::new();
    place.download().expect("a download");
    // As huggingface_hub 2 has it: the blob is a link into the cache's own blobs/.
    let snapshot = place.path("snapshots").join(COMMIT);
    let blob =
        place.path("blobs").join(fs::read_link(snapshot.join(UNET)).expect("a link").file_name().expect("a name"));
    let shared = place.cache().folder().join("blobs/ab").join("ab".repeat(32));
    fs::create_dir_all(shared.parent().expect("a folder")).expect("made");
    fs::rename(&blob, &shared).expect("moved");
    symlink(format!("../../blobs/ab/{}", "ab".repeat(32)), &blob).expect("linked");
    place.assert_whole();
    assert_eq!(place.plan(NAME).expect("a plan").bytes_to_fetch(), 0);

    // As on Windows: files instead of links, and no blobs.
    fs::remove_file(snapshot.join(UNET)).expect("removed");
    fs::rename(&shared, snapshot.join(UNET)).expect("moved");
    fs::remove_file(&blob).expect("removed");
    assert_eq!(place.plan(NAME).expect("a plan").bytes_to_fetch(), 0);
    let before = place.server.fetches("safetensors").len();
    place.download().expect("nothing to do");
    assert_eq!(place.server.fetches("safetensors").len(), before);
    assert_eq!(fs::read(snapshot.join(UNET)).expect("the U-Net"), bytes(900_000, 2));
}

#[test]
fn a_pair_shares_what_its_halves_have_in_common() {
    let mut place = Place::new();
    place.server.add("XCLiu/instaflow_0_9B_from_sd_1_5", model(COMMIT));
    let teacher = model("ffffffffffffffffffffffffffffffffffffffff").large(UNET, bytes(900_000, 9));
    place.server.add("XCLiu/2_rectified_flow_from_sd_1_5", teacher);
    let plan = place.plan("instaflow").expect("a plan");
    let ids: Vec<&str> = plan.licences.iter().map(|licence| licence.id.as_str()).collect();
    let each = ["cc-by-nc-4.0", "creativeml-openrail-m", "openrail++"];
    assert_eq!(ids, [each, each].concat(), "the catalogue's, and what the page adds, for each repository");
    // Text encoder, decoder and small files once, and both U-Nets.
    assert_eq!(plan.bytes_to_fetch(), 1_920_041);

    let found = place.download_with("instaflow", &mut |_| {}).expect("a download");
    assert_eq!(found.iter().map(|found| found.role).collect::<Vec<_>>(), [Role::Student, Role::Teacher]);
    assert_eq!(place.server.fetches("text_encoder/model.safetensors").len(), 1);
    assert_eq!(place.server.fetches(UNET).len(), 2);
    let text = |found: &Found| fs::metadata(found.path.join("text_encoder/model.safetensors")).expect("a file");
    assert_eq!(text(&found[0]).ino(), text(&found[1]).ino(), "the same file under two names");
    assert_eq!(fs::read(found[1].path.join(UNET)).expect("the U-Net"), bytes(900_000, 9));
    let hub = place.hub();
    assert_eq!(hub.cache().find(&hub.catalogue().target("instaflow").expect("known")).expect("here"), found);

    // The halves are of use on their own; a removal of one leaves the other whole.
    let student = hub.catalogue().target("XCLiu/instaflow_0_9B_from_sd_1_5").expect("a name");
    let removed = hub.remove(&student).expect("removed");
    assert_eq!(removed.files, 10);
    assert!(removed.bytes >= 900_000 && removed.bytes < 960_000, "{removed:?}");
    assert!(text(&found[1]).len() == 70_000 && !found[0].path.exists());
}

#[test]
fn two_programs_do_not_fetch_the_same_file() {
    let mut place = Place::new();
    let plan = place.plan(NAME).expect("a plan");
    place.acceptances.accept(&plan.licences).expect("kept");
    let unet = plan.pieces[0].files.iter().find(|file| file.path == UNET).expect("a U-Net");
    let lock = place.cache().folder().join(".locks/models--example--tiny-hills").join(format!("{}.lock", unet.etag));
    fs::create_dir_all(lock.parent().expect("a folder")).expect("made");
    let other = OpenOptions::new().write(true).create(true).truncate(false).open(&lock).expect("a file");
    other.lock().expect("locked");
    let entry = place.hub().catalogue().target(NAME).expect("a name");
    fs::create_dir_all(place.path("blobs")).expect("made");
    assert_error(place.hub().remove(&entry).map(drop), "another program works on");

    let blob = place.path("blobs").join(&unet.etag);
    let mut note = |event| {
        if matches!(event, Event::Waiting(Wait::OtherProgram { .. })) {
            // The other program is done.
            fs::write(&blob, bytes(900_000, 2)).expect("written");
            other.unlock().expect("unlocked");
        }
    };
    place.hub().download(&plan, &place.acceptances, &Stop::default(), &mut note).expect("a download");
    place.assert_whole();
    assert!(place.server.fetches(UNET).is_empty(), "it was fetched by the other");
}

#[test]
fn a_removal_takes_what_is_not_used_elsewhere() {
    let mut place = Place::new();
    let hub = place.hub();
    let target = |name: &str| hub.catalogue().target(name).expect("a name");
    assert_error(hub.remove(&target(NAME)).map(drop), "is not downloaded");
    place.download().expect("a download");
    let snapshot = place.path("snapshots").join(COMMIT);
    let blob = snapshot.join(UNET).canonicalize().expect("a blob");
    let shared = place.cache().folder().join("blobs/ab").join("ab".repeat(32));
    fs::create_dir_all(shared.parent().expect("a folder")).expect("made");
    fs::rename(&blob, &shared).expect("moved");
    symlink(format!("../../blobs/ab/{}", "ab".repeat(32)), &blob).expect("linked");
    let other = place.cache().folder().join("models--example--other/blobs/xyz");
    fs::create_dir_all(other.parent().expect("a folder")).expect("made");
    symlink(format!("../../blobs/ab/{}", "ab".repeat(32)), &other).expect("linked");

    let one = hub.remove(&target(&format!("{NAME}/vae/diffusion_pytorch_model.safetensors"))).expect("removed");
    assert_eq!(one, Removed { files: 1, bytes: 50_000 });
    assert!(matches!(place.state(), State::Partial { .. }));
    let rest = hub.remove(&target(NAME)).expect("removed");
    assert_eq!(rest, Removed { files: 9, bytes: 70_041 }, "the other repository still uses the U-Net");
    assert!(shared.is_file() && !place.path("").exists());
    fs::rename(place.cache().folder().join("models--example--other"), place.path("")).expect("renamed");
    assert_eq!(hub.remove(&target(NAME)).expect("removed"), Removed { files: 1, bytes: 900_000 });
    assert!(!shared.exists());
    assert_eq!(place.state(), State::Absent);
}
