//! `instaflow sheet`: many prompts on one contact sheet. Change its layout here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{ModelCard, Picture, Role, Settings};
use instaflow_engine::{Cancel, checkpoint, picture_file};

use super::arguments::{ModelArguments, TraceArguments, seed};
use super::output::{check_name, check_output};
use super::progress::Progress;
use super::resolved::check_seeds;
use super::{engine_error, printable_line, say, wrong_use};

/// What `sheet` is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ContactSheet {
    /// A text file with a prompt on each line; empty lines and lines that begin with # are skipped
    #[arg(value_name = "PROMPTS.txt")]
    prompts: PathBuf,

    /// Where to save
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    pub(super) model: ModelArguments,

    #[command(flatten)]
    pub(super) trace: TraceArguments,

    /// How many pictures of each prompt, with ascending seeds
    #[arg(long, value_name = "N", default_value_t = 4, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,

    /// Seed of the first picture of each prompt
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true, value_parser = seed)]
    seed: u64,

    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  instaflow sheet prompts.txt -o sheet.png
  instaflow sheet prompts.txt -o sheet.png --count 8 --seed 100 --model STUDENT_DIR --teacher-model TEACHER_DIR

Prints what is in each row and column. Without a teacher, the sheet shows only the student. Each model draws with its own
default settings. The PNG carries no settings, because its pictures have many.";

/// Pixels between pictures, and between the student's part and the teacher's.
const GAP: usize = 2;
const WIDE_GAP: usize = 10;
/// The colour of the gaps.
const GROUND: u8 = 32;
/// The most pixels of a sheet; until its file is written, each takes some ten bytes of memory.
const MOST_PIXELS: usize = 1 << 28;

pub(super) fn run(arguments: &ContactSheet) -> anyhow::Result<()> {
    check_name(&arguments.output)?;
    check_output(&arguments.output, arguments.force)?;
    check_seeds(arguments.seed, arguments.count)?;
    let prompts = read_prompts(&arguments.prompts)?;

    let progress = Progress::new();
    let models = Models::open(&arguments.model.open_request(), &mut |part| progress.loading(part));
    let models = models.map_err(engine_error)?;
    let summary = models.summary();
    let Some(student) = &summary.student else {
        return Err(wrong_use(
            "sheet needs a student, and the model that --model names is a teacher: name another folder",
        ));
    };
    let roles = [Some((Role::Student, student)), summary.teacher.as_ref().map(|card| (Role::Teacher, card))];
    let roles: Vec<_> = roles.into_iter().flatten().collect();
    let seeds: Vec<u64> = (0..u64::from(arguments.count)).map(|index| arguments.seed + index).collect();
    let columns: Vec<_> = roles.iter().flat_map(|role| seeds.iter().map(move |&seed| (*role, seed))).collect();
    let (across, down) = (student.size.0 as usize + GAP, student.size.1 as usize + GAP);
    if across * down * prompts.len() * columns.len() > MOST_PIXELS {
        return Err(wrong_use(format!(
            "a sheet of {} prompts and {} seeds would be too large: use fewer",
            prompts.len(),
            seeds.len()
        )));
    }

    progress.begin("drawing", (prompts.len() * columns.len()) as u64);
    let draw = |prompt: &str, role: Role, card: &ModelCard, seed: u64| {
        // The teacher draws at the student's size, so that both start from the same noise.
        let settings = Settings { seed, size: Some(student.size), ..Settings::of(role, card, prompt) };
        let drawn = models.draw(&settings, None, &mut |_| {}, &Cancel::default()).map_err(engine_error)?;
        ensure!(
            (drawn.picture.width, drawn.picture.height) == student.size,
            "the teacher's pictures differ in size from the student's: name models that belong together"
        );
        progress.advance();
        // The rest of a picture would take too much memory on a large sheet.
        Ok(Picture { latents: None, path: [].into(), ..drawn.picture })
    };
    let row = |prompt: &String| columns.iter().map(|&((role, card), seed)| draw(prompt, role, card, seed)).collect();
    let rows = prompts.iter().map(row).collect::<anyhow::Result<Vec<Vec<Picture>>>>()?;
    picture_file::save(
        &arguments.output,
        &compose(&rows, seeds.len()),
        false,
        picture_file::DEFAULT_QUALITY,
        arguments.force,
    )
    .map_err(engine_error)?;
    progress.aside(|| {
        let last = seeds.len();
        let seeds = format!("seeds {} to {}", seeds[0], seeds[last - 1]);
        let teachers = if roles.len() == 2 { format!(", {} to {} teacher", last + 1, 2 * last) } else { String::new() };
        say(format!("{}: columns 1 to {last} student{teachers}; {seeds}", arguments.output.display()))?;
        (1..).zip(&prompts).try_for_each(|(row, prompt)| say(format!("row {row}: {}", printable_line(prompt))))
    })
}

fn read_prompts(path: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(path)
        .with_context(|| format!("cannot read {}: name a text file with a prompt on each line", path.display()))?;
    let text = checkpoint::text_of(&bytes).map_err(|message| anyhow!("{} {message}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let prompts: Vec<String> = lines.map(str::to_owned).collect();
    ensure!(!prompts.is_empty(), "{} holds no prompt: write one on each line", path.display());
    Ok(prompts)
}

/// Rows of pictures of one size as one picture, with a wider gap between parts of `part` columns.
fn compose(rows: &[Vec<Picture>], part: usize) -> Picture {
    let first = &rows[0][0];
    let (width, height) = (first.width as usize, first.height as usize);
    let left = |column: usize| column * (width + GAP) + column / part * (WIDE_GAP - GAP);
    let across = left(rows[0].len() - 1) + width;
    let down = rows.len() * (height + GAP) - GAP;
    let mut rgb = vec![GROUND; across * down * 3];
    for (top, row) in rows.iter().enumerate().map(|(index, row)| (index * (height + GAP), row)) {
        for (column, picture) in row.iter().enumerate() {
            for (y, line) in picture.rgb.chunks_exact(width * 3).enumerate() {
                let at = ((top + y) * across + left(column)) * 3;
                rgb[at..at + line.len()].copy_from_slice(line);
            }
        }
    }
    Picture { width: across as u32, height: down as u32, rgb: rgb.into(), latents: None, ..first.clone() }
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::fixture;
    use serde_json::Value;

    use super::*;

    #[test]
    fn files_of_prompts_are_read_whatever_an_editor_made_of_them() {
        let folder = fixture("../cases");
        let cases = fs::read(folder.join("pictures.json")).expect("the cases");
        let cases: Vec<Value> = serde_json::from_slice(&cases).expect("JSON");
        let mut count = 0;
        for case in cases.iter().filter(|case| case["kind"] == "prompts") {
            count += 1;
            let (name, expect) = (&case["name"], &case["expect"]);
            let read = read_prompts(&folder.join(case["file"].as_str().expect("a file")));
            if expect["refused"] == true {
                let said = format!("{:#}", read.expect_err("a refusal"));
                let says = |word: &Value| said.contains(word.as_str().expect("a word"));
                let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
                assert!(list(&expect["says"]).iter().all(|words| list(words).iter().any(says)), "{name}: {said}");
                assert!(!list(&expect["says_not"]).iter().any(says), "{name}: {said}");
                continue;
            }
            let prompts = read.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(serde_json::json!(prompts), expect["prompts"], "{name}");
        }
        assert_eq!(count, 7, "no case is skipped");
    }
}
