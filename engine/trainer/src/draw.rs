//! Held-out prompts, drawn by whatever a run has trained. Change here what is drawn with which settings; what is made of
//! it is the business of `sheet` and `evaluate`.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use instaflow_engine::Cancel;

use crate::flow::{Flow, noise};
use crate::parameters::Tensors;
use crate::pictures::{self, HELD_OUT};
use crate::random::{self, key};
use crate::run::Run;
use crate::scenes::{self, Scene};
use crate::stage::{MOST_REFLOWS, STACKS, Stage, Student};
use crate::stages::pairs;

/// One way to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contestant {
    /// Whose weights.
    pub stage: Stage,
    /// Euler steps.
    pub steps: usize,
    /// Guidance scale; only above 1 is applied.
    pub guidance: f64,
}

/// Steps and guidance of a teacher: the paper's. Where a flow's pairs were drawn with other guidance, that is its own.
pub const TEACHER: (usize, f64) = (25, 1.5);

/// Held-out prompts begin here.
const PROMPTS: u64 = HELD_OUT + 10_000;

impl Contestant {
    /// A flow or a student, drawing in one step and without guidance.
    pub fn one_step(stage: Stage) -> Self {
        Self { stage, steps: 1, guidance: 1.0 }
    }

    /// A flow as a teacher draws: as its pairs were drawn, from which its students learn.
    pub fn teacher(run: &Run, stage: Stage) -> Result<Self> {
        Ok(Self { stage, steps: TEACHER.0, guidance: pairs::guidance(run, stage)?.unwrap_or(TEACHER.1) })
    }

    /// Everything that a run has trained, as in the paper's tables: each flow in 25 guided steps and in one, then its
    /// students.
    pub fn available(run: &Run) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for from in 0..=MOST_REFLOWS {
            let flow = Stage::Flow(from);
            if run.begun(flow) {
                all.extend([Self::teacher(run, flow)?, Self::one_step(flow)]);
            }
            let students = [1, STACKS].map(|stacks| Stage::Student(Student { from, stacks }));
            all.extend(students.into_iter().filter(|stage| run.begun(*stage)).map(Self::one_step));
        }
        Ok(all)
    }

    /// For people.
    pub fn title(&self) -> String {
        let plural = if self.steps == 1 { "" } else { "s" };
        let guidance = if self.guidance > 1.0 { format!(", guidance {}", self.guidance) } else { String::new() };
        format!("{}, {} step{plural}{guidance}", self.stage.title(), self.steps)
    }

    /// For files.
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
    pub fn flow(&self, run: &Run, weights: &Tensors) -> Result<Flow> {
        ensure!((1..=50).contains(&self.steps), "{} steps: choose 1 … 50", self.steps);
        Flow::frozen(run, weights, self.stacks())
    }
}

/// The scene of held-out prompt `row`.
pub fn scene(row: usize) -> Scene {
    scenes::sample(PROMPTS + row as u64)
}

/// Held-out prompt `row`: all that can be said of its scene.
pub fn prompt(row: usize) -> String {
    scene(row).describe_fully(0).text
}

/// A short name for exactly these prompts and what they tell.
pub fn fingerprint() -> String {
    let shown = |row| prompt(row).into_bytes().into_iter().chain(told(row).into_iter().map(u8::from));
    random::fingerprint((0..64).flat_map(shown))
}

/// For each head of the classifier whether held-out prompt `row` says what it asks.
pub fn told(row: usize) -> Vec<bool> {
    scene(row).describe_fully(0).told.to_vec()
}

/// Prompts for looking at a run: of a model folder's, its own.
pub fn shown_prompt(run: &Run, row: usize) -> Result<String> {
    Ok(if run.model().is_some() { run.prompts()?.of(0, row).text } else { prompt(row) })
}

/// The seed of the noise of a prompt's picture `index`.
pub fn seed(row: usize, index: usize) -> u64 {
    if index == 0 { row as u64 } else { key(&[row as u64, index as u64]) }
}

/// Pictures of `prompts` from the noise of `seeds`, as rows of RGB bytes; `batch` at once on a replica.
pub fn pictures(
    run: &Run,
    contestant: &Contestant,
    weights: &Tensors,
    prompts: &[String],
    seeds: &[u64],
    batch: usize,
) -> Result<Vec<Vec<u8>>> {
    let flow = contestant.flow(run, weights)?;
    let (decoder, tokenizer) = (run.decoder()?, run.tokenizer()?);
    let empty = tokenizer.encode("");
    let places: Vec<usize> = (0..prompts.len()).collect();
    let parts = places.chunks(batch.max(1)).map(<[usize]>::to_vec).collect();
    let drawn = run.replicas().map(parts, |places: Vec<usize>| {
        let ids: Vec<Vec<u32>> = places.iter().map(|&place| tokenizer.encode(&prompts[place])).collect();
        let seeds: Vec<u64> = places.iter().map(|&place| seeds[place]).collect();
        let path = flow.sample(&noise(run, &seeds)?, &ids, &empty, contestant.steps, contestant.guidance)?;
        pictures::from_tensor(&decoder.decode(&path.latents, &Cancel::default())?)
    })?;
    Ok(drawn.concat())
}

/// Latents (B, C, h, w) of one part of the prompts, and the straightness of its paths; f16 and (B).
pub fn latents(
    run: &Run,
    contestant: &Contestant,
    flow: &Flow,
    prompts: &[Vec<u32>],
    empty: &[u32],
    seeds: &[u64],
) -> Result<(Tensor, Option<f64>)> {
    let path = flow.sample(&noise(run, seeds)?, prompts, empty, contestant.steps, contestant.guidance)?;
    Ok((path.latents.detach().to_dtype(DType::F16)?, path.straightness))
}
