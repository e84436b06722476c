//! What the window knows, and how it changes. [`App::logic`] takes in what the engine, the files and the keyboard have to
//! say, the panels show it, and [`App::apply`] takes over what the person did in them. Nothing here waits: the engine
//! draws, and [`jobs`] has the dialogs and files.

mod activity;
mod animation;
mod apply;
mod batch;
mod command;
mod comparison;
mod comparison_image;
mod controls;
mod delivery;
mod engine_link;
pub(crate) mod error_details;
mod events;
mod history;
mod image_metrics;
mod jobs;
mod kept_pictures;
mod latency_stats;
mod library_actions;
mod lora_stack;
mod modal;
mod model_library;
mod notices;
mod open_models;
mod pan_zoom;
mod pane;
mod perform;
mod prompt_history;
mod recipe;
mod requests;
pub(crate) mod saved_state;
mod thumbnails;
mod view;
mod widgets;
mod word_hints;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::TextureOptions;
use instaflow_engine::png::Pattern;
use instaflow_engine::protocol::{Failure, Lane, OpenRequest, Picture};
use instaflow_engine::worker::Engine;

pub(crate) use activity::{LiveState, Opening, Stop, Work, time_left};
pub(crate) use command::SEARCHES;
pub(crate) use comparison::Comparison;
pub(crate) use error_details::precision;
pub(crate) use events::{duration, summary};
pub(crate) use kept_pictures::Standing;
pub(crate) use modal::{LogView, Modal, Page, Palette, Question, RecipeQuestion};
pub use model_library::ModelSources;
pub(crate) use model_library::{List, ModelAction, Question as ModelQuestion, Use, bases, uses_of};
pub(crate) use notices::{About, Message, Notice};
pub(crate) use perform::is_narrow;
pub(crate) use view::Focus;
pub(crate) use word_hints::Hint;

pub use animation::Export;
pub use batch::{Batch, STEPS};
pub use command::{Command, MENUS, all as commands};
pub use controls::{Against, CompareAs, Controls, Show, Theme};
pub use image_metrics::{Distance, distance};
pub use jobs::dialogs::{Answer, Ask, Dialog, system_dialog};
pub use kept_pictures::Act;
pub use lora_stack::StackedLora;
pub use pan_zoom::PanZoom;
pub(crate) use pane::Panes;
pub use pane::{Estimate, Pane, PaneId, Run};
pub use prompt_history::Prompts;
pub use recipe::Recipe;
pub use saved_state::State;
pub(crate) use view::Action;
pub use view::{Done, View};

use crate::theme;

/// Shows a file in the file manager; called on a thread that may wait. The error is a sentence.
pub type Reveal = Arc<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// With what the window opens.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The model.
    pub open: OpenRequest,
    /// The prompt that stands in the field, selected: what is typed takes its place.
    pub prompt: Option<String>,
}

