//! How smooth the window is: with `INSTAFLOW_FRAME_TIMES=FILE` in the environment it repaints without a pause, and every
//! second says in FILE how many frames there were, and the median and the longest time from one to the next.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::App;

/// The environment variable.
const FILE: &str = "INSTAFLOW_FRAME_TIMES";

/// The window, watched where the environment asks for it.
pub(super) fn watched(app: App) -> Box<dyn eframe::App> {
    match std::env::var_os(FILE).filter(|file| !file.is_empty()) {
        Some(file) => {
            let file = PathBuf::from(file);
            let now = Instant::now();
            Box::new(Watched { app, file, lines: String::new(), times: Vec::new(), last: now, written: now })
        }
        None => Box::new(app),
    }
}

struct Watched {
    app: App,
    file: PathBuf,
    lines: String,
    /// Since the last line.
    times: Vec<Duration>,
    last: Instant,
    written: Instant,
}

impl eframe::App for Watched {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.app.logic(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let now = Instant::now();
        self.times.push(now.duration_since(self.last));
        self.last = now;
        if now.duration_since(self.written) >= Duration::from_secs(1) {
            self.written = now;
            self.times.sort_unstable();
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            let (median, longest) = (self.times[self.times.len() / 2], self.times[self.times.len() - 1]);
            let line = format!(
                "{} frames, median {:.1} ms, longest {:.1} ms\n",
                self.times.len(),
                milliseconds(median),
                milliseconds(longest)
            );
            self.lines.push_str(&line);
            self.times.clear();
            // A file that cannot be written loses the measurement, and nothing else.
            let _ = std::fs::write(&self.file, &self.lines);
        }
        self.app.ui(ui);
        ui.ctx().request_repaint();
    }
}
