//! Couplings: where the ODE of a flow takes noise, given a caption. Data for reflow and for distillation.

use anyhow::{Result, ensure};
use instaflow_engine::text::Tokenizer;

use crate::files::Metadata;
use crate::flow::{Flow, noise};
use crate::random::key;
use crate::run::{Run, Stage};
use crate::scenes;
use crate::shards::{self, Latents};
use crate::stages::base::flow_fingerprint;

/// Scenes whose captions the pairs use begin here: the base flow has seen none of them.
const SCENES: u64 = 1 << 41;

/// How the ODE is solved.
#[derive(Clone, Copy, Debug)]
pub struct Solver {
    /// Euler steps.
    pub steps: usize,
    /// Guidance scale; only above 1 is applied.
    pub guidance: f64,
}

/// Makes `count` pairs of the flow that `from` has trained, rounded up to whole files.
pub fn make(run: &Run, from: Stage, count: usize, solver: Solver) -> Result<()> {
    ensure!((1..=50).contains(&solver.steps), "{} steps: choose 1 … 50", solver.steps);
    let weights = run.trained(from)?;
    let flow = Flow::frozen(run, &weights, 1)?;
    let (tokenizer, _) = run.tokenizer()?;
    let empty = tokenizer.encode("");
    let origin = Metadata::from([
        ("flow".to_owned(), flow_fingerprint(&weights)?),
        ("steps".to_owned(), solver.steps.to_string()),
        ("guidance".to_owned(), solver.guidance.to_string()),
    ]);
    let shape = run.architecture.latent();
    shards::fill(&run.path(&folder(from)), count, &origin, &run.workers, &run.limits, |rows| {
        let prompts: Vec<Vec<u32>> = rows.clone().map(|row| tokenizer.encode(&caption(from, row))).collect();
        let seeds: Vec<u64> = rows.map(|row| seed(from, row)).collect();
        Ok(flow.sample(&noise(&seeds, shape)?, &prompts, &empty, solver.steps, solver.guidance)?.latents.detach())
    })?;
    Ok(())
}

/// The far ends of the pairs of a flow, at most `limit` of them.
pub fn read(run: &Run, from: Stage, limit: usize) -> Result<(Latents, Metadata)> {
    shards::read(&run.path(&folder(from)), limit)
}

/// That pairs were made by the flow that `weights` are: a text encoder that has learned since then says other things.
pub fn check(origin: &Metadata, weights: &crate::parameters::Tensors, from: Stage) -> Result<()> {
    ensure!(
        origin.get("flow") == Some(&flow_fingerprint(weights)?),
        "the pairs are not of this {} flow: remove the folder {} and run `instaflow-trainer pairs --from {0}` again",
        from.name(),
        folder(from)
    );
    Ok(())
}

/// The prompt of pair `row`, as token ids.
pub fn prompt(tokenizer: &Tokenizer, from: Stage, row: usize) -> Vec<u32> {
    tokenizer.encode(&caption(from, row))
}

/// The seed of the noise of pair `row`.
pub fn seed(from: Stage, row: usize) -> u64 {
    key(&[from.seed(), row as u64])
}

fn caption(from: Stage, row: usize) -> String {
    let scene = SCENES + (from.seed() << 32) + row as u64;
    scenes::sample(scene).caption(scene)
}

fn folder(from: Stage) -> String {
    format!("pairs-{}", from.name())
}
