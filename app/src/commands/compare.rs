//! `instaflow compare`: what the one step gives up.

use anyhow::ensure;
use clap::Args;
use instaflow_engine::pipeline::{Drawn, Models};
use instaflow_engine::protocol::{Picture, Role, Settings};
use instaflow_engine::{Cancel, png};

use super::arguments::{DrawArguments, ModelArguments};
use super::generate::in_short;
use super::plan::Plan;
use super::progress::Progress;
use super::{engine_error, say, wrong_use};

/// What `compare` is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    #[command(flatten)]
    pub(super) draw: DrawArguments,
}

const EXAMPLES: &str = "\
Examples:
  instaflow compare \"a snowy mountain near a lake at sunset\" -o both.png
  instaflow compare \"a lake\" -o both.png --model STUDENT_DIR --teacher-model TEACHER_DIR --seed 7

The right third is the absolute difference of the two, channel by channel. The PNG carries the teacher's settings.
Timings and distances are printed. --save-latents holds (2N,C,h,w): student, teacher, for each picture in turn.";

pub(super) fn run(arguments: &Compare) -> anyhow::Result<()> {
    let draw = &arguments.draw;
    let plan = Plan::new(draw)?;
    check_pair(&draw.model)?;

    let progress = Progress::new();
    let request = draw.model.open_request();
    let models = Models::open(&request, &mut |done, total, part| progress.part(done, total, part));
    let models = models.map_err(engine_error)?;
    let summary = models.summary();
    let (Some(student), Some(_)) = (&summary.student, &summary.teacher) else {
        return Err(wrong_use(NO_PAIR));
    };
    // The same noise makes the same size; a teacher of another size follows the student.
    let size = if draw.noise.is_some() { draw.size } else { draw.size.or(Some(student.size)) };

    let steps = 1 + u64::from(plan.settings(Role::Teacher, 0).steps);
    progress.begin("drawing", steps * plan.outputs.len() as u64);
    let mut latents = Vec::new();
    for (index, output) in plan.outputs.iter().enumerate() {
        let before = index as u64 * steps;
        let noise = plan.noise(index);
        let one = |settings: &Settings, before: u64| {
            models
                .draw(
                    settings,
                    noise.as_ref(),
                    &mut |step| progress.set(before + u64::from(step.done)),
                    &Cancel::default(),
                )
                .map_err(engine_error)
        };
        let teachers = Settings { size, ..plan.settings(Role::Teacher, index) };
        let students = Settings {
            seed: teachers.seed,
            size,
            decoder: teachers.decoder,
            ..Settings::student(teachers.prompt.as_str())
        };
        let student = one(&students, before)?;
        let teacher = one(&teachers, before + 1)?;
        ensure!(
            student.latents.shape == teacher.latents.shape,
            "student and teacher work on latents of different shapes and cannot share their noise: open two that belong together"
        );
        png::save(output, &side_by_side(&student.picture, &teacher.picture), true, draw.force)?;
        progress.aside(|| {
            say(format!("{}: student | teacher | difference", output.display()))?;
            say(format!("  student: {}", in_short(&student.picture)))?;
            say(format!("  teacher: {}", in_short(&teacher.picture)))?;
            say(format!("  distance: {}", distances(&student, &teacher)))
        })?;
        if draw.save_latents.is_some() {
            latents.extend([student.latents, teacher.latents]);
        }
    }
    plan.save_latents(latents)
}

const NO_PAIR: &str = "compare needs a student and a teacher: give --model a pair, or add --teacher-model";

/// A single folder without a teacher is known before minutes go into loading it.
fn check_pair(model: &ModelArguments) -> anyhow::Result<()> {
    match (&model.model, &model.teacher_model) {
        (Some(folder), None) if folder.is_dir() && !folder.join("teacher").is_dir() => Err(wrong_use(NO_PAIR)),
        _ => Ok(()),
    }
}

/// One picture of three panes; the settings are the teacher's, which say all that the student's say and more.
fn side_by_side(student: &Picture, teacher: &Picture) -> Picture {
    let row = student.width as usize * 3;
    let mut rgb = Vec::with_capacity(student.rgb.len() * 3);
    for (left, right) in student.rgb.chunks_exact(row).zip(teacher.rgb.chunks_exact(row)) {
        rgb.extend_from_slice(left);
        rgb.extend_from_slice(right);
        rgb.extend(left.iter().zip(right).map(|(l, r)| l.abs_diff(*r)));
    }
    Picture { width: student.width * 3, rgb: rgb.into(), latents: None, ..teacher.clone() }
}

fn distances(student: &Drawn, teacher: &Drawn) -> String {
    let pixels = || student.picture.rgb.iter().zip(teacher.picture.rgb.iter()).map(|(s, t)| f64::from(s.abs_diff(*t)));
    let count = student.picture.rgb.len() as f64;
    let mean = pixels().sum::<f64>() / count;
    let square = pixels().map(|d| d * d).sum::<f64>() / count;
    let psnr =
        if square > 0.0 { format!("{:.1} dB", 10.0 * (255.0 * 255.0 / square).log10()) } else { "infinite".into() };
    let latents = student.latents.values.iter().zip(&teacher.latents.values);
    let latents = latents.map(|(s, t)| f64::from(s - t).powi(2)).sum::<f64>() / student.latents.values.len() as f64;
    format!("pixels {mean:.2} of 255 on average, PSNR {psnr}; latents {:.4} root mean square", latents.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rgb: &[u8]) -> Picture {
        Picture {
            width: 1,
            height: 2,
            rgb: rgb.into(),
            settings: Settings::teacher("lake"),
            model: String::new(),
            model_hash: String::new(),
            timings: instaflow_engine::protocol::Timings::default(),
            straightness: None,
            path: [].into(),
            latents: None,
        }
    }

    #[test]
    fn panes_stand_side_by_side() {
        let both = side_by_side(&picture(&[1, 2, 3, 10, 20, 30]), &picture(&[3, 2, 1, 10, 30, 20]));
        assert_eq!((both.width, both.height), (3, 2));
        assert_eq!(*both.rgb, [1, 2, 3, 3, 2, 1, 2, 0, 2, 10, 20, 30, 10, 30, 20, 0, 10, 10]);
    }
}
