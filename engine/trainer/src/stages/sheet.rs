//! What the pair can do, to look at and in numbers: the same held-out prompts and noise through every stage so far.

use std::path::Path;

use anyhow::{Result, ensure};
use instaflow_engine::vae::AutoencoderTiny;

use crate::files;
use crate::flow::{Flow, noise};
use crate::parameters::Tensors;
use crate::pictures::{self, HELD_OUT};
use crate::run::{Run, Stage, frozen};
use crate::scenes;
use crate::stages::distill::STACKS;

/// Held-out prompts that are measured begin here; the autoencoder's are another range.
const PROMPTS: u64 = HELD_OUT + 10_000;
/// Prompts that one worker draws at once.
const PART: usize = 8;

/// One way to draw.
struct Column<'a> {
    name: &'static str,
    weights: &'a Tensors,
    stacks: usize,
    steps: usize,
    guidance: f64,
}

/// What a column drew for all prompts.
struct Drawn {
    pictures: Vec<Vec<u8>>,
    /// Mean over the prompts; `None` for a single step.
    straightness: Option<f64>,
}

/// Draws `count` held-out prompts by every stage that has begun, writes the first `rows` as a contact sheet (the
/// rendered scene of the prompt first) and tells, on stdout, what each column is and how far it is from its teacher.
pub fn write(run: &Run, output: &Path, rows: usize, count: usize) -> Result<()> {
    ensure!(rows > 0 && rows <= count, "a sheet of {rows} rows needs as many prompts (--count)");
    let base = run.trained(Stage::Base)?;
    let later = |stage: Stage| if run.begun(stage) { run.trained(stage).map(Some) } else { Ok(None) };
    let (reflow, student) = (later(Stage::Reflow)?, later(Stage::Distill)?);
    let column = |name, weights, stacks, steps, guidance| Column { name, weights, stacks, steps, guidance };
    let mut columns = vec![
        column("base, 25 steps, guidance 1.5", &base, 1, 25, 1.5),
        column("base, 25 steps", &base, 1, 25, 1.0),
        column("base, 1 step", &base, 1, 1, 1.0),
    ];
    if let Some(weights) = &reflow {
        columns.push(column("2-rectified flow, 25 steps, guidance 1.5", weights, 1, 25, 1.5));
        columns.push(column("2-rectified flow, 25 steps", weights, 1, 25, 1.0));
        columns.push(column("2-rectified flow, 1 step", weights, 1, 1, 1.0));
    }
    if let Some(weights) = &student {
        columns.push(column("student, 1 step", weights, STACKS, 1, 1.0));
    }

    let side = run.architecture.picture;
    let seeds = PROMPTS..PROMPTS + count as u64;
    let rendered = run.workers.map(seeds.collect(), |seed| Ok(scenes::sample(seed).render(side)))?;
    files::print("column 1: the rendered scene of the prompt\n")?;
    let mut drawn: Vec<Drawn> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        drawn.push(draw(run, column, count)?);
        let against = match column.name {
            "base, 1 step" => Some(1),
            "2-rectified flow, 1 step" => Some(4),
            "student, 1 step" => Some(3),
            _ => None,
        };
        let now = &drawn[index];
        let straightness = now.straightness.map(|s| format!(", straightness {s:.1}")).unwrap_or_default();
        let distance = against.map(|other| {
            let decibels = pictures::psnr(&now.pictures, &drawn[other].pictures);
            format!(", {decibels:.1} dB against column {}", other + 2)
        });
        let distance = distance.unwrap_or_default();
        files::print(&format!("column {}: {}{straightness}{distance}\n", index + 2, column.name))?;
    }
    for row in 0..rows {
        files::print(&format!("row {}: {}\n", row + 1, prompt(row)))?;
    }
    let tiles = (0..rows).flat_map(|row| {
        std::iter::once(rendered[row].clone()).chain(drawn.iter().map(move |drawn| drawn.pictures[row].clone()))
    });
    let sheet = scenes::contact_sheet(&tiles.collect::<Vec<_>>(), side, columns.len() as u32 + 1);
    files::write_png(output, &sheet)
}

fn prompt(row: usize) -> String {
    scenes::sample(PROMPTS + row as u64).caption(0)
}

fn draw(run: &Run, column: &Column, count: usize) -> Result<Drawn> {
    let flow = Flow::frozen(run, column.weights, column.stacks)?;
    let decoder = AutoencoderTiny::new(frozen(&run.trained(Stage::Decoder)?, ""), &run.architecture.autoencoder()?)?;
    let (tokenizer, _) = run.tokenizer()?;
    let empty = tokenizer.encode("");
    let parts = (0..count).collect::<Vec<_>>().chunks(PART).map(<[usize]>::to_vec).collect();
    let drawn = run.workers.map(parts, |rows: Vec<usize>| {
        let prompts: Vec<Vec<u32>> = rows.iter().map(|&row| tokenizer.encode(&prompt(row))).collect();
        let seeds: Vec<u64> = rows.iter().map(|&row| row as u64).collect();
        let noise = noise(&seeds, run.architecture.latent())?;
        let path = flow.sample(&noise, &prompts, &empty, column.steps, column.guidance)?;
        let pictures = pictures::from_tensor(&decoder.decode(&path.latents)?)?;
        Ok((pictures, path.straightness.map(|s| s * rows.len() as f64)))
    })?;
    let straightness = drawn.iter().map(|(_, sum)| *sum).sum::<Option<f64>>().map(|sum| sum / count as f64);
    Ok(Drawn { pictures: drawn.into_iter().flat_map(|(pictures, _)| pictures).collect(), straightness })
}
