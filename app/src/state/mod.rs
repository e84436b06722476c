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
pub(crate) mod error_details;
mod events;
mod history;
mod image_metrics;
mod jobs;
mod kept_pictures;
mod latency_stats;
mod library_actions;
mod modal;
mod notices;
mod pan_zoom;
mod pane;
mod perform;
mod prompt_history;
mod recipe;
mod requests;
pub(crate) mod saved_state;
mod thumbnails;
mod view;
mod word_hints;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use egui::TextureOptions;
use instaflow_engine::png::Pattern;
use instaflow_engine::protocol::{
    Failure, JobId, Lane, ModelCard, ModelSummary, OpenRequest, Picture, Role, TokenCount,
};
use instaflow_engine::worker::Engine;

pub(crate) use activity::{LiveState, Opening};
pub(crate) use activity::{Stop, time_left};
pub(crate) use command::SEARCHES;
pub(crate) use comparison::Comparison;
pub(crate) use error_details::precision;
pub(crate) use events::{duration, summary};
pub(crate) use kept_pictures::Standing;
pub(crate) use modal::{LogView, Modal, Page, Palette, Question};
pub(crate) use notices::{Message, Notice};
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
pub use pan_zoom::PanZoom;
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
    /// Where kept pictures are, where there is such a place.
    pub library: Option<PathBuf>,
    /// Shows a file in the file manager.
    pub reveal: Reveal,
    /// Where the window's state is kept from one start to the next, if it is.
    pub state: Option<PathBuf>,
    /// Called, from any thread, when [`App::logic`] has something to take in.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// The window.
