//! Couplings: where the ODE of a flow takes noise, given a prompt. Data for reflow and for distillation. Change here how
//! the ODE is solved; prompts come from `prompts.rs`, files from `shards.rs`.

use anyhow::{Result, ensure};
use candle_core::DType;

use crate::flow::{Flow, noise};
use crate::parameters::Tensors;
use crate::random::key;
use crate::run::Run;
use crate::shards::{self, LATENTS, Origin, Rows, Shard};
use crate::stage::Stage;
use crate::stages::base::flow_fingerprint;

/// How the ODE is solved.
#[derive(Clone, Copy, Debug)]
pub struct Solver {
    /// Euler steps.
    pub steps: usize,
    /// Guidance scale; only above 1 is applied.
    pub guidance: f64,
}

/// How many pairs, and in which portions.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// In all.
    pub count: usize,
    /// Which of the files.
    pub shard: Shard,
    /// Pairs that one replica draws at once.
    pub batch: usize,
}

/// Makes pairs of the flow `from`.
pub fn make(run: &Run, from: Stage, amount: Amount, solver: Solver) -> Result<()> {
    ensure!((1..=50).contains(&solver.steps), "{} steps: choose 1 … 50", solver.steps);
    ensure!(solver.guidance.is_finite() && solver.guidance >= 0.0, "--guidance takes a number, 0 or more");
    ensure!(amount.batch > 0, "--batch takes 1 or more");
    let weights = run.trained(from)?;
    let flow = Flow::frozen(run, &weights, 1)?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let empty = tokenizer.encode("");
    let origin = Origin::from([
        ("flow".to_owned(), flow_fingerprint(&weights)?),
        ("steps".to_owned(), solver.steps.to_string()),
        (GUIDANCE.to_owned(), solver.guidance.to_string()),
        ("prompts".to_owned(), prompts.fingerprint()),
    ]);
    drop(weights);
    let folder = run.path(&folder(from));
    let Amount { count, shard, batch } = amount;
    shards::fill(&folder, count, shard, batch, &origin, run.replicas(), &run.limits, |rows| {
        let seeds: Vec<u64> = rows.clone().map(|row| seed(from, row)).collect();
        let noise = noise(run, &seeds)?;
        let side = noise.dim(3)?;
        let mut ids = Vec::with_capacity(seeds.len());
        for (place, row) in rows.enumerate() {
            let channel = noise.get(place)?.get(0)?.flatten_all()?.to_vec1()?;
            ids.push(tokenizer.encode(prompts.of(from.seed(), row).asked(&channel, side)));
        }
        let path = flow.sample(&noise, &ids, &empty, solver.steps, solver.guidance)?;
        Ok(Tensors::from([(LATENTS.to_owned(), path.latents.detach().to_dtype(DType::F16)?)]))
    })?;
    Ok(())
}

/// The far ends of the pairs of a flow, at most `limit` of them.
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

/// That pairs were made by the flow that `weights` are: a text encoder that has learned since then says other things.
pub fn check(origin: &Origin, weights: &Tensors, from: Stage) -> Result<()> {
    ensure!(
        origin.get("flow") == Some(&flow_fingerprint(weights)?),
        "the pairs are not of this {}: remove the folder {} and run `instaflow-trainer pairs --from {}` again",
        from.title(),
        folder(from),
        from.name()
    );
    Ok(())
}

/// The same of the pairs that are there, if any are.
pub fn check_kept(run: &Run, weights: &Tensors, from: Stage) -> Result<()> {
    shards::origin(&run.path(&folder(from)))?.map_or(Ok(()), |origin| check(&origin, weights, from))
}

/// The guidance scale that the pairs of a flow were drawn with: what its students imitate. `None` where there are none.
pub fn guidance(run: &Run, from: Stage) -> Result<Option<f64>> {
    let origin = shards::origin(&run.path(&folder(from)))?;
    Ok(origin.and_then(|origin| origin.get(GUIDANCE)?.parse().ok()))
}

/// The seed of the noise of pair `row`.
pub fn seed(from: Stage, row: usize) -> u64 {
    key(&[from.seed(), row as u64])
}

/// Where an origin says so.
const GUIDANCE: &str = "guidance";

fn folder(from: Stage) -> String {
    format!("pairs-{}", from.name())
}
