//! `instaflow compare`: what the one step gives up.

use anyhow::ensure;
use clap::Args;
use instaflow_engine::pipeline::{Drawn, Models};
use instaflow_engine::protocol::{ModelCard, Picture, Role, Settings};
use instaflow_engine::{Cancel, picture_file};

use super::arguments::{BaselineArguments, DrawArguments, ModelArguments, with_loras};
use super::generate::in_short;
use super::progress::Progress;
use super::resolved::ResolvedDraw;
use super::{engine_error, say, wrong_use};

/// What `compare` is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    #[command(flatten)]
    pub(super) draw: DrawArguments,

    #[command(flatten)]
    pub(super) baseline: BaselineArguments,
}

const EXAMPLES: &str = "\
Examples:
  instaflow compare \"a snowy mountain near a lake at sunset\" -o both.png
  instaflow compare \"a lake\" -o both.png --model STUDENT_DIR --teacher-model TEACHER_DIR --seed 7
  instaflow compare \"a lake\" -o three.png --model PAIR --baseline-model ~/models/stable-diffusion-v1-5

The last pane is the absolute difference of student and teacher, channel by channel; with --baseline-model, the baseline's
pane comes before it. The PNG carries the teacher's settings. Timings and distances are printed. --save-latents writes
(2N,C,h,w): student and teacher of each picture in turn, or (3N,C,h,w) with the baseline after them.";

pub(super) fn run(arguments: &Compare) -> anyhow::Result<()> {
    let draw = &arguments.draw;
    let resolved = ResolvedDraw::new(draw)?;
    check_pair(&draw.model)?;

    let progress = Progress::new();
    let request = arguments.baseline.add_to(draw.model.open_request());
    let models = Models::open(&with_loras(request), &mut |part| progress.loading(part));
    let models = models.map_err(engine_error)?;
    let summary = models.summary();
    let (Some(student), Some(teacher)) = (&summary.student, &summary.teacher) else {
        return Err(wrong_use(NO_PAIR));
    };
    // The teacher draws at the student's size, so that both start from the same noise.
    let size = if draw.noise.is_some() { draw.size } else { draw.size.or(Some(student.size)) };

    let teachers_steps = u64::from(resolved.settings(Role::Teacher, teacher, 0).steps);
    let baselines = summary.baseline.as_ref().map(|card| baseline_settings(draw, card));
    let steps =
        u64::from(student.steps) + teachers_steps + baselines.as_ref().map_or(0, |settings| u64::from(settings.steps));
    progress.begin("drawing", steps * resolved.outputs.len() as u64);
    let mut latents = Vec::new();
    for (index, output) in resolved.outputs.iter().enumerate() {
        let before = index as u64 * steps;
        let noise = resolved.noise(index);
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
        let teachers = Settings { size, ..resolved.settings(Role::Teacher, teacher, index) };
        let (seed, decoder) = (teachers.seed, teachers.decoder);
        let students = Settings::of(Role::Student, student, teachers.prompt.as_str());
        let students = draw.loras.apply(draw.reading.apply(Settings { seed, size, decoder, ..students }));
        let before_teacher = before + u64::from(students.steps);
        let student = one(&students, before)?;
        let teacher = one(&teachers, before_teacher)?;
        let shared = |drawn: &Drawn, who: &str| -> anyhow::Result<()> {
            ensure!(
                student.latents.shape == drawn.latents.shape && student.picture.rgb.len() == drawn.picture.rgb.len(),
                "student and {who} have latents of different shapes and cannot share their noise: name models that belong together"
            );
            Ok(())
        };
        shared(&teacher, "teacher")?;
        let baseline = match &baselines {
            Some(settings) => Some(one(&Settings { seed, size, ..settings.clone() }, before_teacher + teachers_steps)?),
            None => None,
        };
        if let Some(baseline) = &baseline {
            shared(baseline, "baseline")?;
        }
        let third = baseline.as_ref().map(|drawn| &drawn.picture);
        picture_file::save(
            output,
            &side_by_side(&student.picture, &teacher.picture, third),
            true,
            draw.quality,
            draw.force,
        )
        .map_err(engine_error)?;
        progress.aside(|| {
            let panes = if third.is_some() { "baseline | difference" } else { "difference" };
            say(format!("{}: student | teacher | {panes}", output.display()))?;
            say(format!("  student: {}", in_short(&student.picture)))?;
            say(format!("  teacher: {}", in_short(&teacher.picture)))?;
            say(format!("  distance: {}", distances(&student, &teacher)))?;
            let Some(baseline) = &baseline else { return Ok(()) };
            say(format!("  baseline: {}", in_short(&baseline.picture)))?;
            say(format!("  distance of student and baseline: {}", distances(&student, baseline)))
        })?;
        if draw.save_latents.is_some() {
            latents.extend([student.latents, teacher.latents]);
            latents.extend(baseline.map(|baseline| baseline.latents));
        }
    }
    resolved.save_latents(latents)
}

