//! `instaflow bench`: seconds per stage, medians.

use clap::Args;
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::{Models, Shapes};
use instaflow_engine::protocol::{
    Bf16Products, Decoder, ModelCard, ModelSummary, Picture, Precision, Role, Settings, Timings,
};
use serde_json::json;

use super::arguments::{self, BaselineArguments, LoraArguments, ModelArguments, PromptArguments, TraceArguments};
use super::live_latency::{self, LiveLatency};
use super::progress::Progress;
use super::{engine_error, say, wrong_use};

/// What the timed pictures show. The words make no difference to the time.
const PROMPT: &str = "a snowy mountain near a lake at sunset";

/// What `bench` is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    #[command(flatten)]
    pub(super) model: ModelArguments,

    #[command(flatten)]
    pub(super) trace: TraceArguments,

    #[command(flatten)]
    pub(super) baseline: BaselineArguments,

    #[command(flatten)]
    reading: PromptArguments,

    #[command(flatten)]
    loras: LoraArguments,

    /// Time random weights of these shapes instead of a model
    #[arg(long, value_name = "sd15|instaflow-1.7b", value_parser = ["sd15", "instaflow-1.7b"], hide_possible_values = true)]
    #[arg(conflicts_with_all = ["model", "teacher_model", "baseline_model", "config", "ema", "vae", "tiny_decoder", "embedding", "carry"])]
    random: Option<String>,

    /// Time the teacher's 25 steps; a single folder in --model is then taken as the teacher
    #[arg(long)]
    teacher: bool,

    /// Number of timed runs, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// Picture size in pixels [default: the model's own]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = arguments::size)]
    size: Option<(u32, u32)>,

    /// Which decoder: the model's own, or the fast tiny one [default: full]
    #[arg(long, value_name = "full|tiny", default_value = "full", hide_default_value = true)]
    #[arg(value_parser = arguments::decoder(), hide_possible_values = true)]
    decoder: Decoder,

    /// Also type this prompt, ten keys a second, and time each picture from the key to its pixels
    #[arg(long, value_name = "PROMPT")]
    live: Option<String>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Keep the model open; for each line on standard input, time again and print one JSON object
    #[arg(long, conflicts_with_all = ["live", "teacher"])]
    serve: bool,
}

const EXAMPLES: &str = "\
Examples:
  instaflow bench                                    the built-in Pocket pair
  instaflow bench --live \"a lake at sunset\" --json
  instaflow bench --random sd15 --runs 3             Stable Diffusion 1.5's shapes, 512x512, random weights";

/// Medians in seconds.
struct Report {
    model: String,
    device: String,
    dtype: &'static str,
    /// How numbers of bf16 were multiplied, if they were on a CPU.
    bf16_products: Option<Bf16Products>,
    size: (u32, u32),
    /// Of one picture in one step; `total` is the median of the totals, not the sum of the other medians.
    one_step: Timings,
    /// Of the teacher's picture, if it was timed, with its settings.
    teacher: Option<(f64, Settings)>,
    /// The same of the baseline's.
    baseline: Option<(f64, Settings)>,
    live: Option<LiveLatency>,
}

