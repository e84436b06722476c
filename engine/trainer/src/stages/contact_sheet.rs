//! Contact sheets: pictures of what a run can draw so far. Change here what is on them.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::eval_target::{self, EvalTarget};
use crate::file_io;
use crate::held_out_prompts;
use crate::parameters::Tensors;
use crate::scenes;
use crate::stage::Stage;
use crate::training::Averages;
use crate::training_run::Run;

/// Prompts that one replica draws at once.
const BATCH: usize = 8;
/// Prompts and seeds on a sheet that is drawn during training.
const ROWS_AND_SEEDS: (usize, usize) = (8, 2);
/// Steps of a flow on such a sheet: enough to see what it has learnt.
const FLOW_STEPS: usize = 8;

/// Contact sheets of a stage in training, in the folder `sheets` beside its checkpoint.
pub struct ContactSheets<'a> {
    run: &'a Run,
    target: EvalTarget,
    last_drawn: Option<Instant>,
}

impl<'a> ContactSheets<'a> {
    /// For a flow or a student.
    pub fn new(run: &'a Run, stage: Stage) -> Self {
        let (steps, guidance) =
            if matches!(stage, Stage::Student(_)) { (1, 1.0) } else { (FLOW_STEPS, eval_target::TEACHER.1) };
        Self { run, target: EvalTarget { stage, steps, guidance }, last_drawn: None }
    }

    /// Draws a sheet if the last one is old enough, and says where it is. The text is empty if none was drawn.
    pub fn draw_if_due(&mut self, step: u64, averages: Averages) -> Result<String> {
        let minutes = self.run.config.contact_sheet_minutes;
        let interval = Duration::from_secs_f64((60.0 * minutes).min(1e9));
        if minutes == 0.0 || self.last_drawn.is_some_and(|drawn| drawn.elapsed() < interval) {
            return Ok(String::new());
        }
        let output = self.run.path(&self.target.stage.name()).join(format!("sheets/{step:07}.png"));
        let (rows, seeds) = ROWS_AND_SEEDS;
        write_seeds(self.run, &self.target, &averages()?, &output, rows, seeds)?;
        self.last_drawn = Some(Instant::now());
        Ok(output.display().to_string())
    }
}

/// Draws `rows` prompts with one target, each from `seeds` noises: a row for each prompt, a column for each seed.
pub fn write_seeds(
    run: &Run,
    target: &EvalTarget,
    weights: &Tensors,
    output: &Path,
    rows: usize,
    seeds: usize,
) -> Result<()> {
    ensure!(rows > 0 && seeds > 0, "a sheet has 1 row and 1 seed or more");
    let tiles = || (0..rows).flat_map(|row| (0..seeds).map(move |index| (row, index)));
    let prompts: Vec<String> = tiles().map(|(row, _)| held_out_prompts::shown(run, row)).collect::<Result<_>>()?;
    let noise: Vec<u64> = tiles().map(|(row, index)| held_out_prompts::noise_seed(row, index)).collect();
    let pictures = eval_target::pictures(run, target, weights, &prompts, &noise, BATCH)?;
    file_io::write_png(output, &scenes::contact_sheet(&pictures, run.architecture().picture, seeds as u32))
}

/// Draws `rows` prompts with every target from the same noise: a row for each prompt, a column for each target, the
/// rendered scene first. Prints what is in which row and column.
pub fn write_targets(run: &Run, output: &Path, rows: usize) -> Result<()> {
    ensure!(rows > 0, "a sheet has 1 row or more");
    let targets = EvalTarget::available(run)?;
    ensure!(!targets.is_empty(), "this run has no flow yet: run `instaflow-trainer base` first");
    let side = run.architecture().picture;
    let prompts: Vec<String> = (0..rows).map(|row| held_out_prompts::shown(run, row)).collect::<Result<_>>()?;
    let seeds: Vec<u64> = (0..rows).map(|row| held_out_prompts::noise_seed(row, 0)).collect();
    let mut columns = Vec::new();
    let mut legend = String::new();
    if run.base_model().is_none() {
        columns.push(run.cores.map((0..rows).collect(), |row| Ok(held_out_prompts::scene(row).render(side)))?);
        legend.push_str("column 1: the rendered scene of the prompt\n");
    }
    for target in &targets {
        columns.push(eval_target::pictures(run, target, &run.trained(target.stage)?, &prompts, &seeds, BATCH)?);
        writeln!(legend, "column {}: {}", columns.len(), target.title())?;
    }
    for (row, prompt) in prompts.iter().enumerate() {
        writeln!(legend, "row {}: {prompt}", row + 1)?;
    }
    let tiles: Vec<Vec<u8>> = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row].clone())).collect();
    file_io::write_png(output, &scenes::contact_sheet(&tiles, side, columns.len() as u32))?;
    file_io::print(&legend)
}
