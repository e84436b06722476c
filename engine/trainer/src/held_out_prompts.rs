//! Prompts that no stage trains on: full captions of scenes, each with the scene that it describes. Change here which
//! prompts contact sheets and `evaluate` use.

use anyhow::Result;

use crate::pictures::HELD_OUT_SEEDS;
use crate::scenes::{self, Scene};
use crate::seeded_random::{self, key};
use crate::training_run::Run;

/// The seed of the first prompt's scene.
const FIRST_SEED: u64 = HELD_OUT_SEEDS + 10_000;

/// The scene of prompt `row`.
pub fn scene(row: usize) -> Scene {
    scenes::sample(FIRST_SEED + row as u64)
}

/// Prompt `row`: everything that can be said of its scene.
pub fn prompt(row: usize) -> String {
    scene(row).describe_fully(0).text
}

/// For each of the classifier's heads whether prompt `row` names its class.
pub fn mentioned(row: usize) -> Vec<bool> {
    scene(row).describe_fully(0).mentioned.to_vec()
}

/// A short name for exactly these prompts and what they mention.
pub fn fingerprint() -> String {
    let bytes = |row| prompt(row).into_bytes().into_iter().chain(mentioned(row).into_iter().map(u8::from));
    seeded_random::fingerprint((0..64).flat_map(bytes))
}

/// The prompt in row `row` of a contact sheet: a held-out one, or the run's own if it fine-tunes a model folder.
pub fn shown(run: &Run, row: usize) -> Result<String> {
    Ok(if run.base_model().is_some() { run.prompts()?.of(0, row).text } else { prompt(row) })
}

/// The seed of the noise of picture `index` of prompt `row`.
pub fn noise_seed(row: usize, index: usize) -> u64 {
    if index == 0 { row as u64 } else { key(&[row as u64, index as u64]) }
}
