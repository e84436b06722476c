//! The prompts that pairs are drawn for: captions of scenes that no other stage sees, some of them cut short, or the
//! lines of a file. Change here where prompts come from.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::files;
use crate::random::{self, Random, key};
use crate::scenes;

/// Scenes whose captions the pairs use begin here.
const SCENES: u64 = 1 << 41;

/// One prompt in so many ends before its caption does: pictures follow every key, so that a student must know what to
/// draw of what is only half typed, down to nothing at all.
const HALF_TYPED: usize = 3;

/// A prompt for every pair.
pub enum Prompts {
    /// Captions or their beginnings, a scene for each pair.
    Scenes,
    /// Lines, taken in turn.
    Lines(Vec<String>),
}

impl Prompts {
    /// Lines of a file, empty ones left out; the scenes' captions where its name is empty.
    pub fn open(file: &str) -> Result<Self> {
        if file.is_empty() {
            return Ok(Self::Scenes);
        }
        let text = files::read_text(Path::new(file))?;
        let lines: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        ensure!(!lines.is_empty(), "{file} holds no prompt: write one a line");
        Ok(Self::Lines(lines))
    }

    /// The prompt of pair `row` of a flow whose stage has this seed.
    pub fn of(&self, seed: u64, row: usize) -> String {
        match self {
            Self::Scenes => {
                let scene = SCENES + (seed << 32) + row as u64;
                let caption = scenes::sample(scene).caption(scene);
                let mut random = Random::new(key(&[scene]));
                if random.below(HALF_TYPED) == 0 { begun(&caption, &mut random) } else { caption }
            }
            Self::Lines(lines) => lines[row % lines.len()].clone(),
        }
    }

    /// A short name for exactly these prompts: pairs and the training on them must mean the same ones.
    pub fn fingerprint(&self) -> String {
        let shown = match self {
            // Enough of them to notice another grammar.
            Self::Scenes => (0..64).map(|row| self.of(0, row)).collect(),
            Self::Lines(lines) => lines.join("\n"),
        };
        random::fingerprint(shown.bytes())
    }
}

/// A beginning of a caption. Each of its lengths is as likely, but for the whole.
fn begun(caption: &str, random: &mut Random) -> String {
    let length = caption.chars().count();
    caption.chars().take(random.below(length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_lines_in_turn() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("prompts.txt");
        let open = || Prompts::open(path.to_str().unwrap_or_default());
        assert!(open().is_err());
        std::fs::write(&path, "a lake\n\n  a hill \n")?;
        let prompts = open()?;
        assert_eq!([0, 1, 2].map(|row| prompts.of(7, row)), ["a lake", "a hill", "a lake"]);
        assert_ne!(prompts.fingerprint(), Prompts::open("")?.fingerprint());
        std::fs::write(&path, "\n")?;
        assert!(open().is_err_and(|error| error.to_string().contains("no prompt")));
        Ok(())
    }

    #[test]
    fn some_captions_are_only_begun() {
        let whole = |row: usize| {
            let scene = SCENES + row as u64;
            scenes::sample(scene).caption(scene)
        };
        let (mut begun, mut empty) = (0, 0);
        for row in 0..4000 {
            let prompt = Prompts::Scenes.of(0, row);
            assert!(whole(row).starts_with(&prompt), "{prompt:?}");
            begun += usize::from(prompt != whole(row));
            empty += usize::from(prompt.is_empty());
        }
        assert!((1200..1470).contains(&begun), "{begun}");
        assert!((1..120).contains(&empty), "{empty}");
    }

    #[test]
    fn captions_differ_by_flow_and_pair() {
        let of = |seed, row| Prompts::Scenes.of(seed, row);
        assert_eq!(of(10, 3), of(10, 3));
        assert!((0..8).any(|row| of(10, row) != of(11, row)) && (0..8).any(|row| of(10, row) != of(10, row + 1)));
    }
}
