//! What each [`Command`] does, why it may be unavailable, and whether it is on.

use std::path::PathBuf;

use instaflow_engine::png::{Pattern, Restored};
use instaflow_engine::protocol::{OpenRequest, Prediction, Request, Role, Source};

use crate::theme::tokens;

use super::delivery::Destination;
use super::{
    App, Command, CompareAs, Focus, Modal, Opening, Page, Palette, PanZoom, PaneId, Question, RecipeQuestion, Show,
    StackedLora, Stop, Theme, lora_stack,
};

/// Said where a dialog is asked for while one is open.
pub(super) const DIALOG_OPEN: &str = "A file dialog is already open";

impl App {
    pub(super) fn perform(&mut self, command: Command, ctx: &egui::Context) {
        if let Some(reason) = self.why_not(command) {
            // Esc is pressed on suspicion, too.
            if command != Command::Stop {
                self.notify(ctx, reason.to_owned());
            }
            return;
        }
        let controls = &mut self.controls;
        match command {
            Command::Open | Command::OpenTeacher | Command::OpenBaseline => {
                let role = match command {
                    Command::OpenTeacher => Role::Teacher,
                    Command::OpenBaseline => Role::Baseline,
                    _ => Role::Student,
                };
                if !self.jobs.ask_folder(role) {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
            Command::AddLora => {
                if !self.jobs.ask_lora() {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
            Command::OpenPocket => self.open(self.models.request().pocket()),
            Command::Save | Command::QuickSave | Command::Copy => self.export(command, ctx),
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Command::Undo | Command::Redo => self.step_back(command == Command::Undo),
            Command::OlderPrompt | Command::NewerPrompt => self.recall_prompt(command == Command::OlderPrompt),
            Command::ForgetPrompts => self.forget_prompts(),
            Command::CompleteWord => self.complete_word(),
            Command::Examples => self.toggle_examples(),
            Command::Words => controls.show_words = !controls.show_words,
            Command::Models => self.show_models(),
            Command::Draw => {
                if !controls.seed_locked {
                    controls.recipe.seed = random_seed();
                }
                self.mean_prompt();
                self.draw_now(ctx);
            }
            // What stands before the live picture goes first.
            Command::Stop if self.kept_pictures.viewed.take().is_some() => {}
            Command::Stop => {
                self.stop();
                // Without a model there would be nothing at all; its own button stops that, too.
                if self.models.opening.is_some() && self.models.open.is_some() {
                    self.stop_work(Stop::Opening);
                }
            }
            Command::Keep => self.keep(ctx),
            Command::Undelete => self.undelete(),
            Command::Filmstrip => controls.show_film = !controls.show_film,
            Command::FindKept => {
                controls.show_film = true;
                self.kept_pictures.find = true;
            }
            Command::Live => controls.live = !controls.live,
            Command::Picture => controls.show = Show::Picture,
            // The keys that lead there lead back, too.
            Command::Compare => controls.show = toggled(controls.show, Show::Compare),
            Command::Variations => controls.show = toggled(controls.show, Show::Variations),
            Command::Steps => controls.show = toggled(controls.show, Show::Steps),
            Command::SideBySide => self.compare_as(CompareAs::SideBySide),
            Command::Split => self.compare_as(CompareAs::Split),
            Command::Blink => self.compare_as(CompareAs::Blink),
            Command::Difference => self.compare_as(CompareAs::Difference),
            Command::Path => {
                controls.show_path = controls.show != Show::Compare || !controls.show_path;
                controls.show = Show::Compare;
            }
            Command::Baseline => {
                controls.show_baseline = controls.show != Show::Compare || !controls.show_baseline;
                controls.show = Show::Compare;
            }
            Command::SaveComparison => self.save_comparison(ctx),
            Command::Animate | Command::SaveFrames => {
                let prompt = &self.controls.recipe.prompt;
                let asked = if command == Command::Animate {
                    self.jobs.ask_where_to_animate(prompt)
                } else {
                    self.jobs.ask_where_to_put_frames(prompt)
                };
                if !asked {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
            Command::Dice => controls.recipe.seed = random_seed(),
            // Seeds are a ring.
            Command::PreviousSeed => controls.recipe.seed = controls.recipe.seed.wrapping_sub(1),
            Command::NextSeed => controls.recipe.seed = controls.recipe.seed.wrapping_add(1),
            Command::LockSeed => controls.seed_locked = !controls.seed_locked,
            Command::FocusPrompt => self.widgets.focus = Some(Focus::Prompt),
            Command::FocusPicture => self.widgets.focus = Some(Focus::Picture),
            Command::Fit => self.pan_zoom = PanZoom::default(),
            Command::ActualSize | Command::ZoomIn | Command::ZoomOut => self.zoom(command, ctx),
            Command::SidePanel => self.toggle_side(ctx),
            Command::Settings => self.modal = Some(Modal::Settings),
            Command::Palette => self.modal = Some(Modal::Palette(Palette::default())),
            Command::ThemeSystem => controls.theme = Theme::System,
            Command::ThemeLight => controls.theme = Theme::Light,
            Command::ThemeDark => controls.theme = Theme::Dark,
            Command::Log => {
                if let Some(log) = self.diagnostics.log.clone() {
                    self.jobs.read_log(log);
                }
            }
            Command::Shortcuts => self.modal = Some(Modal::Shortcuts),
        }
        ctx.request_repaint();
    }

    /// Why a command can do nothing right now, or `None` if it can.
    pub(crate) fn why_not(&self, command: Command) -> Option<&'static str> {
        match command {
            Command::Compare
            | Command::SideBySide
            | Command::Split
            | Command::Blink
            | Command::Difference
            | Command::Path => self.models.no_comparison(),
            Command::SaveComparison => self.models.no_comparison().or(self.models.no_teacher()),
            Command::Baseline => self.models.no_comparison().or(self.models.no_baseline()),
            Command::Steps => self.models.no_teacher(),
            Command::Animate | Command::SaveFrames => self.no_way(),
            Command::Save | Command::QuickSave | Command::Copy
                if self.panes.live.picture.is_none() && self.kept_pictures.picture().is_none() =>
            {
                Some("There is no picture yet.")
            }
            Command::OpenPocket if self.is_pocket_alone() => Some("Pocket is already open."),
            Command::Log if self.diagnostics.log.is_none() => Some("There is no log: the system has no folder for it."),
            Command::Undo if !self.history.has_undo() => Some("There is nothing to undo."),
            Command::Redo if !self.history.has_redo() => Some("There is nothing to redo."),
            Command::OlderPrompt | Command::NewerPrompt => self.no_recall(command == Command::OlderPrompt),
            Command::ForgetPrompts if self.prompts().next().is_none() => Some("There are no earlier prompts."),
            Command::CompleteWord => self.no_completion(),
            Command::Examples => self.no_examples(),
            Command::Words => self.no_words(),
            Command::Keep => self.why_not_keep(),
            Command::Undelete if self.kept_pictures.deleted() == 0 => {
                Some("Nothing was deleted in the last half minute.")
            }
            Command::FindKept if self.kept_pictures.shelf.is_empty() => Some("Nothing is kept yet."),
            Command::Draw if self.models.open.is_none() => Some("No model is open."),
            Command::Stop if self.kept_pictures.viewed.is_none() && !self.is_busy() => Some("Nothing is being drawn."),
            _ => None,
        }
    }

    /// Whether a command that is a switch, or one of several ways, is on; `None` for others.
    pub(crate) fn is_on(&self, ctx: &egui::Context, command: Command) -> Option<bool> {
        let controls = &self.controls;
        let compares_as = |way| self.comparing() && controls.compare_as == way;
        Some(match command {
            Command::Live => controls.live,
            Command::LockSeed => controls.seed_locked,
            Command::Picture => controls.show == Show::Picture,
            Command::Compare => self.comparing(),
            Command::Variations => controls.show == Show::Variations,
            Command::Steps => controls.show == Show::Steps && self.models.no_teacher().is_none(),
            Command::SideBySide => compares_as(CompareAs::SideBySide),
            Command::Split => compares_as(CompareAs::Split),
            Command::Blink => compares_as(CompareAs::Blink),
            Command::Difference => compares_as(CompareAs::Difference),
            Command::Path => self.comparing() && controls.show_path,
            Command::Baseline => self.beside(PaneId::Baseline),
            Command::SidePanel => self.side_is_shown(ctx),
            Command::Words => controls.show_words && self.words().is_some(),
            Command::Filmstrip => controls.show_film,
            Command::ThemeSystem => controls.theme == Theme::System,
            Command::ThemeLight => controls.theme == Theme::Light,
            Command::ThemeDark => controls.theme == Theme::Dark,
            _ => return None,
        })
    }

    fn save_comparison(&mut self, ctx: &egui::Context) {
        match self.comparison_image(ctx) {
            Err(reason) => self.notify(ctx, reason.to_owned()),
            Ok(poster) => {
                let prompt = poster.prompt().to_owned();
                if !self.jobs.ask_where_to_make(&prompt, self.controls.metadata, move || poster.compose()) {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
        }
    }

    fn is_pocket_alone(&self) -> bool {
        let opens = self.models.open.is_some() || self.models.opening.is_some();
        opens && *self.models.request() == self.models.request().pocket()
    }

    /// Asks for the folder that quick save writes to.
    pub(crate) fn ask_output(&mut self, ctx: &egui::Context) {
        if !self.jobs.ask_output() {
            self.notify(ctx, DIALOG_OPEN.to_owned());
        }
    }

    /// Sends quick saves to a folder; `None` is the pictures folder.
    pub(crate) fn set_output(&mut self, folder: Option<PathBuf>) {
        self.controls.output = folder;
        self.jobs.set_output(self.output_folder().to_owned());
    }

    /// Takes the pattern that was typed, if it is one.
    pub(crate) fn take_pattern(&mut self) {
        if let Ok(pattern) = Pattern::parse(&self.widgets.pattern_typed) {
            self.controls.pattern = self.widgets.pattern_typed.trim().to_owned();
            self.jobs.set_pattern(pattern);
        }
    }

    /// Shows a file or folder in another program.
    pub(crate) fn show_outside(&self, path: PathBuf) {
        self.jobs.show_outside(path);
    }

    /// Takes some pages of the program's settings back to their defaults.
    pub(crate) fn reset_settings(&mut self, ctx: &egui::Context, pages: &[Page]) {
        for page in pages {
            self.controls = self.controls.with_defaults(*page);
        }
        self.set_output(self.controls.output.clone());
        self.widgets.pattern_typed.clone_from(&self.controls.pattern);
        self.take_pattern();
        ctx.set_zoom_factor(self.controls.scale);
        let default = OpenRequest::default();
        let wanted =
            OpenRequest { device: default.device, precision: default.precision, ..self.models.request().clone() };
        if pages.contains(&Page::Drawing) && wanted != *self.models.request() {
            self.open(wanted);
        }
    }

    /// Undoes or redoes one step.
    fn step_back(&mut self, undo: bool) {
        let found = if undo { self.history.undo() } else { self.history.redo() };
        if let Some(recipe) = found {
            if recipe.prompt != self.controls.recipe.prompt {
                self.set_prompt(recipe.prompt.clone());
            }
            self.controls.recipe = recipe;
        }
    }

    fn compare_as(&mut self, way: CompareAs) {
        self.controls.compare_as = way;
        self.controls.show = Show::Compare;
    }

    /// Whether the panel of what the model knows is shown.
    pub(crate) fn words_are_shown(&self) -> bool {
        self.controls.show_words && self.words().is_some()
    }

    /// Whether the panel at the side is shown: a narrow window folds it until it is asked for.
    pub(crate) fn side_is_shown(&self, ctx: &egui::Context) -> bool {
        // There is no room for the words as well.
        if is_narrow(ctx) { self.widgets.side_unfolded && !self.words_are_shown() } else { self.controls.show_side }
    }

    fn toggle_side(&mut self, ctx: &egui::Context) {
        if is_narrow(ctx) {
            self.widgets.side_unfolded = !self.side_is_shown(ctx);
            if self.widgets.side_unfolded {
                self.controls.show_words = false;
            }
        } else {
            self.controls.show_side = !self.controls.show_side;
        }
    }

    fn export(&mut self, command: Command, ctx: &egui::Context) {
        let pane = self.kept_pictures.viewed.as_ref().map_or(self.pane(self.chosen_pane()), |viewed| &viewed.pane);
        let Some(picture) = pane.picture.clone() else {
            self.notify(ctx, "There is no picture yet".to_owned());
            return;
        };
        if !pane.finished {
            self.notify(ctx, self.why_unfinished(self.chosen_pane()).to_owned());
            return;
        }
        match command {
            Command::Save => {
                if !self.jobs.ask_where(picture, self.controls.metadata) {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
            Command::QuickSave => self.deliver(picture, Destination::SaveQuick),
            _ => self.deliver(picture, Destination::Copy),
        }
    }

    /// Why a pane's picture is not its last step's.
    pub(super) fn why_unfinished(&self, pane_id: PaneId) -> &'static str {
        if self.pane(pane_id).run.is_some() || self.waits(pane_id) {
            "The picture is not finished: wait for its last step."
        } else {
            "The picture was stopped before its last step: draw it again (Ctrl+Enter)."
        }
    }

    fn zoom(&mut self, command: Command, ctx: &egui::Context) {
        let Some((pane, size)) = self.pane(self.side_by_side.chosen).place.or(self.panes.live.place) else { return };
        match command {
            Command::ActualSize => self.pan_zoom.show_pixels_at(pane, size, 1.0 / ctx.pixels_per_point()),
            Command::ZoomIn => self.pan_zoom.zoom_about(pane, size, pane.center(), 1.25),
            _ => self.pan_zoom.zoom_about(pane, size, pane.center(), 0.8),
        }
    }

    /// Takes restored settings over, after a question if that would replace another prompt; `from` is what they are of.
    pub(super) fn offer(&mut self, ctx: &egui::Context, from: String, restored: Restored) {
        let mine = &self.controls.recipe.prompt;
        let replaces = !mine.trim().is_empty() && *mine != restored.settings.prompt;
        if !replaces && restored.remarks.is_empty() {
            self.restore(ctx, restored);
        } else {
            self.modal = Some(Modal::Question(Question { file: from, restored }));
        }
    }

    /// Takes the restored settings over.
    pub(crate) fn restore(&mut self, ctx: &egui::Context, restored: Restored) {
        let settings = restored.settings;
        // Otherwise the kept picture would hide the restored one.
        self.kept_pictures.viewed = None;
        // A file decoded in full says nothing against a faster decoder on screen.
        if settings.decoder != self.file_decoder() {
            self.controls.recipe.decoder = settings.decoder;
        }
        let role = settings.role;
        self.controls.recipe.take_over(settings);
        match role {
            Role::Student => {}
            Role::Teacher => self.controls.show = Show::Compare,
            Role::Baseline => (self.controls.show, self.controls.show_baseline) = (Show::Compare, true),
        }
        let open = self.models.open.as_ref().and_then(|model| model.card(role));
        let same = open.is_some_and(|card| Some(&card.name) == restored.model.as_ref());
        self.notify(
            ctx,
            match restored.model {
                Some(name) if !same => format!("Settings restored; the picture was drawn by {name}"),
                _ => "Settings restored".to_owned(),
            },
        );
        // What was restored is shown even if live drawing is off.
        self.draw_now(ctx);
    }

    /// Opens what is open with another textual inversion.
    pub(super) fn add_embedding(&mut self, ctx: &egui::Context, file: PathBuf) {
        let mut request = self.models.request().clone();
        if request.embeddings.contains(&file) {
            self.notify(ctx, format!("{} is there already", file.display()));
            return;
        }
        request.embeddings.push(file);
        self.open(request);
    }

    /// Adds a LoRA to the stack, unless it is there.
    pub(super) fn add_lora(&mut self, ctx: &egui::Context, file: PathBuf) {
        let lora = StackedLora::new(file);
        if lora_stack::holds(&self.controls.recipe.loras, &lora.file) {
            self.notify(ctx, format!("{} is there already", lora.name()));
            return;
        }
        self.notify(ctx, format!("{} was added", lora.name()));
        self.controls.recipe.loras.push(lora);
        self.controls.show_side = true;
    }

    pub(super) fn open(&mut self, request: OpenRequest) {
        let id = self.engine.new_id();
        self.write_undecoded();
        self.stop();
        let answered = sources(&request).find_map(|source| self.controls.predictions.get(&place(source)).copied());
        let request = OpenRequest { prediction: request.prediction.or(answered), ..request };
        self.models.opening = Some(Opening { id, request: request.clone(), instead: false, progress: None });
        self.engine.send(Request::Open(id, OpenRequest { lora_folders: crate::folders::loras(), ..request }));
    }

    /// Opens Pocket because something else did not open; what was said of that stays.
    pub(super) fn open_instead(&mut self, pocket: OpenRequest) {
        self.open(pocket);
        if let Some(opening) = &mut self.models.opening {
            opening.instead = true;
        }
    }

    /// Opens a model whose U-Net predicts this, and remembers it.
    pub(super) fn answer_recipe(&mut self, prediction: Prediction) {
        let Some(Modal::Recipe(RecipeQuestion { request, .. })) = self.modal.take() else { return };
        for source in sources(&request).filter(|source| **source != Source::Pocket) {
            self.controls.predictions.entry(place(source)).or_insert(prediction);
        }
        self.open(OpenRequest { prediction: Some(prediction), ..request });
    }

    /// The request for a folder that was chosen; everything but the models stays as the program was started.
    pub(super) fn open_folder(&mut self, folder: PathBuf, role: Role) {
        self.open_model(Source::Folder(folder), role);
    }

    /// The same for a model of any form.
    pub(super) fn open_model(&mut self, folder: Source, role: Role) {
        let has_student = self.models.open.as_ref().is_some_and(|model| model.student.is_some());
        let opened = self.models.opened.clone();
        let request = match role {
            Role::Baseline => OpenRequest { baseline: Some(folder), ..opened },
            Role::Teacher if has_student => OpenRequest { teacher: Some(folder), ..opened },
            _ => OpenRequest { model: folder, teacher: None, as_teacher: role == Role::Teacher, ..opened },
        };
        self.open(request);
    }
}

/// The models of a request, the model first.
fn sources(request: &OpenRequest) -> impl Iterator<Item = &Source> {
    [Some(&request.model), request.teacher.as_ref(), request.baseline.as_ref()].into_iter().flatten()
}

/// Under which name answers about a model are remembered.
fn place(source: &Source) -> String {
    match source {
        Source::Folder(path) | Source::File(path) => path.display().to_string(),
        Source::Pocket => String::new(),
    }
}

/// Whether the window is too narrow for pictures and the panel at the side.
pub(crate) fn is_narrow(ctx: &egui::Context) -> bool {
    ctx.content_rect().width() < tokens().spacing.narrow
}

fn toggled(now: Show, other: Show) -> Show {
    if now == other { Show::Picture } else { other }
}

/// One of 2³² seeds: no others give other noise. The standard library's hasher keys are the operating system's random
/// numbers.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    u64::from(RandomState::new().hash_one(0_u8) as u32)
}