/// What the window needs from outside; tests put their own here.
pub struct Platform {
    /// Asks the person for a file or folder.
    pub dialog: Dialog,
    /// Where quick save puts its pictures, unless the person has chosen another folder.
    pub output: PathBuf,
    /// Where kept pictures are, if there is such a place.
    pub library: Option<PathBuf>,
    /// Shows a file in the file manager.
    pub reveal: Reveal,
    /// Where the window's state is kept from one start to the next, if it is.
    pub state: Option<PathBuf>,
    /// Where models come from.
    pub models: ModelSources,
    /// Called, from any thread, when [`App::logic`] has something to take in.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// The window.
pub struct App {
    pub(crate) controls: Controls,
    pub(crate) panes: Panes,
    pub(crate) side_by_side: comparison::SideBySide,
    pub(crate) batch: Batch,
    /// The animation that is being drawn.
    pub(crate) export: Option<Export>,
    pub(crate) kept_pictures: kept_pictures::KeptPictures,
    pub(crate) pan_zoom: PanZoom,
    pub(crate) models: open_models::OpenModels,
    pub(crate) model_library: model_library::ModelLibrary,
    pub(crate) prompt: prompt_history::PromptState,
    pub(crate) notices: notices::Notices,
    pub(crate) modal: Option<Modal>,
    pub(crate) widgets: widgets::Widgets,
    /// The commands asked for in this frame, done once it is drawn.
    asked: Vec<Command>,
    history: history::History,
    engine: engine_link::EngineLink,
    jobs: jobs::Jobs,
    deliveries: delivery::Deliveries,
    diagnostics: error_details::Diagnostics,
    memory: saved_state::Memory,
    /// Where quick save puts pictures unless the person has chosen another folder.
    output: PathBuf,
}

impl App {
    /// A window on `engine`, as it was left; it begins by opening the model. What `options` say goes before what is
    /// remembered.
    pub fn new(engine: Engine, options: Options, platform: Platform) -> Self {
        let (state, complaint) = platform.state.as_deref().map_or_else(Default::default, State::load);
        let (state, lost) = state.without_lost_folders();
        let given = options.open != OpenRequest::default();
        let open = if given { options.open } else { state.open.clone() };
        // What was remembered stays so until something else has opened.
        let opened = OpenRequest { device: open.device, precision: open.precision, ..state.open.clone() };
        let mut controls = state.controls.clone();
        let begun = options.prompt.is_some();
        controls.recipe.prompt = options.prompt.unwrap_or(controls.recipe.prompt);
        let log = platform.state.as_deref().map(crate::record::log_file);
        let mut app = Self {
            prompt: prompt_history::PromptState::new(state.prompts.clone()),
            memory: saved_state::Memory::new(platform.state.clone(), state),
            output: platform.output.clone(),
            diagnostics: error_details::Diagnostics::new(log),
            history: history::History::new(&controls.recipe),
            panes: Panes::default(),
            side_by_side: comparison::SideBySide::default(),
            batch: Batch::default(),
            export: None,
            kept_pictures: kept_pictures::KeptPictures::new(platform.library.clone(), platform.wake.clone()),
            pan_zoom: PanZoom::default(),
            models: open_models::OpenModels { open: None, opening: None, opened },
            model_library: model_library::ModelLibrary::new(platform.models.clone(), platform.wake.clone()),
            notices: notices::Notices::default(),
            modal: None,
            widgets: widgets::Widgets::new(&controls),
            controls,
            asked: Vec::new(),
            engine: engine_link::EngineLink::new(engine),
            jobs: jobs::Jobs::new(platform),
            deliveries: delivery::Deliveries::default(),
        };
        app.prompt.typing.select_all = begun;
        if let Some(folder) = app.controls.output.clone() {
            app.jobs.set_output(folder);
        }
        app.jobs.set_pattern(app.pattern());
        if let Some(message) = complaint {
            app.complain(Failure { message, causes: Vec::new() }, Some("The window starts with its default settings."));
        }
        if lost && !given {
            let message = "A model that was open last time is no longer where it was.".to_owned();
            app.complain(
                Failure { message, causes: Vec::new() },
                Some("Open it again: File, Open model or pair (Ctrl+O)."),
            );
        }
        app.open(open);
        app
    }

    /// Takes in events, finished jobs, dropped files and shortcuts. Draws nothing.
    pub fn logic(&mut self, ctx: &egui::Context) {
        if self.widgets.styled {
            // egui's own Ctrl+Plus and Ctrl+Minus change it, too.
            self.controls.scale = ctx.zoom_factor();
        } else {
            theme::install(ctx);
            ctx.set_zoom_factor(self.controls.scale);
            self.widgets.styled = true;
        }
        let theme = egui::ThemePreference::from(self.controls.theme);
        if ctx.options(|options| options.theme_preference) != theme {
            ctx.set_theme(theme);
        }
        self.take_events(ctx);
        self.take_jobs(ctx);
        self.take_model_news(ctx);
        self.take_news(ctx);
        for file in ctx.input(|input| input.raw.dropped_files.clone()) {
            self.jobs.read_dropped(file.path().to_owned());
        }
        if self.notices.remark.as_ref().is_some_and(|notice| ctx.time() > notice.until) {
            self.notices.remark = None;
        }
        let modal = self.modal.is_some();
        self.widgets.lend_keyboard(ctx, modal);
        let busy_elsewhere = modal || egui::Popup::is_any_open(ctx);
        if !busy_elsewhere {
            self.asked.extend(Command::pressed(ctx));
        }
    }