pub(super) fn run(arguments: &Bench) -> anyhow::Result<()> {
    if arguments.live.as_deref().is_some_and(str::is_empty) {
        return Err(wrong_use("--live needs a prompt to type: give at least one letter"));
    }
    let progress = Progress::new();
    let models = open(arguments, &progress)?;
    let summary = models.summary();
    let (role, card) = match (&summary.student, &summary.teacher) {
        (Some(card), _) => (Role::Student, card),
        (None, Some(card)) => (Role::Teacher, card),
        (None, None) => return Err(wrong_use("there is no model to time: name one with --model")),
    };

    let settings = one_step(arguments, role, card, PROMPT);
    let pictures = Timer { models: &models, progress: &progress, runs: arguments.runs };
    if arguments.serve {
        return serve(&pictures, &settings, card, &summary);
    }
    pictures.warm_up(&settings)?;
    let (one_step_runs, picture) = pictures.time("timing one step", &settings)?;

    // With its own defaults; its first step warms up as well as all of them do.
    let many_steps = |role: Role, card: &ModelCard, what: &str| -> anyhow::Result<(f64, Settings)> {
        // A student that stands in for its teacher has other defaults of its own.
        let own = match role {
            Role::Student => Settings::of(Role::Teacher, card.sampler, PROMPT),
            Role::Teacher | Role::Baseline => Settings::of(role, card, PROMPT),
        };
        let own = arguments.loras.apply(arguments.reading.apply(own));
        let timed =
            Settings { role, size: settings.size, decoder: settings.decoder, sampler: Some(card.sampler), ..own };
        // A model that draws in a few steps may need all of them.
        let steps = if timed.steps > 8 { 1 } else { timed.steps };
        pictures.warm_up(&Settings { steps, ..timed.clone() })?;
        Ok((median(pictures.time(what, &timed)?.0.iter().map(|t| t.total)), timed))
    };
    let teacher = match &summary.teacher {
        Some(teacher) => Some(many_steps(Role::Teacher, teacher, "timing the teacher")?),
        // Random weights have no teacher, but its 25 steps take the same time with any weights.
        None if arguments.teacher => Some(many_steps(role, card, "timing the teacher")?),
        None => None,
    };
    let baseline = summary.baseline.as_ref();
    let baseline = baseline.map(|card| many_steps(Role::Baseline, card, "timing the baseline")).transpose()?;
    let mut report = Report { teacher, baseline, ..Report::new(card, &summary, &picture, &one_step_runs) };
    if let Some(prompt) = &arguments.live {
        let settings_to_type = Settings { prompt: String::new(), ..settings };
        report.live = Some(live_latency::run(models, &settings_to_type, prompt, &progress)?);
    }
    drop(progress);
    if arguments.json { say(as_json(&report)) } else { as_text(&report).iter().try_for_each(say) }
}

impl Report {
    fn new(card: &ModelCard, summary: &ModelSummary, picture: &Picture, runs: &[Timings]) -> Self {
        Self {
            model: card.name.clone(),
            device: summary.device.clone(),
            dtype: dtype_name(summary.precision),
            bf16_products: picture.bf16_products,
            size: (picture.width, picture.height),
            one_step: Timings {
                text_encoder: median(runs.iter().map(|t| t.text_encoder)),
                unet: median(runs.iter().map(|t| t.unet)),
                decoder: median(runs.iter().map(|t| t.decoder)),
                total: median(runs.iter().map(|t| t.total)),
            },
            teacher: None,
            baseline: None,
            live: None,
        }
    }
}

/// One report for every line of standard input.
fn serve(timer: &Timer<'_>, settings: &Settings, card: &ModelCard, summary: &ModelSummary) -> anyhow::Result<()> {
    timer.warm_up(settings)?;
    for line in std::io::stdin().lines() {
        line?;
        let (runs, picture) = timer.time("timing one step", settings)?;
        say(as_json(&Report::new(card, summary, &picture, &runs)))?;
    }
    Ok(())
}

fn open(arguments: &Bench, progress: &Progress) -> anyhow::Result<Models> {
    match arguments.random.as_deref() {
        Some("instaflow-1.7b") => Models::random(Shapes::InstaFlow17b, arguments.model.device, arguments.model.dtype.0),
        Some(_) => Models::random(Shapes::Sd15, arguments.model.device, arguments.model.dtype.0),
        None => Models::open(&arguments::with_loras(request(arguments)), &mut |part| progress.loading(part)),
    }
    .map_err(engine_error)
}

fn request(arguments: &Bench) -> instaflow_engine::protocol::OpenRequest {
    // With --teacher-model there are two folders, and --model's is the student.
    let as_teacher = arguments.teacher && arguments.model.teacher_model.is_none();
    let request = arguments.baseline.add_to(arguments.model.open_request());
    instaflow_engine::protocol::OpenRequest { as_teacher, ..request }
}

