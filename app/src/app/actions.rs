//! What each [`Command`] does, and what is done with what dialogs and dropped files bring.

use std::path::PathBuf;

use instaflow_engine::png::Restored;
use instaflow_engine::protocol::{Lane, OpenRequest, Request, Role, Source};

use super::{App, Command, Focus, Opening, View};

/// Said where a dialog is asked for while one is open.
const DIALOG_OPEN: &str = "A file dialog is open already";

impl App {
    pub(super) fn perform(&mut self, command: Command, ctx: &egui::Context) {
        let controls = &mut self.controls;
        match command {
            Command::Open | Command::OpenTeacher => {
                if !self.jobs.ask_folder(command == Command::OpenTeacher) {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
            Command::Save | Command::QuickSave | Command::Copy => self.export(command, ctx),
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Command::Draw => {
                if !controls.seed_locked {
                    controls.seed = random_seed();
                }
                self.draw_now(ctx);
            }
            Command::Stop => self.stop(),
            Command::Live => controls.live = !controls.live,
            Command::Compare => match self.no_comparison() {
                None => self.controls.compare = !self.controls.compare,
                Some(reason) => self.notify(ctx, reason.to_owned()),
            },
            Command::Dice => controls.seed = random_seed(),
            Command::LockSeed => controls.seed_locked = !controls.seed_locked,
            Command::FocusPrompt => self.focus = Some(Focus::Prompt),
            Command::FocusPicture => self.focus = Some(Focus::Picture),
            Command::Fit => self.view = View::default(),
            Command::ActualSize | Command::ZoomIn | Command::ZoomOut => self.zoom(command, ctx),
            Command::Settings => controls.show_settings = !controls.show_settings,
            Command::ThemeSystem => ctx.set_theme(egui::ThemePreference::System),
            Command::ThemeLight => ctx.set_theme(egui::ThemePreference::Light),
            Command::ThemeDark => ctx.set_theme(egui::ThemePreference::Dark),
            Command::Shortcuts => self.show_shortcuts = !self.show_shortcuts,
        }
        ctx.request_repaint();
    }

    fn export(&mut self, command: Command, ctx: &egui::Context) {
        let lane = if self.comparing() { self.chosen } else { Lane::Live };
        let pane = self.pane(lane);
        let Some(picture) = pane.picture.clone() else {
            self.notify(ctx, "There is no picture yet".to_owned());
            return;
        };
        if !pane.finished {
            self.notify(ctx, "The picture is still being drawn: wait for its last step".to_owned());
            return;
        }
        match command {
            Command::Save => {
                if !self.jobs.ask_where(picture, self.controls.metadata) {
                    self.notify(ctx, DIALOG_OPEN.to_owned());
                }
            }
            Command::QuickSave => self.jobs.save_quick(picture, self.controls.metadata),
            _ => self.jobs.copy(picture),
        }
    }

    fn zoom(&mut self, command: Command, ctx: &egui::Context) {
        let Some((pane, size)) = self.pane(self.chosen).place.or(self.live.place) else { return };
        match command {
            Command::ActualSize => self.view.show_pixels_at(pane, size, 1.0 / ctx.pixels_per_point()),
            Command::ZoomIn => self.view.zoom_about(pane, size, pane.center(), 1.25),
            _ => self.view.zoom_about(pane, size, pane.center(), 0.8),
        }
    }

    /// Takes the restored settings over.
    pub(crate) fn restore(&mut self, ctx: &egui::Context, restored: Restored) {
        let settings = restored.settings;
        self.controls.prompt = settings.prompt;
        self.controls.seed = settings.seed;
        self.controls.size = settings.size;
        self.controls.decoder = settings.decoder;
        if settings.role == Role::Teacher {
            self.controls.negative_prompt = settings.negative_prompt;
            self.controls.steps = settings.steps.clamp(1, 50);
            self.controls.guidance = settings.guidance;
            self.controls.compare = true;
        }
        let open = self.model.as_ref().and_then(|model| match settings.role {
            Role::Student => model.student.as_ref(),
            Role::Teacher => model.teacher.as_ref(),
        });
        let same = open.is_some_and(|card| Some(&card.name) == restored.model.as_ref());
        self.notify(
            ctx,
            match restored.model {
                Some(name) if !same => format!("Settings restored; the picture was drawn by {name}"),
                _ => "Settings restored".to_owned(),
            },
        );
        // What was restored is shown even where live drawing is off.
        self.draw_now(ctx);
    }

    pub(super) fn open(&mut self, request: OpenRequest) {
        let id = self.new_id();
        self.stop();
        self.opening = Some(Opening { id, request: request.clone(), done: 0, total: 0, what: String::new() });
        self.engine.send(Request::Open(id, request));
    }

    /// The request for a folder that was chosen; everything but the models stays as the program was started.
    pub(super) fn open_folder(&mut self, folder: PathBuf, as_teacher: bool) {
        let folder = Source::Folder(folder);
        let has_student = self.model.as_ref().is_some_and(|model| model.student.is_some());
        let request = match (as_teacher, has_student) {
            (true, true) => OpenRequest { teacher: Some(folder), ..self.opened.clone() },
            (alone, _) => OpenRequest { model: folder, teacher: None, as_teacher: alone, ..self.opened.clone() },
        };
        self.open(request);
    }
}

/// Any of the 2³² seeds; the standard library's hasher keys are the operating system's random numbers.
fn random_seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) as u32
}
