//! Contact sheets: what a run can draw so far, to look at. Change here what is on them.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::draw::{self, Contestant};
use crate::files;
use crate::parameters::Tensors;
use crate::run::Run;
use crate::scenes;
use crate::stage::Stage;
use crate::training::Averages;

/// Prompts that one replica draws at once.
const PART: usize = 8;
/// Prompts and seeds on a sheet that is drawn while a stage trains.
const SHOWN: (usize, usize) = (8, 2);
/// Steps of a flow on such a sheet: enough to see what it has learnt.
const STEPS: usize = 8;

/// Contact sheets of a stage in training, in the folder `sheets` beside its checkpoint.
pub struct Sheets<'a> {
    run: &'a Run,
    contestant: Contestant,
    drawn_at: Option<Instant>,
}

impl<'a> Sheets<'a> {
    /// For a flow or a student.
    pub fn new(run: &'a Run, stage: Stage) -> Self {
        let (steps, guidance) = if matches!(stage, Stage::Student(_)) { (1, 1.0) } else { (STEPS, draw::TEACHER.1) };
        Self { run, contestant: Contestant { stage, steps, guidance }, drawn_at: None }
    }

    /// Draws a sheet where the last one is long enough ago; says where it is.
    pub fn look(&mut self, step: u64, averages: Averages) -> Result<String> {
        let minutes = self.run.config.contact_sheet_minutes;
        let interval = Duration::from_secs_f64((60.0 * minutes).min(1e9));
        if minutes == 0.0 || self.drawn_at.is_some_and(|drawn| drawn.elapsed() < interval) {
            return Ok(String::new());
        }
        let output = self.run.path(&self.contestant.stage.name()).join(format!("sheets/{step:07}.png"));
        grid(self.run, &self.contestant, &averages()?, &output, SHOWN.0, SHOWN.1)?;
        self.drawn_at = Some(Instant::now());
        Ok(output.display().to_string())
    }
}

/// One contestant's pictures of `rows` prompts, each from `seeds` noises, a row for each prompt.
pub fn grid(
    run: &Run,
    contestant: &Contestant,
    weights: &Tensors,
    output: &Path,
    rows: usize,
    seeds: usize,
) -> Result<()> {
    ensure!(rows > 0 && seeds > 0, "a sheet has 1 row and 1 seed or more");
    let places = || (0..rows).flat_map(|row| (0..seeds).map(move |index| (row, index)));
    let prompts: Vec<String> = places().map(|(row, _)| draw::shown_prompt(run, row)).collect::<Result<_>>()?;
    let noise: Vec<u64> = places().map(|(row, index)| draw::seed(row, index)).collect();
    let tiles = draw::pictures(run, contestant, weights, &prompts, &noise, PART)?;
    files::write_png(output, &scenes::contact_sheet(&tiles, run.architecture().picture, seeds as u32))
}

/// All contestants' pictures of `rows` prompts from the same noise, a row for each prompt, the rendered scene first.
/// Says on stdout what is in which row and column.
pub fn write(run: &Run, output: &Path, rows: usize) -> Result<()> {
    ensure!(rows > 0, "a sheet has 1 row or more");
    let contestants = Contestant::available(run)?;
    ensure!(!contestants.is_empty(), "this run has no flow yet: run `instaflow-trainer base` first");
    let side = run.architecture().picture;
    let prompts: Vec<String> = (0..rows).map(|row| draw::shown_prompt(run, row)).collect::<Result<_>>()?;
    let seeds: Vec<u64> = (0..rows).map(|row| draw::seed(row, 0)).collect();
    let mut columns = Vec::new();
    let mut lines = String::new();
    if run.model().is_none() {
        columns.push(run.cores.map((0..rows).collect(), |row| Ok(draw::scene(row).render(side)))?);
        lines.push_str("column 1: the rendered scene of the prompt\n");
    }
    for contestant in &contestants {
        columns.push(draw::pictures(run, contestant, &run.trained(contestant.stage)?, &prompts, &seeds, PART)?);
        writeln!(lines, "column {}: {}", columns.len(), contestant.title())?;
    }
    for (row, prompt) in prompts.iter().enumerate() {
        writeln!(lines, "row {}: {prompt}", row + 1)?;
    }
    let tiles: Vec<Vec<u8>> = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row].clone())).collect();
    files::write_png(output, &scenes::contact_sheet(&tiles, side, columns.len() as u32))?;
    files::print(&lines)
}