/// One step, or the few that the student needs.
fn one_step(arguments: &Bench, role: Role, card: &ModelCard, prompt: &str) -> Settings {
    let student = match role {
        Role::Student => Settings::of(role, card, prompt),
        Role::Teacher | Role::Baseline => Settings { role, ..Settings::student(prompt) },
    };
    let settings = Settings { size: arguments.size, decoder: arguments.decoder, ..student };
    arguments.loras.apply(arguments.reading.apply(settings))
}

struct Timer<'a> {
    models: &'a Models,
    progress: &'a Progress,
    runs: u32,
}

impl Timer<'_> {
    /// Draws once: packs weights, and touches memory for the first time.
    fn warm_up(&self, settings: &Settings) -> anyhow::Result<()> {
        self.models.draw(settings, None, &mut |_| {}, &Cancel::default()).map_err(engine_error)?;
        Ok(())
    }

    /// Draws `runs` times; returns the runs' timings and the last picture.
    fn time(&self, what: &str, settings: &Settings) -> anyhow::Result<(Vec<Timings>, Picture)> {
        self.progress.begin(what, u64::from(self.runs) * u64::from(settings.steps));
        let mut timings = Vec::new();
        let mut last = None;
        for run in 0..self.runs {
            self.models.clear_cache();
            let before = u64::from(run) * u64::from(settings.steps);
            let observer =
                &mut |step: instaflow_engine::protocol::Step| self.progress.set(before + u64::from(step.done));
            let picture = self.models.draw(settings, None, observer, &Cancel::default()).map_err(engine_error)?.picture;
            timings.push(picture.timings);
            last = Some(picture);
        }
        Ok((timings, last.expect("there is at least one run")))
    }
}

/// The middle of the values, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

fn dtype_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::F16 => "f16",
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let t = &report.one_step;
    let mut object = json!({
        "model": report.model,
        "device": report.device,
        "dtype": report.dtype,
        "size": [report.size.0, report.size.1],
        "stages": {"text_encoder": t.text_encoder, "unet": t.unet, "decoder": t.decoder},
        "one_step_s": t.total,
        "teacher_s": report.teacher.as_ref().map(|(seconds, _)| seconds),
    });
    if let Some(products) = report.bf16_products {
        object["bf16_products"] = json!(products);
    }
    if let Some((seconds, _)) = &report.baseline {
        object["baseline_s"] = json!(seconds);
    }
    if let Some(live) = &report.live {
        object["live"] = json!({"p50_s": live.p50, "p95_s": live.p95, "drawn": live.drawn, "dropped": live.dropped});
    }
    object
}

fn as_text(report: &Report) -> Vec<String> {
    let Report { model, device, dtype, size: (width, height), one_step: t, .. } = report;
    let products = match report.bf16_products {
        Some(Bf16Products::Pairs) => " (multiplied in pairs)",
        Some(Bf16Products::Widened) => " (widened to f32)",
        None => "",
    };
    let mut lines = vec![
        format!("{model}, {width}x{height}, {device}, {dtype}{products}; medians in seconds"),
        format!("  text encoder  {:8.3}", t.text_encoder),
        format!("  U-Net         {:8.3}", t.unet),
        format!("  decoder       {:8.3}", t.decoder),
        format!("  one step      {:8.3}   from prompt to pixels", t.total),
    ];
    for (name, timed) in [("teacher ", &report.teacher), ("baseline", &report.baseline)] {
        let Some((seconds, with)) = timed else { continue };
        let sampler = with.sampler.unwrap_or_default().name();
        lines
            .push(format!("  {name}      {seconds:8.3}   {} steps, guidance {}, {sampler}", with.steps, with.guidance));
    }
    if let Some(LiveLatency { p50, p95, drawn, dropped }) = &report.live {
        lines.push(format!("  live          {p50:8.3}   median, from key to pixels"));
        lines.push(format!("                {p95:8.3}   95th percentile; {drawn} drawn, {dropped} dropped"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    #[test]
    fn the_median_is_the_middle() {
        assert_close(median([3.0, 1.0, 2.0].into_iter()), 2.0, Tolerance::absolute(1e-12));
        assert_close(median([4.0, 1.0, 2.0, 9.0].into_iter()), 3.0, Tolerance::absolute(1e-12));
    }
}