    /// What the person has set.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// The picture in a pane, estimate or final.
    pub fn picture(&self, pane: PaneId) -> Option<&Picture> {
        self.pane(pane).picture.as_ref()
    }

    /// Whether live drawing is at work.
    pub(crate) fn live_state(&self) -> LiveState {
        let asked = self.engine.works_in(Lane::Live);
        match (&self.panes.live.run, asked) {
            _ if !self.controls.live => LiveState::Off,
            (Some(_), _) => LiveState::Draws,
            (None, true) => LiveState::Waits,
            (None, false) => LiveState::Rests,
        }
    }

    /// Whether anything is being loaded, drawn or waited for.
    pub fn is_busy(&self) -> bool {
        let beside = [&self.panes.teacher, &self.panes.baseline];
        let running =
            self.panes.live.run.is_some() || beside.iter().any(|pane| pane.run.is_some() || pane.due.is_some());
        let running =
            running || self.batch.due.is_some() || self.side_by_side.measuring || self.kept_pictures.is_busy();
        let running = running
            || self.deliveries.count() > 0
            || self.deliveries.refines()
            || !self.model_library.downloads.is_empty();
        running || self.models.opening.is_some() || !self.engine.under_way.is_empty()
    }

    /// The error messages on screen, oldest first.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.notices.messages.iter().map(|message| message.failure.message.as_str())
    }

    /// The picture that stands in a cell of the sheet, from 0.
    pub fn batch_picture(&self, index: usize) -> Option<&Picture> {
        self.batch.cells.get(index).filter(|_| self.batch.is_current(index))?.picture.as_ref()
    }

    /// How far student and teacher are apart, if both are drawn.
    pub fn distance(&self) -> Option<&Distance> {
        self.side_by_side.measured.get(&PaneId::Teacher)?.distance.as_ref()
    }

    /// Whether others are shown beside the student.
    pub(crate) fn comparing(&self) -> bool {
        self.controls.show == Show::Compare && self.models.no_comparison().is_none()
    }

    fn show_distance(&mut self, ctx: &egui::Context, found: jobs::results::Measured) {
        let jobs::results::Measured { pane, student, other, distance, map } = found;
        let map = map.map(|map| ctx.load_texture("difference", pane::fitting(ctx, map), TextureOptions::LINEAR));
        self.side_by_side.measured.insert(pane, Comparison { student, other, distance, map });
    }

    pub(crate) fn pane(&self, pane: PaneId) -> &Pane {
        self.panes.get(pane)
    }

    pub(crate) fn notify(&mut self, ctx: &egui::Context, text: String) {
        const SECONDS: f64 = 8.0;
        self.notices.remark = Some(Notice { text, until: ctx.time() + SECONDS });
        ctx.request_repaint_after(std::time::Duration::from_secs_f64(SECONDS + 0.1));
    }

    /// Where quick save puts pictures.
    pub(crate) fn output_folder(&self) -> &Path {
        self.controls.output.as_deref().unwrap_or(&self.output)
    }

    /// Shows an error; the same one twice is shown once.
    pub(crate) fn complain(&mut self, failure: Failure, advice: Option<&'static str>) {
        self.complain_of(About::Itself, failure, advice);
    }

    /// The same of something that may go well later; see [`App::settle`].
    pub(crate) fn complain_of(&mut self, about: About, failure: Failure, advice: Option<&'static str>) {
        tracing::warn!(causes = ?failure.causes, "{}", failure.message);
        if !self.notices.messages.iter().any(|message| message.failure == failure) {
            let (at, settings) = (jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string(), self.settings_now());
            self.notices.messages.push(Message { failure, about, advice, at, settings });
        }
    }

    /// Takes away what was said of something that has gone well, or is being tried again.
    pub(crate) fn settle(&mut self, about: About) {
        self.notices.settle(about);
    }

    /// Where pictures go that are saved without being asked for a name, inside the output folder.
    pub(crate) fn pattern(&self) -> Pattern {
        // What is kept was understood when it was typed.
        Pattern::parse(&self.controls.pattern).unwrap_or_default()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.diagnostics.latency_stats.log();
        // The file thread is waited for, and with it these.
        self.write_undecoded();
        self.write_state();
    }
}
