//! The prompts that pairs are drawn for: captions of scenes that no other stage sees, or the lines of a file. Change here
//! where prompts come from.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::files;
use crate::random::key;
use crate::scenes;

/// Scenes whose captions the pairs use begin here.
const SCENES: u64 = 1 << 41;

/// A prompt for every pair.
pub enum Prompts {
    /// Captions, a scene for each pair.
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
                scenes::sample(scene).caption(scene)
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
        let letters: Vec<u64> = shown.bytes().map(u64::from).collect();
        format!("{:016x}", key(&letters))
    }
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
    fn captions_differ_by_flow_and_pair() {
        let of = |seed, row| Prompts::Scenes.of(seed, row);
        assert_eq!(of(10, 3), of(10, 3));
        assert!((0..8).any(|row| of(10, row) != of(11, row)) && (0..8).any(|row| of(10, row) != of(10, row + 1)));
    }
}
