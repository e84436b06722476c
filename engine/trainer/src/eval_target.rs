//! What contact sheets and `evaluate` draw with: the weights of a flow or a student, and the number of steps. Change here
//! which settings are compared.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use instaflow_engine::Cancel;

use crate::flow_model::{FlowModel, noise};
use crate::pair_data;
use crate::parameters::Tensors;
use crate::pictures;
use crate::stage::{MOST_REFLOWS, STACKS, Stage, Student};
use crate::training_run::Run;

/// A flow or a student, and how it draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvalTarget {
    /// Whose weights.
    pub stage: Stage,
    /// Euler steps.
    pub steps: usize,
    /// Guidance scale; only above 1 is applied.
    pub guidance: f64,
}

/// Steps and guidance of a teacher, as in the paper. If a flow's pairs were drawn with other guidance, that applies.
pub const TEACHER: (usize, f64) = (25, 1.5);

impl EvalTarget {
    /// A flow or a student, drawing in one step and without guidance.
    pub fn one_step(stage: Stage) -> Self {
        Self { stage, steps: 1, guidance: 1.0 }
    }

    /// A flow with the settings of a teacher: those that its pairs, from which students learn, were drawn with.
    pub fn teacher(run: &Run, stage: Stage) -> Result<Self> {
        Ok(Self { stage, steps: TEACHER.0, guidance: pair_data::guidance(run, stage)?.unwrap_or(TEACHER.1) })
    }

    /// Everything that a run has trained, as in the paper's tables: each flow in 25 guided steps and in one, then its
    /// students.
    pub fn available(run: &Run) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for from in 0..=MOST_REFLOWS {
            let flow = Stage::Flow(from);
            if run.has_checkpoint(flow) {
                all.extend([Self::teacher(run, flow)?, Self::one_step(flow)]);
            }
            let students = [1, STACKS].map(|stacks| Stage::Student(Student { from, stacks }));
            all.extend(students.into_iter().filter(|stage| run.has_checkpoint(*stage)).map(Self::one_step));
        }
        Ok(all)
    }

    /// Its name in tables.
    pub fn title(&self) -> String {
        let plural = if self.steps == 1 { "" } else { "s" };
        let guidance = if self.guidance > 1.0 { format!(", guidance {}", self.guidance) } else { String::new() };
        format!("{}, {} step{plural}{guidance}", self.stage.title(), self.steps)
    }

    /// Its name in paths.
    pub fn id(&self) -> String {
        let guidance = if self.guidance > 1.0 { format!("-guidance-{}", self.guidance) } else { String::new() };
        format!("{}-steps-{}{guidance}", self.stage.name(), self.steps)
    }

    /// U-Nets in series.
    pub fn stacks(&self) -> usize {
        match self.stage {
            Stage::Student(student) => student.stacks,
            _ => 1,
        }
    }

    /// The network with these weights.
    pub fn flow(&self, run: &Run, weights: &Tensors) -> Result<FlowModel> {
        ensure!((1..=50).contains(&self.steps), "{} steps: choose 1 … 50", self.steps);
        FlowModel::frozen(run, weights, self.stacks())
    }
}

/// Draws `prompts` from the noise of `seeds`: rows of RGB bytes. Each replica draws `batch` pictures at once.
pub fn pictures(
    run: &Run,
    target: &EvalTarget,
    weights: &Tensors,
    prompts: &[String],
    seeds: &[u64],
    batch: usize,
) -> Result<Vec<Vec<u8>>> {
    let flow = target.flow(run, weights)?;
    let (decoder, tokenizer) = (run.decoder()?, run.tokenizer()?);
    let empty = tokenizer.encode("");
    let places: Vec<usize> = (0..prompts.len()).collect();
    let parts = places.chunks(batch.max(1)).map(<[usize]>::to_vec).collect();
    let drawn = run.replicas().map(parts, |places: Vec<usize>| {
        let ids: Vec<Vec<u32>> = places.iter().map(|&place| tokenizer.encode(&prompts[place])).collect();
        let seeds: Vec<u64> = places.iter().map(|&place| seeds[place]).collect();
        let path = flow.sample(&noise(run, &seeds)?, &ids, &empty, target.steps, target.guidance)?;
        pictures::from_tensor(&decoder.decode(&path.latents, &Cancel::default())?)
    })?;
    Ok(drawn.concat())
}

/// Latents (B, C, h, w) of prompts, in f16, and the mean straightness of their paths if they took several steps.
pub fn latents(
    run: &Run,
    target: &EvalTarget,
    flow: &FlowModel,
    prompts: &[Vec<u32>],
    empty: &[u32],
    seeds: &[u64],
) -> Result<(Tensor, Option<f64>)> {
    let path = flow.sample(&noise(run, seeds)?, prompts, empty, target.steps, target.guidance)?;
    Ok((path.latents.detach().to_dtype(DType::F16)?, path.straightness))
}