#[expect(clippy::struct_excessive_bools, reason = "what is open and what is under way, each by itself")]
pub struct App {
    pub(crate) controls: Controls,
    pub(crate) live: Pane,
    pub(crate) teacher: Pane,
    pub(crate) baseline: Pane,
    pub(crate) batch: Batch,
    /// Which of the teacher's and the baseline's estimates are looked at, instead of their pictures.
    pub(crate) scrub: Option<usize>,
    /// The animation that is being drawn.
    pub(crate) export: Option<Export>,
    /// The kept pictures.
    pub(crate) kept_pictures: kept_pictures::KeptPictures,
    /// How far the student and each of the others are apart.
    pub(crate) comparisons: HashMap<PaneId, Comparison>,
    pub(crate) pan_zoom: PanZoom,
    /// Which pane's picture 'Save' and 'Copy' mean.
    pub(crate) chosen: PaneId,
    pub(crate) model: Option<ModelSummary>,
    pub(crate) opening: Option<Opening>,
    pub(crate) tokens: TokenCount,
    pub(crate) messages: Vec<Message>,
    pub(crate) modal: Option<Modal>,
    pub(crate) notice: Option<Notice>,
    /// Whether the panel at the side was asked for in a window too narrow for it.
    pub(crate) side_unfolded: bool,
    /// The file name pattern as it is typed, which need not be one.
    pub(crate) pattern_typed: String,
    /// Whether the window is cleared to the colour behind the pictures.
    pub(crate) canvas_is_clear: bool,
    /// Whether an error's details are copied with the prompt.
    pub(crate) details_with_prompt: bool,
    pub(crate) settings_page: Page,
    /// Whom to give the keyboard in the next frame, once.
    pub(crate) focus: Option<Focus>,
    /// What had the keyboard in the last frame, and what had it before a window over the window took it.
    focused: Option<egui::Id>,
    lent: Option<egui::Id>,
    /// The commands asked for in this frame, done once it is drawn.
    pub(crate) asked: Vec<Command>,
    pub(crate) typing: prompt_history::Typing,
    pub(crate) word_hints: word_hints::WordHints,
    prompts: Prompts,
    history: history::History,
    engine: Engine,
    engine_ended: bool,
    jobs: jobs::Jobs,
    deliveries: delivery::Deliveries,
    latency_stats: latency_stats::LatencyStats,
    /// Program and system, and the graphics adapter: for whoever is told of an error.
    program: String,
    graphics: String,
    log: Option<PathBuf>,
    /// What is open, for 'Open as teacher…'.
    opened: OpenRequest,
    /// Which lane's each job on its way is, and when it was asked for.
    under_way: HashMap<JobId, (Lane, Instant)>,
    next_id: u64,
    measuring: bool,
    memory: saved_state::Memory,
    output: PathBuf,
    counted: Option<String>,
    styled: bool,
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
        let mut app = Self {
            prompts: state.prompts.clone(),
            memory: saved_state::Memory::new(platform.state.clone(), state),
            output: platform.output.clone(),
            log: platform.state.as_deref().map(crate::record::log_file),
            history: history::History::new(&controls.recipe),
            typing: prompt_history::Typing::default(),
            word_hints: word_hints::WordHints::default(),
            live: Pane::new("student"),
            teacher: Pane::new("teacher"),
            baseline: Pane::new("baseline"),
            batch: Batch::default(),
            scrub: None,
            export: None,
            kept_pictures: kept_pictures::KeptPictures::new(platform.library.clone(), platform.wake.clone()),
            comparisons: HashMap::new(),
            pan_zoom: PanZoom::default(),
            chosen: PaneId::Live,
            model: None,
            opening: None,
            tokens: TokenCount::default(),
            messages: Vec::new(),
            modal: None,
            notice: None,
            side_unfolded: false,
            pattern_typed: controls.pattern.clone(),
            controls,
            canvas_is_clear: false,
            details_with_prompt: false,
            settings_page: Page::default(),
            focus: Some(Focus::Prompt),
            focused: None,
            lent: None,
            asked: Vec::new(),
            engine,
            engine_ended: false,
            jobs: jobs::Jobs::new(platform),
            deliveries: delivery::Deliveries::default(),
            latency_stats: latency_stats::LatencyStats::default(),
            program: error_details::program(),
            graphics: String::new(),
            opened,
            under_way: HashMap::new(),
            next_id: 0,
            measuring: false,
            counted: None,
            styled: false,
        };
        app.typing.select_all = begun;
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
        if self.styled {
            // egui's own Ctrl+Plus and Ctrl+Minus change it, too.
            self.controls.scale = ctx.zoom_factor();
        } else {
            theme::install(ctx);
            ctx.set_zoom_factor(self.controls.scale);
            self.styled = true;
        }
        let theme = egui::ThemePreference::from(self.controls.theme);
        if ctx.options(|options| options.theme_preference) != theme {
            ctx.set_theme(theme);
        }
        self.take_events(ctx);
        self.take_jobs(ctx);
        self.take_news(ctx);
        for file in ctx.input(|input| input.raw.dropped_files.clone()) {
            self.jobs.read_dropped(file.path().to_owned());
        }
        if self.notice.as_ref().is_some_and(|notice| ctx.time() > notice.until) {
            self.notice = None;
        }
        let modal = self.modal.is_some();
        // Whoever had the keyboard gets it back from a window over the window, once egui, too, knows that it is gone.
        let (focused, over) = ctx.memory(|memory| (memory.focused(), memory.top_modal_layer().is_some()));
        match (modal || over, self.lent.take()) {
            (true, lent) => self.lent = lent.or(self.focused),
            (false, Some(lender)) if self.focus.is_none() => ctx.memory_mut(|memory| memory.request_focus(lender)),
            (false, _) => self.focused = focused,
        }
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
        let asked = self.under_way.values().any(|(lane, _)| *lane == Lane::Live);
        match (&self.live.run, asked) {
            _ if !self.controls.live => LiveState::Off,
            (Some(_), _) => LiveState::Draws,
            (None, true) => LiveState::Waits,
            (None, false) => LiveState::Rests,
        }
    }

    /// Whether anything is being loaded, drawn or waited for.
    pub fn is_busy(&self) -> bool {
        let beside = [&self.teacher, &self.baseline];
        let running = self.live.run.is_some() || beside.iter().any(|pane| pane.run.is_some() || pane.due.is_some());
        let running = running || self.batch.due.is_some() || self.measuring || self.kept_pictures.is_busy();
        let running = running || self.deliveries.count() > 0;
        running || self.opening.is_some() || !self.under_way.is_empty()
    }

    /// The error messages on screen, oldest first.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().map(|message| message.failure.message.as_str())
    }

    /// Who draws in the live lane: the student, or the teacher where that is all there is.
    pub(crate) fn live_role(&self) -> Role {
        match &self.model {
            Some(ModelSummary { student: None, .. }) => Role::Teacher,
            _ => Role::Student,
        }
    }

    /// The model that draws in the live lane.
    pub(crate) fn live_card(&self) -> Option<&ModelCard> {
        let model = self.model.as_ref()?;
        model.student.as_ref().or(model.teacher.as_ref())
    }

    /// The picture that stands in a cell of the sheet, from 0.
    pub fn batch_picture(&self, index: usize) -> Option<&Picture> {
        self.batch.cells.get(index).filter(|_| self.batch.is_current(index))?.picture.as_ref()
    }

    /// How far student and teacher are apart, where both are drawn.
    pub fn distance(&self) -> Option<&Distance> {
        self.comparisons.get(&PaneId::Teacher)?.distance.as_ref()
    }

    /// Why there is nothing to compare with, or `None` where there is.
    pub(crate) fn no_comparison(&self) -> Option<&'static str> {
        match &self.model {
            Some(ModelSummary { student: None, .. }) => {
                Some("Only a teacher is open. Open a pair, or a student, with File, Open model or pair.")
            }
            _ if self.no_baseline().is_none() => None,
            _ => self.no_teacher(),
        }
    }

    /// Why the teacher cannot draw, or `None` where it can.
    pub(crate) fn no_teacher(&self) -> Option<&'static str> {
        match &self.model {
            None => Some("No model is open."),
            Some(ModelSummary { teacher: None, .. }) => {
                Some("No teacher is open. Add one with File, Open as teacher, or open a pair.")
            }
            Some(_) => None,
        }
    }

    /// Whether others are shown beside the student.
    pub(crate) fn comparing(&self) -> bool {
        self.controls.show == Show::Compare && self.no_comparison().is_none()
    }

    fn show_distance(&mut self, ctx: &egui::Context, found: jobs::results::Measured) {
        let jobs::results::Measured { pane, student, other, distance, map } = found;
        let map = map.map(|map| ctx.load_texture("difference", pane::fitting(ctx, map), TextureOptions::LINEAR));
        self.comparisons.insert(pane, Comparison { student, other, distance, map });
    }

    pub(crate) fn pane(&self, pane: PaneId) -> &Pane {
        match pane {
            PaneId::Live => &self.live,
            PaneId::Teacher => &self.teacher,
            PaneId::Baseline => &self.baseline,
        }
    }

    pub(crate) fn pane_mut(&mut self, pane: PaneId) -> &mut Pane {
        match pane {
            PaneId::Live => &mut self.live,
            PaneId::Teacher => &mut self.teacher,
            PaneId::Baseline => &mut self.baseline,
        }
    }

    pub(crate) fn notify(&mut self, ctx: &egui::Context, text: String) {
        const SECONDS: f64 = 8.0;
        self.notice = Some(Notice { text, until: ctx.time() + SECONDS });
        ctx.request_repaint_after(std::time::Duration::from_secs_f64(SECONDS + 0.1));
    }

    /// What is open, or was asked for.
    pub(crate) fn open_request(&self) -> &OpenRequest {
        self.opening.as_ref().map_or(&self.opened, |opening| &opening.request)
    }

    /// Where quick save puts pictures.
    pub(crate) fn output_folder(&self) -> &Path {
        self.controls.output.as_deref().unwrap_or(&self.output)
    }

    /// Shows an error; the same one twice is shown once.
    pub(crate) fn complain(&mut self, failure: Failure, advice: Option<&'static str>) {
        tracing::warn!(causes = ?failure.causes, "{}", failure.message);
        if !self.messages.iter().any(|message| message.failure == failure) {
            let (at, settings) = (jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string(), self.settings_now());
            self.messages.push(Message { failure, advice, at, settings });
        }
    }

    /// Where pictures go that are saved without being asked for a name, inside the output folder.
    pub(crate) fn pattern(&self) -> Pattern {
        // What is kept was understood when it was typed.
        Pattern::parse(&self.controls.pattern).unwrap_or_default()
    }

    fn new_id(&mut self) -> JobId {
        self.next_id += 1;
        JobId(self.next_id)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.latency_stats.log();
        // The file thread is waited for, and with it these.
        self.write_undecoded();
        self.write_state();
    }
}
