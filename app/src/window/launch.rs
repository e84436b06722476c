//! Opens the real window, or says in one sentence why it cannot.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use eframe::egui_wgpu::WgpuError;
use eframe::{Error, NativeOptions};
use egui::{IconData, ViewportBuilder};
use instaflow_engine::worker::Engine;
use tracing::info_span;

use super::display;
use crate::record::Recording;
use crate::state::{App, ModelSources, Options, Platform, error_details, saved_state, system_dialog};
use crate::theme::tokens;
use crate::{desktop, folders, library, record};

/// What is drawn at the very first start, so that it begins with a picture worth looking at: the prompt of the paper's
/// comparison. Typing takes its place.
const FIRST_PROMPT: &str = "a photograph of a snowy mountain near a beautiful lake under sunshine";

/// Where the window's log is, where it has one.
pub fn log_file() -> Option<PathBuf> {
    saved_state::default_file().as_deref().map(record::log_file)
}

/// Opens the window and returns when it is closed, or not at all: macOS may end the process instead, so that the window
/// takes the recording with it. With `repaint` it draws frames without a pause.
pub fn run(options: Options, repaint: bool, recording: Recording) -> anyhow::Result<()> {
    tracing::info!("{}", error_details::program());
    let state = saved_state::default_file();
    let first = state.as_deref().is_none_or(|file| !file.exists());
    let first_prompt = first.then(|| FIRST_PROMPT.to_owned());
    let options = Options { prompt: options.prompt.or(first_prompt), ..options };
    let mut viewport = ViewportBuilder::default()
        .with_title("InstaFlow")
        .with_app_id("instaflow")
        .with_inner_size([1180.0, 760.0])
        .with_min_inner_size([640.0, 440.0])
        .with_icon(icon()?);
    if let Some(place) = state.as_deref().and_then(saved_state::last_place) {
        viewport = viewport.with_inner_size(place.size).with_maximized(place.maximized);
        if let Some(position) = place.position {
            viewport = viewport.with_position(position);
        }
    }
    let native = NativeOptions { viewport, event_loop_builder: display::choice(), ..NativeOptions::default() };
    let create: eframe::AppCreator<'_> = Box::new(move |creation| {
        let ctx = creation.egui_ctx.clone();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || ctx.request_repaint());
        let engine = Engine::spawn({
            let wake = wake.clone();
            move || wake()
        });
        let platform = Platform {
            dialog: Arc::new(system_dialog),
            output: folders::pictures(),
            library: library::default_folder(),
            reveal: Arc::new(desktop::reveal),
            models: ModelSources::of_system(),
            state,
            wake,
        };
        let mut app = App::new(engine, options, platform);
        app.introduce(error_details::graphics(creation));
        Ok(Box::new(Window { app, repaint, _recording: recording }))
    });
    eframe::run_native("InstaFlow", native, create).map_err(|error| explain(&error))
}

/// The window as eframe knows it.
struct Window {
    app: App,
    repaint: bool,
    /// Dropped after the app, whose last words it takes down.
    _recording: Recording,
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        let _span = info_span!("logic").entered();
        self.app.logic(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        // What eframe measures goes beyond this span: layout, tessellation, rasterising; not the wait for the screen.
        let frame_before = f64::from(frame.info().cpu_usage.unwrap_or_default()) * 1e3;
        let _span = info_span!("ui", frame_before).entered();
        super::show(&mut self.app, ui);
        if self.repaint {
            ui.ctx().request_repaint();
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        tokens().palette(visuals.dark_mode).canvas.to_normalized_gamma_f32()
    }
}

fn icon() -> anyhow::Result<IconData> {
    let png = include_bytes!("../../../assets/icon.png");
    let image = image::load_from_memory(png).context("assets/icon.png cannot be read: build InstaFlow again")?;
    let image = image.into_rgba8();
    Ok(IconData { width: image.width(), height: image.height(), rgba: image.into_raw() })
}

/// What is missing on this machine, and what to do.
fn explain(error: &Error) -> anyhow::Error {
    let sentence = match error {
        Error::Winit(_) | Error::WinitEventLoop(_) => {
            "there is no display for the window: start InstaFlow in a desktop session, or under a virtual display \
             (Debian package xvfb: `xvfb-run instaflow`); without a window, `instaflow generate PROMPT -o FILE.png` draws"
        }
        Error::Wgpu(WgpuError::RequestAdapterError(_) | WgpuError::CreateSurfaceError(_)) => {
            "there is no graphics adapter for the window: install a Vulkan driver (Debian package mesa-vulkan-drivers, \
             which also draws without a graphics card); without a window, `instaflow generate PROMPT -o FILE.png` draws"
        }
        Error::Wgpu(_) => {
            "the graphics adapter cannot show the window: update its driver, or choose another with WGPU_BACKEND=gl or \
             WGPU_BACKEND=vulkan; without a window, `instaflow generate PROMPT -o FILE.png` draws"
        }
        Error::AppCreation(_) => "the window could not be set up",
    };
    // eframe's error need not be one that may change threads: its words are kept.
    anyhow::anyhow!("{}", without_place(&error.to_string())).context(sentence)
}

/// An error's words without the line of winit's source that some of them name.
fn without_place(words: &str) -> &str {
    let place = words.find("os error at ").and_then(|start| Some(start + words[start..].find(".rs:")? + 4));
    let after = place.and_then(|place| words[place..].split_once(": "));
    after.map_or(words, |(_line, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::without_place;

    #[test]
    fn the_reason_is_kept_and_the_place_is_not() {
        let words = "winit EventLoopError: os error at src/linux/mod.rs:765: DISPLAY is not set.";
        assert_eq!(without_place(words), "DISPLAY is not set.");
        assert_eq!(without_place("WGPU error: none"), "WGPU error: none");
        assert_eq!(without_place("os error at nowhere"), "os error at nowhere");
    }
}
