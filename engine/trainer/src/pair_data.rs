//! The pairs of noise and latents that a flow has drawn, as later stages read them: rows, seeds, and what the flow was.
//! Change here how pairs are checked; `stages/pairs.rs` makes them and `shards.rs` keeps them.

use anyhow::{Result, ensure};

use crate::flow_model::flow_fingerprint;
use crate::parameters::Tensors;
use crate::seeded_random::key;
use crate::shards::{self, Origin, Rows};
use crate::stage::Stage;
use crate::training_run::Run;

/// The key of the guidance scale in the origin of pairs.
pub const GUIDANCE: &str = "guidance";

/// The name of the folder that holds the pairs of a flow.
pub fn folder(from: Stage) -> String {
    format!("pairs-{}", from.name())
}

/// The seed of the noise of pair `row`.
pub fn seed(from: Stage, row: usize) -> u64 {
    key(&[from.seed(), row as u64])
}

/// The latents of a flow's pairs, at most `limit` of them.
pub fn read(run: &Run, from: Stage, limit: usize) -> Result<(Rows, Origin)> {
    let (rows, origin) = shards::read(&run.path(&folder(from)), limit)?;
    ensure!(
        origin.get("prompts") == Some(&run.prompts()?.fingerprint()),
        "the pairs in {} were drawn for other prompts than this run has now: remove the folder, and make them again",
        folder(from)
    );
    eprintln!("{} pairs of the {}", rows.count(), from.title());
    Ok((rows, origin))
}

/// Checks that pairs were drawn by the flow with these weights. If its text encoder has learned since then, they are no
/// longer the pairs of this flow.
pub fn check_origin(origin: &Origin, weights: &Tensors, from: Stage) -> Result<()> {
    ensure!(
        origin.get("flow") == Some(&flow_fingerprint(weights)?),
        "the pairs are not of this {}: remove the folder {} and run `instaflow-trainer pairs --from {}` again",
        from.title(),
        folder(from),
        from.name()
    );
    Ok(())
}

/// The same check of the pairs in the run's folder, if there are any.
pub fn check_existing(run: &Run, weights: &Tensors, from: Stage) -> Result<()> {
    shards::origin(&run.path(&folder(from)))?.map_or(Ok(()), |origin| check_origin(&origin, weights, from))
}

/// The guidance scale that a flow's pairs were drawn with, which its students imitate. `None` if there are no pairs.
pub fn guidance(run: &Run, from: Stage) -> Result<Option<f64>> {
    let origin = shards::origin(&run.path(&folder(from)))?;
    Ok(origin.and_then(|origin| origin.get(GUIDANCE)?.parse().ok()))
}
