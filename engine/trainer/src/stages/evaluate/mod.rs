//! The paper's table on our own scenes: every flow and student of a run, on prompts held out from training. Change here
//! what is compared with what.
//!
//! Everything that is drawn is kept under `evaluate/` in the run's folder, so that a run that was stopped goes on.

mod metrics;
mod report;

use anyhow::{Result, ensure};

use crate::eval_target::EvalTarget;
use crate::frechet::{self, Gaussian};
use crate::held_out_prompts;
use crate::pictures::HELD_OUT_SEEDS;
use crate::scenes::attributes::HEADS;
use crate::scenes::{self, Scene};
use crate::sharpness::Sharpness;
use crate::stage::{MOST_REFLOWS, Stage};
use crate::stages::classifier;
use crate::training_run::Run;
use metrics::{Metrics, Predictions};
use report::{Evaluation, Point, Row};

/// How much is drawn.
#[derive(Clone, Copy, Debug)]
pub struct EvalSize {
    /// Prompts of the table; as many fresh renders are what the pictures are held against.
    pub count: usize,
    /// Prompts of each point of the two sweeps; 0: no sweeps.
    pub sweep: usize,
    /// Prompts whose pictures from several seeds are compared.
    pub varied: usize,
}

/// Fresh renders that nothing was trained on begin here.
const FRESH: u64 = HELD_OUT_SEEDS + (1 << 24);
/// Pictures of one prompt that are compared.
const SEEDS: usize = 4;
/// Pictures that are timed.
const TIMED: usize = 5;
/// Pictures that are compared with those of the 25 steps that they are to replace.
const COMPARED: usize = 256;
/// Guidance scales of the sweep.
const GUIDANCE: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 4.0];
/// Numbers of steps of the sweep.
const STEPS: [usize; 5] = [1, 2, 4, 8, 25];

/// Measures everything that the run has trained and writes `evaluation.json`, `evaluation.md` and two plots.
pub fn write(run: &Run, extent: EvalSize) -> Result<()> {
    run.require_scenes("an evaluation")?;
    ensure!(extent.count > 1, "--count takes 2 or more");
    let metrics = Metrics::open(run)?;
    let targets = EvalTarget::available(run)?;
    ensure!(!targets.is_empty(), "this run has no flow yet: run `instaflow-trainer base` first");
    let EvalSize { count, sweep, varied } = extent;

    eprintln!("evaluate: {count} fresh renders");
    let fresh = metrics.renders((0..count as u64).map(|seed| scenes::sample(FRESH + seed)).collect())?.gaussian()?;
    let shown: Vec<Scene> = (0..count).map(held_out_prompts::scene).collect();
    let mut evaluation = Evaluation {
        prompts: count,
        sweep_prompts: sweep,
        varied_prompts: varied,
        heads: HEADS.map(|head| head.name.to_owned()).to_vec(),
        classifier: classifier::accuracies(run, metrics.classifier(), count)?,
        round_trip: metrics.round_trip(&shown)?,
        rows: Vec::new(),
        guidance: Vec::new(),
        steps: Vec::new(),
    };
    let renders = metrics.renders(shown.clone())?;
    let mut row = Row::of("renders of the same prompts", &renders, &fresh, &shown)?;
    row.diversity = diversity_of_renders(&metrics, varied)?;
    evaluation.rows.push(row);
    let round_trips = metrics.round_trips(shown.clone())?;
    evaluation.rows.push(Row::of("the same through the autoencoder", &round_trips, &fresh, &shown)?);

    let mut teacher = None;
    for target in &targets {
        eprintln!("evaluate: {}", target.title());
        let weights = run.trained(target.stage)?;
        let Some(rows) = metrics::latents(run, target, &weights, count, 1)? else { return Ok(()) };
        let mut row = Row::of(&target.title(), &metrics.drawn(&rows, count)?, &fresh, &shown)?;
        let (straightness, transport) = metrics::paths(run, &rows, count)?;
        // One step is as straight as can be, and says nothing.
        row.straightness = (target.steps > 1).then_some(straightness);
        row.transport = Some(transport);
        if varied > 0 {
            let Some(seeds) = metrics::latents(run, target, &weights, varied, SEEDS)? else { return Ok(()) };
            row.diversity = Some(metrics.drawn(&seeds, varied * SEEDS)?.diversity(SEEDS));
        }
        row.seconds = Some(metrics::seconds(run, target, &weights, TIMED)?);
        // A flow's 25 steps come before its one and its students.
        if target.steps > 1 {
            teacher = Some(rows);
        } else if let Some(teacher) = &teacher {
            row.likeness = Some(metrics.likeness(&rows, teacher, count.min(COMPARED))?);
        }
        evaluation.rows.push(row);
    }
    if sweep > 1 {
        for (points, sweep_of) in [
            (&mut evaluation.guidance, guidances as fn(EvalTarget) -> Vec<(f64, EvalTarget)>),
            (&mut evaluation.steps, steps),
        ] {
            match sweeps(run, &metrics, &fresh, sweep, sweep_of)? {
                Some(found) => *points = found,
                None => return Ok(()),
            }
        }
    }
    evaluation.write(run)
}

