//! What an error's 'Copy details' puts on the clipboard, and what the log says when the program begins. Prompts are left
//! out unless the person wants them in. Add a line to [`App::details`].

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use instaflow_engine::protocol::{ModelCard, Precision, Role, Source};

use super::latency_stats::LatencyStats;
use super::{App, Message, PaneId};

/// What the log and the errors' details say of this program and machine.
pub(super) struct Diagnostics {
    /// Program and system.
    pub program: String,
    /// The graphics adapter, once the window is there.
    pub graphics: String,
    /// Where the log is, if there is one.
    pub log: Option<PathBuf>,
    pub latency_stats: LatencyStats,
}

impl Diagnostics {
    pub fn new(log: Option<PathBuf>) -> Self {
        Self { program: program(), graphics: String::new(), log, latency_stats: LatencyStats::default() }
    }
}

/// Program and system in one line.
pub(crate) fn program() -> String {
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let mut line = format!("InstaFlow {}, {system}", env!("CARGO_PKG_VERSION"));
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    for part in [name.map(|name| name.trim_matches('"').to_owned()), kernel.map(|k| format!("kernel {}", k.trim()))] {
        line.extend(part.into_iter().flat_map(|part| [", ".to_owned(), part]));
    }
    line
}

/// The graphics adapter that shows the window.
pub(crate) fn graphics(creation: &eframe::CreationContext<'_>) -> String {
    creation.wgpu_render_state.as_ref().map_or_else(String::new, |state| {
        let info = state.adapter.get_info();
        let driver = format!("{} {}", info.driver, info.driver_info);
        format!("{} ({}, {})", info.name, info.backend, driver.trim())
    })
}

impl App {
    /// The window is there: notes what shows it, for the log and for errors.
    pub(crate) fn introduce(&mut self, graphics: String) {
        tracing::info!("the window is shown by {graphics}");
        self.diagnostics.graphics = graphics;
        self.widgets.canvas_is_clear = true;
    }

    /// All that helps to understand a failure.
    pub(crate) fn details(&self, message: &Message, with_prompt: bool) -> String {
        let mut text = format!("{}\n", message.failure.message);
        for cause in &message.failure.causes {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(advice) = message.advice {
            let _ = writeln!(text, "{advice}");
        }
        let _ = writeln!(text, "\nWhen      {}", message.at);
        for (name, value) in self.circumstances() {
            let _ = writeln!(text, "{name:9} {value}");
        }
        let settings = &message.settings;
        let size = settings.size.map_or("the model's own".to_owned(), |(width, height)| format!("{width}x{height}"));
        let controls = &self.controls;
        let _ = writeln!(
            text,
            "Settings  seed {}, size {size}, decoder {:?} (files: {:?}), live {}; teacher: {} steps, guidance {}",
            settings.seed,
            settings.decoder,
            controls.file_decoder,
            controls.live,
            controls.recipe.steps,
            controls.recipe.guidance,
        );
        if with_prompt {
            let _ = writeln!(text, "Prompt    {:?}", settings.prompt);
            let _ = writeln!(text, "Negative  {:?}", controls.recipe.negative_prompt);
        } else {
            let _ = writeln!(text, "Prompt    left out ({} characters)", settings.prompt.chars().count());
        }
        text
    }

    /// Where the program runs, and with what.
    fn circumstances(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("Program", self.diagnostics.program.clone())];
        if !self.diagnostics.graphics.is_empty() {
            lines.push(("Window", self.diagnostics.graphics.clone()));
        }
        if let Some(model) = &self.models.open {
            lines.push(("Device", format!("{}, {}", model.device, precision(model.precision))));
            let cards = [("Student", &model.student), ("Teacher", &model.teacher), ("Baseline", &model.baseline)];
            for (role, card) in cards {
                lines.extend(card.as_ref().map(|card| (role, describe(card))));
            }
        } else {
            lines.push(("Model", "none is open".to_owned()));
        }
        let source = |source: &Source| match source {
            Source::Pocket => "Pocket".to_owned(),
            Source::Folder(path) | Source::File(path) => path.display().to_string(),
        };
        let request = self.models.request();
        lines.push(("Opened", source(&request.model)));
        let others = [&request.teacher, &request.baseline];
        lines.extend(others.into_iter().flatten().map(|other| ("", source(other))));
        lines
    }

    /// The settings at this moment, for a message.
    pub(super) fn settings_now(&self) -> instaflow_engine::protocol::Settings {
        self.wanted(if self.models.live_role() == Role::Student { PaneId::Live } else { PaneId::Teacher })
    }
}

/// A model in one line.
pub(super) fn describe(card: &ModelCard) -> String {
    let (width, height) = card.size;
    let millions = card.unet_parameters as f64 / 1e6;
    let stacks = if card.num_stacks > 1 { format!(" in {} stacks", card.num_stacks) } else { String::new() };
    let tiny = if card.has_tiny_decoder { ", tiny decoder" } else { "" };
    format!("{}, {millions:.1} M parameters{stacks}, {width}x{height}{tiny}, weights {}", card.name, card.hash)
}

/// The arithmetic's name.
pub(crate) fn precision(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::F16 => "f16",
    }
}
