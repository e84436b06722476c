//! The prompts that pairs are drawn for: captions of scenes that no other stage sees, some of them cut short, or the
//! lines of a file. Change here where prompts come from, and what a flow draws if one leaves a side open.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::coupling;
use crate::file_io;
use crate::scenes;
use crate::seeded_random::{self, Random, key};

/// The seed of the first scene whose caption a pair uses.
const FIRST_SEED: u64 = 1 << 41;

/// One prompt in this many ends before its caption does. The program draws after every key, so a student must know what
/// to draw for a prompt that is only half typed, or empty.
const HALF_TYPED: usize = 3;

/// A prompt for every pair.
pub enum Prompts {
    /// Captions or their beginnings, a scene for each pair.
    Scenes,
    /// Lines, taken in turn.
    Lines(Vec<String>),
}

/// The prompt of one pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What reflow and distillation train on.
    pub text: String,
    /// If the text leaves the side of an object open: the text with each side, and the place of that side.
    side_variants: Vec<([f32; 2], String)>,
}

impl Prompt {
    /// The prompt that the teacher draws from noise with this first channel. If the text leaves the side of an object
    /// open, the brightest patch decides it, as in `coupling.rs`: students then learn one border between the sides for all
    /// prompts, and not the teacher's, which differs from prompt to prompt.
    pub fn teacher_prompt(&self, channel: &[f32], side: usize) -> &str {
        let places: Vec<[f32; 2]> = self.side_variants.iter().map(|&(place, _)| place).collect();
        coupling::brightest_patch(channel, side, &places).map_or(&self.text, |variant| &self.side_variants[variant].1)
    }
}

impl Prompts {
    /// The lines of a file, without empty ones; the scenes' captions if its name is empty.
    pub fn open(file: &str) -> Result<Self> {
        if file.is_empty() {
            return Ok(Self::Scenes);
        }
        let text = file_io::read_text(Path::new(file))?;
        let lines: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        ensure!(!lines.is_empty(), "{file} has no prompt: write one on each line");
        Ok(Self::Lines(lines))
    }

    /// The prompt of pair `row` of a flow whose stage has this seed.
    pub fn of(&self, seed: u64, row: usize) -> Prompt {
        match self {
            Self::Scenes => {
                let number = FIRST_SEED + (seed << 32) + row as u64;
                let scene = scenes::sample(number);
                let caption = scene.describe(number);
                let mut random = Random::new(key(&[number]));
                let whole = caption.text.len();
                // All lengths short of the whole are equally likely. Captions are ASCII.
                let length = if random.below(HALF_TYPED) == 0 { random.below(whole) } else { whole };
                let side_variants = scene.side_variants(&caption, length);
                Prompt { text: caption.text[..length].to_owned(), side_variants }
            }
            Self::Lines(lines) => Prompt { text: lines[row % lines.len()].clone(), side_variants: Vec::new() },
        }
    }

    /// A short name for exactly these prompts: pairs and the training on them must mean the same ones.
    pub fn fingerprint(&self) -> String {
        let shown = match self {
            // Enough of them to notice another grammar. Pairs that exist were named by this text: it stays as it is.
            Self::Scenes => {
                let shown =
                    |Prompt { text, side_variants }| format!("Prompt {{ text: {text:?}, ways: {side_variants:?} }}");
                (0..64).map(|row| shown(self.of(0, row))).collect::<Vec<_>>().concat()
            }
            Self::Lines(lines) => lines.join("\n"),
        };
        seeded_random::fingerprint(shown.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    #[test]
    fn a_file_gives_its_lines_in_turn() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("prompts.txt");
        let open = || Prompts::open(path.to_str().unwrap_or_default());
        assert_error(open(), "prompts.txt");
        std::fs::write(&path, "a lake\n\n  a hill \n")?;
        let prompts = open()?;
        assert_eq!([0, 1, 2].map(|row| prompts.of(7, row).text), ["a lake", "a hill", "a lake"]);
        assert_ne!(prompts.fingerprint(), Prompts::open("")?.fingerprint());
        std::fs::write(&path, "\n")?;
        assert!(open().is_err_and(|error| error.to_string().contains("no prompt")));
        Ok(())
    }

    #[test]
    fn some_captions_are_cut_short() {
        let whole = |row: usize| {
            let scene = FIRST_SEED + row as u64;
            scenes::sample(scene).caption(scene)
        };
        let (mut begun, mut empty) = (0, 0);
        for row in 0..4000 {
            let prompt = Prompts::Scenes.of(0, row).text;
            assert!(whole(row).starts_with(&prompt), "{prompt:?}");
            begun += usize::from(prompt != whole(row));
            empty += usize::from(prompt.is_empty());
        }
        assert!((1200..1470).contains(&begun), "{begun}");
        assert!((1..120).contains(&empty), "{empty}");
    }

    #[test]
    fn the_noise_decides_the_side_that_a_prompt_leaves_open() {
        const SIDE: usize = 16;
        let bright = |column: usize| {
            let mut channel = vec![0.0; SIDE * SIDE];
            (0..SIDE).for_each(|row| channel[row * SIDE + column] = 1.0);
            channel
        };
        let mut open = 0;
        for prompt in (0..200).map(|row| Prompts::Scenes.of(0, row)) {
            let [left, right] = [3, 12].map(|column| prompt.teacher_prompt(&bright(column), SIDE).to_owned());
            if prompt.side_variants.is_empty() {
                assert_eq!([left, right], [prompt.text.clone(), prompt.text]);
            } else {
                assert_eq!(left.replace(" on the left", ""), prompt.text);
                assert_eq!(right, left.replace(" on the left", " on the right"));
                open += 1;
            }
        }
        assert!((30..120).contains(&open), "{open}");
    }

    /// Pairs are kept under this name; one that changes without the captions would make them useless.
    #[test]
    fn the_fingerprint_is_that_of_existing_pairs() {
        assert_eq!(Prompts::Scenes.fingerprint(), "afd417b460351da9");
    }

    #[test]
    fn captions_differ_by_flow_and_pair() {
        let of = |seed, row| Prompts::Scenes.of(seed, row);
        assert_eq!(of(10, 3), of(10, 3));
        assert!((0..8).any(|row| of(10, row) != of(11, row)) && (0..8).any(|row| of(10, row) != of(10, row + 1)));
    }
}
