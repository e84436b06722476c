//! The prompts that pairs are drawn for: captions of scenes that no other stage sees, some of them cut short, or the
//! lines of a file. Change here where prompts come from, and what a flow is asked for where one leaves something open.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::coupling;
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

/// What one pair is drawn for.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What reflow and distillation are told.
    pub text: String,
    /// The same, telling what the text leaves open: a place in the noise that speaks for each way.
    ways: Vec<([f32; 2], String)>,
}

impl Prompt {
    /// What a flow is asked for, from noise whose first channel this is: where the prompt leaves the side of an object
    /// open, its brightest patch decides, as in `coupling.rs`. So one border parts the noises of the sides, whatever the
    /// prompt, where a flow has another one for each.
    pub fn asked(&self, channel: &[f32], side: usize) -> &str {
        let places: Vec<[f32; 2]> = self.ways.iter().map(|&(place, _)| place).collect();
        coupling::brightest(channel, side, &places).map_or(&self.text, |way| &self.ways[way].1)
    }
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
    pub fn of(&self, seed: u64, row: usize) -> Prompt {
        match self {
            Self::Scenes => {
                let number = SCENES + (seed << 32) + row as u64;
                let scene = scenes::sample(number);
                let caption = scene.describe(number);
                let mut random = Random::new(key(&[number]));
                let whole = caption.text.len();
                // Each beginning is as likely, but for the whole: captions are ASCII.
                let length = if random.below(HALF_TYPED) == 0 { random.below(whole) } else { whole };
                Prompt { text: caption.text[..length].to_owned(), ways: scene.each_side(&caption, length) }
            }
            Self::Lines(lines) => Prompt { text: lines[row % lines.len()].clone(), ways: Vec::new() },
        }
    }

    /// A short name for exactly these prompts: pairs and the training on them must mean the same ones.
    pub fn fingerprint(&self) -> String {
        let shown = match self {
            // Enough of them to notice another grammar.
            Self::Scenes => (0..64).map(|row| format!("{:?}", self.of(0, row))).collect::<Vec<_>>().concat(),
            Self::Lines(lines) => lines.join("\n"),
        };
        random::fingerprint(shown.bytes())
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
    fn some_captions_are_only_begun() {
        let whole = |row: usize| {
            let scene = SCENES + row as u64;
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
    fn the_noise_tells_the_side_that_a_prompt_leaves_open() {
        const SIDE: usize = 16;
        let bright = |column: usize| {
            let mut channel = vec![0.0; SIDE * SIDE];
            (0..SIDE).for_each(|row| channel[row * SIDE + column] = 1.0);
            channel
        };
        let mut open = 0;
        for prompt in (0..200).map(|row| Prompts::Scenes.of(0, row)) {
            let [left, right] = [3, 12].map(|column| prompt.asked(&bright(column), SIDE).to_owned());
            if prompt.ways.is_empty() {
                assert_eq!([left, right], [prompt.text.clone(), prompt.text]);
            } else {
                assert_eq!(left.replace(" on the left", ""), prompt.text);
                assert_eq!(right, left.replace(" on the left", " on the right"));
                open += 1;
            }
        }
        assert!((30..120).contains(&open), "{open}");
    }

    #[test]
    fn captions_differ_by_flow_and_pair() {
        let of = |seed, row| Prompts::Scenes.of(seed, row);
        assert_eq!(of(10, 3), of(10, 3));
        assert!((0..8).any(|row| of(10, row) != of(11, row)) && (0..8).any(|row| of(10, row) != of(10, row + 1)));
    }
}
