//! Draws pairs: noise, and the latents to which the ODE of a flow takes it, given a prompt. Reflow and distillation learn
//! from them. Change here how the ODE is solved; prompts come from `pair_prompts.rs`, files from `shards.rs`.

use anyhow::{Result, ensure};
use candle_core::DType;

use crate::flow_model::{FlowModel, flow_fingerprint, noise};
use crate::pair_data::{self, GUIDANCE};
use crate::parameters::Tensors;
use crate::shards::{self, LATENTS, Origin, Shard};
use crate::stage::Stage;
use crate::training_run::Run;

/// How the ODE is solved.
#[derive(Clone, Copy, Debug)]
pub struct Solver {
    /// Euler steps.
    pub steps: usize,
    /// Guidance scale; only above 1 is applied.
    pub guidance: f64,
}

/// How many pairs are made.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Pairs of all shards together.
    pub count: usize,
    /// The shard that this process makes.
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
    let flow = FlowModel::frozen(run, &weights, 1)?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let empty = tokenizer.encode("");
    let origin = Origin::from([
        ("flow".to_owned(), flow_fingerprint(&weights)?),
        ("steps".to_owned(), solver.steps.to_string()),
        (GUIDANCE.to_owned(), solver.guidance.to_string()),
        ("prompts".to_owned(), prompts.fingerprint()),
    ]);
    drop(weights);
    let folder = run.path(&pair_data::folder(from));
    let Amount { count, shard, batch } = amount;
    shards::fill(&folder, count, shard, batch, &origin, run.replicas(), &run.limits, |rows| {
        let seeds: Vec<u64> = rows.clone().map(|row| pair_data::seed(from, row)).collect();
        let noise = noise(run, &seeds)?;
        let side = noise.dim(3)?;
        let mut ids = Vec::with_capacity(seeds.len());
        for (place, row) in rows.enumerate() {
            let channel = noise.get(place)?.get(0)?.flatten_all()?.to_vec1()?;
            ids.push(tokenizer.encode(prompts.of(from.seed(), row).teacher_prompt(&channel, side)));
        }
        let path = flow.sample(&noise, &ids, &empty, solver.steps, solver.guidance)?;
        Ok(Tensors::from([(LATENTS.to_owned(), path.latents.detach().to_dtype(DType::F16)?)]))
    })?;
    Ok(())
}