/// The baseline's own defaults, except for what was asked of every model of many steps; a guidance scale is not, because
/// it means something else to each model.
fn baseline_settings(draw: &DrawArguments, card: &ModelCard) -> Settings {
    let defaults = draw.loras.apply(draw.reading.apply(Settings::of(Role::Baseline, card, draw.prompt.as_str())));
    Settings {
        negative_prompt: draw.negative.clone().unwrap_or_default(),
        steps: draw.steps.unwrap_or(defaults.steps),
        decoder: draw.decoder,
        ..defaults
    }
}

const NO_PAIR: &str = "compare needs a student and a teacher: give --model a pair, or add --teacher-model";

/// Refuses a single folder without a teacher before it spends minutes on loading.
fn check_pair(model: &ModelArguments) -> anyhow::Result<()> {
    match (&model.model, &model.teacher_model) {
        (Some(folder), None) if folder.is_dir() && !folder.join("teacher").is_dir() => Err(wrong_use(NO_PAIR)),
        _ => Ok(()),
    }
}

/// One picture of three panes, or four, with the teacher's settings, which include the student's.
fn side_by_side(student: &Picture, teacher: &Picture, baseline: Option<&Picture>) -> Picture {
    let row = student.width as usize * 3;
    let panes = if baseline.is_some() { 4 } else { 3 };
    let mut rgb = Vec::with_capacity(student.rgb.len() * panes);
    for (index, (left, right)) in student.rgb.chunks_exact(row).zip(teacher.rgb.chunks_exact(row)).enumerate() {
        rgb.extend_from_slice(left);
        rgb.extend_from_slice(right);
        rgb.extend(baseline.iter().flat_map(|baseline| &baseline.rgb[index * row..(index + 1) * row]));
        rgb.extend(left.iter().zip(right).map(|(l, r)| l.abs_diff(*r)));
    }
    Picture { width: student.width * panes as u32, rgb: rgb.into(), latents: None, ..teacher.clone() }
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
        Picture::new(1, 2, rgb.into(), Settings::teacher("lake"))
    }

    #[test]
    fn panes_stand_side_by_side() {
        let (student, teacher) = (picture(&[1, 2, 3, 10, 20, 30]), picture(&[3, 2, 1, 10, 30, 20]));
        let both = side_by_side(&student, &teacher, None);
        assert_eq!((both.width, both.height), (3, 2));
        assert_eq!(*both.rgb, [1, 2, 3, 3, 2, 1, 2, 0, 2, 10, 20, 30, 10, 30, 20, 0, 10, 10]);
        let three = side_by_side(&student, &teacher, Some(&picture(&[7, 7, 7, 8, 8, 8])));
        assert_eq!((three.width, three.height), (4, 2));
        assert_eq!(three.rgb[..12], [1, 2, 3, 3, 2, 1, 7, 7, 7, 2, 0, 2]);
        assert_eq!(three.rgb[18..21], [8, 8, 8]);
    }
}
