//! Kept pictures survive `kill -9` at any moment: a program that keeps, decodes again and deletes without pause, on the
//! same thread and with the same calls as the window, is killed a hundred times. What it had been told is kept must be
//! there, whole; what it had been told is deleted must be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use instaflow::library::{Library, News, Opened, Store};
use instaflow_engine::protocol::{Decoder, Latents, Picture, Settings};

/// How often the program is killed.
const ROUNDS: u64 = 100;

/// Says to a test of this file that it is the program to be killed, and where to keep.
const FOLDER: &str = "INSTAFLOW_TEST_LIBRARY";

/// A small picture that nothing but its number decides.
fn picture(number: u64, decoder: Decoder) -> Picture {
    let (width, height) = (16, 8);
    let light = if decoder == Decoder::Tiny { 0 } else { 64 };
    let byte = |at: u32| (at.wrapping_mul(31).wrapping_add((number as u32).wrapping_mul(17)) % 190) as u8 + light;
    Picture {
        model: "none".to_owned(),
        model_hash: "0123456789".to_owned(),
        latents: Some(Arc::new(Latents { shape: [1, 1, 1, 2], values: vec![number as f32, -1.0] })),
        ..Picture::new(
            width,
            height,
            (0..width * height * 3).map(byte).collect(),
            Settings {
                seed: number,
                size: Some((width, height)),
                decoder,
                ..Settings::student(format!("number {number}"))
            },
        )
    }
}

/// The program that is killed: keeps pictures for ever and says on stdout what it was told is done. Every fourth is
/// decoded again, every fifth deleted, and of these every other for good.
#[test]
#[ignore = "started, and ended, by the test below"]
fn keeps_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let library = Library::spawn(folder.into(), Arc::new(|| ()));
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| {
        // One write, so that no half line is taken for a whole one.
        out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
    };
    let mut number = 0;
    let mut keep_next = || {
        number += 1;
        library.keep(picture(number, Decoder::Tiny));
    };
    while let Some(news) = library.wait() {
        match news {
            News::Opened { entries, remarks } => {
                assert!(remarks.is_empty(), "{remarks:?}");
                say(format!("\nopened {}", entries.len()));
                keep_next();
            }
            News::Kept { entry, .. } => {
                let (id, number) = (entry.id, entry.settings.seed);
                say(format!("kept {id} {number}"));
                match id {
                    id if id.is_multiple_of(5) => library.delete(id, true),
                    id if id.is_multiple_of(4) => library.replace(id, picture(number, Decoder::Full)),
                    _ => {}
                }
                keep_next();
            }
            News::Changed(entry) => {
                say(format!("deleted {}", entry.id));
                if entry.id.is_multiple_of(2) {
                    library.purge(vec![entry.id]);
                }
            }
            News::Replaced(entry) => say(format!("replaced {}", entry.id)),
            News::Purged(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What the program was told.
#[derive(Default)]
struct Told {
    /// Numbers of the pictures, by their place in the library.
    kept: BTreeMap<u64, u64>,
    deleted: BTreeSet<u64>,
    replaced: BTreeSet<u64>,
}

impl Told {
    fn take(&mut self, line: &str) {
        // The test harness says things of its own.
        let mut words = line.split(' ');
        let (what, mut number) = (words.next(), words.map_while(|word| word.parse::<u64>().ok()));
        match (what, number.next(), number.next()) {
            (Some("kept"), Some(id), Some(number)) => {
                assert_eq!(self.kept.insert(id, number), None, "number {id} is used once");
            }
            (Some("deleted"), Some(id), _) => drop(self.deleted.insert(id)),
            (Some("replaced"), Some(id), _) => drop(self.replaced.insert(id)),
            _ => {}
        }
    }

    /// Opens the library and holds it against what was told since picture `from`.
    fn check(&self, folder: &Path, from: u64, round: u64) {
        let Opened { mut store, entries, remarks } =
            Store::open(folder).unwrap_or_else(|failure| panic!("round {round}: the index does not open: {failure:?}"));
        assert!(remarks.is_empty(), "round {round}: {remarks:?}");
        let there: BTreeMap<u64, _> = entries.into_iter().map(|entry| (entry.id, entry)).collect();
        for (&id, &number) in &self.kept {
            let entry = there.get(&id);
            // One whose deletion was under way may be gone or not.
            if self.deleted.contains(&id) || (entry.is_none() && id.is_multiple_of(5)) {
                assert!(entry.is_none(), "round {round}: {id} was deleted and is back");
                continue;
            }
            let entry = entry.unwrap_or_else(|| panic!("round {round}: {id} was kept and is lost"));
            assert_eq!(entry.settings.seed, number, "round {round}: {id}");
            if id < from {
                continue;
            }
            let found = store.picture(id).unwrap_or_else(|failure| panic!("round {round}: {id}: {failure:?}"));
            let (tiny, full) = (picture(number, Decoder::Tiny), picture(number, Decoder::Full));
            let is_full = found.rgb == full.rgb;
            assert!(is_full || found.rgb == tiny.rgb, "round {round}: {id} has other pixels");
            assert!(is_full || !self.replaced.contains(&id), "round {round}: {id} was decoded again");
            assert_eq!(found.settings.prompt, tiny.settings.prompt);
            assert_eq!(Some(store.latents(id).expect("latents")), tiny.latents.as_deref().cloned(), "round {round}");
        }
    }
}

#[test]
fn a_hundred_kills_lose_nothing_that_was_told_to_be_kept() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut told = Told::default();
    for round in 0..ROUNDS {
        let from = told.kept.last_key_value().map_or(0, |(id, _)| *id);
        let mut program = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "library::keeps_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test starts once more");
        let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines().map_while(Result::ok);
        // The first rounds end it while it opens; the others anywhere in its work, however fast the machine is.
        if round < 5 {
            std::thread::sleep(Duration::from_micros(round * 7_919));
        } else {
            let kept = (&mut lines).inspect(|line| told.take(line)).filter(|line| line.starts_with("kept"));
            assert_eq!(kept.take(round as usize % 7).count(), round as usize % 7, "round {round}: it ended by itself");
            std::thread::sleep(Duration::from_micros(round.wrapping_mul(7_919_377) % 20_000));
        }
        program.kill().expect("SIGKILL, which no program can answer");
        program.wait().expect("it ended");
        // What it had said before it was killed is in the pipe still.
        lines.for_each(|line| told.take(&line));
        told.check(folder.path(), from, round);
    }
    assert!(told.kept.len() > 280, "it hardly kept anything: {}", told.kept.len());
    assert!(!told.deleted.is_empty() && !told.replaced.is_empty());
    told.check(folder.path(), 0, ROUNDS);
    println!("{} kept, {} decoded again, {} deleted", told.kept.len(), told.replaced.len(), told.deleted.len());
}