fn guidances(teacher: EvalTarget) -> Vec<(f64, EvalTarget)> {
    GUIDANCE.map(|guidance| (guidance, EvalTarget { guidance, ..teacher })).to_vec()
}

fn steps(teacher: EvalTarget) -> Vec<(f64, EvalTarget)> {
    STEPS.map(|steps| (steps as f64, EvalTarget { steps, ..teacher })).to_vec()
}

/// The points of a sweep for every flow there is; `None` where a limit ended it early.
fn sweeps(
    run: &Run,
    metrics: &Metrics,
    fresh: &Gaussian,
    count: usize,
    of: fn(EvalTarget) -> Vec<(f64, EvalTarget)>,
) -> Result<Option<Vec<Point>>> {
    let shown: Vec<Scene> = (0..count).map(held_out_prompts::scene).collect();
    let mut points = Vec::new();
    for stage in (0..=MOST_REFLOWS).map(Stage::Flow).filter(|stage| run.has_checkpoint(*stage)) {
        let weights = run.trained(stage)?;
        for (at, target) in of(EvalTarget::teacher(run, stage)?) {
            eprintln!("evaluate: {}", target.title());
            let Some(rows) = metrics::latents(run, &target, &weights, count, 1)? else { return Ok(None) };
            let row = Row::of("", &metrics.drawn(&rows, count)?, fresh, &shown)?;
            points.push(Point { flow: stage.title(), at, frechet: row.frechet, accuracy: row.accuracy });
        }
    }
    Ok(Some(points))
}

/// How much renders of the same attributes differ, laid out anew.
fn diversity_of_renders(metrics: &Metrics, varied: usize) -> Result<Option<f64>> {
    if varied == 0 {
        return Ok(None);
    }
    let anew = |row: usize| {
        let scene = held_out_prompts::scene(row);
        (0..SEEDS as u64).map(move |index| Scene { seed: scene.seed ^ (index << 48), ..scene.clone() })
    };
    Ok(Some(metrics.renders((0..varied).flat_map(anew).collect())?.diversity(SEEDS)))
}

impl Row {
    fn of(name: &str, seen: &Predictions, fresh: &Gaussian, shown: &[Scene]) -> Result<Self> {
        let mentioned: Vec<Vec<bool>> = (0..shown.len()).map(held_out_prompts::mentioned).collect();
        let heads = seen.accuracies(shown, &mentioned);
        let known: Vec<f64> = heads.iter().flatten().copied().collect();
        Ok(Self {
            name: name.to_owned(),
            frechet: frechet::distance(&seen.gaussian()?, fresh)?,
            accuracy: known.iter().sum::<f64>() / known.len().max(1) as f64,
            heads,
            sharpness: Sharpness::mean(&seen.sharpness),
            diversity: None,
            likeness: None,
            straightness: None,
            transport: None,
            seconds: None,
        })
    }
}
