//! The window without a display, on the real engine and the small fixture model.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use instaflow::state::{Answer, App, Ask, Dialog, ModelSources, Options, PaneId, Platform, Reveal};
use instaflow_engine::model_library;
use instaflow_engine::protocol::{OpenRequest, Picture, Source};
use instaflow_engine::worker::Engine;
use instaflow_hub::{Environment, Hub};
use instaflow_test_support::{fixture, skip_or_fail};
use tempfile::TempDir;

/// How long the engine may take for anything a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

thread_local! {
    /// What the system is said to look like.
    static THEME: Cell<egui::Theme> = const { Cell::new(egui::Theme::Dark) };
}

/// Runs a test whose windows find the system in this theme.
pub fn in_theme(theme: egui::Theme, test: impl FnOnce()) {
    THEME.set(theme);
    test();
}

/// The theme that [`in_theme`] was told.
pub fn theme() -> egui::Theme {
    THEME.get()
}

thread_local! {
    /// Where the hub is for the windows of this thread; nothing listens at the first one.
    static HUB: RefCell<String> = RefCell::new("http://127.0.0.1:9".to_owned());
}

/// The windows of this thread find their hub here.
pub fn hub_at(endpoint: &str) {
    HUB.set(endpoint.to_owned());
}

/// A hub, other programs' models in `webui`, and a folder for settings, all in the test's folder.
fn models(folder: &TempDir) -> ModelSources {
    let (folder, endpoint) = (folder.path().to_owned(), HUB.with_borrow(Clone::clone));
    let (settings, webui) = (folder.join("settings"), folder.join("webui"));
    let hub = {
        let settings = settings.clone();
        move || {
            let variable = |name: &str| (name == "HF_ENDPOINT").then(|| endpoint.clone().into());
            Hub::new(Environment::new(&variable, Some(folder.clone())), Some(&settings))
                .map_err(|error| error.to_string())
        }
    };
    let places = move || if webui.is_dir() { model_library::places_in(&webui) } else { (Vec::new(), Vec::new()) };
    ModelSources { hub: Arc::new(hub), places: Arc::new(places), settings: Some(settings) }
}

/// Makes a test of each function, once in the light and once in the dark theme.
macro_rules! in_both_themes {
    ($($test:ident),+ $(,)?) => {
        mod light {
            $(#[test] fn $test() { $crate::common::window::in_theme(egui::Theme::Light, super::$test); })+
        }
        mod dark {
            $(#[test] fn $test() { $crate::common::window::in_theme(egui::Theme::Dark, super::$test); })+
        }
    };
}
pub(crate) use in_both_themes;

/// Whether there is no graphics adapter to paint a window with, not even one in software. Says so, and fails in CI.
pub fn lacks_adapter() -> bool {
    // It panics if there is none.
    let lacks = std::panic::catch_unwind(egui_kittest::wgpu::WgpuTestRenderer::new).is_err();
    if lacks {
        skip_or_fail("a graphics adapter (Debian: mesa-vulkan-drivers)");
    }
    lacks
}

/// A window, the answers its dialogs will get, and a folder of its own.
pub struct Window {
    harness: Harness<'static, App>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Ask>>>,
    revealed: Arc<Mutex<Vec<PathBuf>>>,
    folder: TempDir,
}

/// The folder of the fixture model.
pub fn model() -> PathBuf {
    fixture("model")
}

/// The fixture model as student.
pub fn student() -> OpenRequest {
    OpenRequest { model: Source::Folder(model()), ..OpenRequest::default() }
}

/// The fixture model as student and as teacher.
pub fn pair() -> OpenRequest {
    OpenRequest { teacher: Some(Source::Folder(model())), ..student() }
}

impl Window {
    /// A window that opens `request`, for the first time.
    pub fn new(request: OpenRequest) -> Self {
        Self::in_folder(request, tempfile::tempdir().expect("a folder for the test"))
    }

    /// Closes the window and opens it again, without a word of what to open.
    pub fn reopen(self) -> Self {
        let mut window = Self::in_folder(OpenRequest::default(), self.close());
        window.settle();
        window
    }

    /// Closes the window. What it writes then is written when this returns.
    pub fn close(self) -> TempDir {
        let Self { harness, folder, .. } = self;
        drop(harness);
        folder
    }

    /// A window that opens `request` and remembers what was in this folder.
    pub fn in_folder(request: OpenRequest, folder: TempDir) -> Self {
        Self::on(Engine::spawn(|| ()), request, folder)
    }

    /// A window on an engine of the test's own.
    pub fn on(engine: Engine, request: OpenRequest, folder: TempDir) -> Self {
        Self::begun(engine, Options { open: request, prompt: None }, folder)
    }

    /// A window that begins with these options.
    pub fn begun(engine: Engine, options: Options, folder: TempDir) -> Self {
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let asked: Arc<Mutex<Vec<Ask>>> = Arc::default();
        let dialog: Dialog = {
            let (answers, asked) = (answers.clone(), asked.clone());
            Arc::new(move |ask| {
                asked.lock().expect("no test panics here").push(ask.clone());
                answers.lock().expect("no test panics here").pop_front().unwrap_or(Answer::Cancelled)
            })
        };
        let revealed: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let reveal: Reveal = {
            let revealed = revealed.clone();
            Arc::new(move |path| {
                revealed.lock().expect("no test panics here").push(path.to_owned());
                Ok(())
            })
        };
        let platform = Platform {
            library: Some(folder.path().join("library")),
            reveal,
            models: models(&folder),
            dialog,
            output: folder.path().join("output"),
            state: Some(folder.path().join("window.json")),
            wake: Arc::new(|| ()),
        };
        let app = App::new(engine, options, platform);
        let harness = Harness::builder().with_size([1180.0, 760.0]).with_max_steps(400).build_ui_state(
            |ui, app: &mut App| {
                app.logic(ui.ctx());
                instaflow::window::show(app, ui);
            },
            app,
        );
        harness.ctx.options_mut(|options| options.fallback_theme = THEME.get());
        Self { harness, answers, asked, revealed, folder }
    }

    /// A window whose model is open and whose first picture is drawn.
    pub fn ready(request: OpenRequest) -> Self {
        let mut window = Self::new(request);
        window.settle();
        assert_eq!(window.errors(), [""; 0], "the fixture opens");
        assert!(window.state().picture(PaneId::Live).is_some(), "the first picture is drawn unasked");
        window
    }

    /// Frames until `done`.
    pub fn wait(&mut self, what: &str, done: impl Fn(&App) -> bool) {
        self.until(what, |window| done(window.state()));
        // Also checks that every control has an accessible name.
        self.run();
    }

    /// Frames until something on screen has a name with these words in it.
    pub fn see(&mut self, words: &str) {
        self.until(words, |window| window.query_all_by_label_contains(words).next().is_some());
    }

    /// Frames until `done` says so of the window.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}; errors: {:?}", self.errors());
            std::thread::sleep(Duration::from_millis(2));
            self.step();
        }
    }

    /// Frames until nothing is loaded, drawn or waited for.
    pub fn settle(&mut self) {
        self.run();
        self.wait("the engine rests", |app| !app.is_busy());
    }

    /// Types into the prompt field, which has the focus from the start.
    pub fn type_text(&mut self, text: &str) {
        self.event(egui::Event::Text(text.to_owned()));
        self.run();
    }

    /// Presses keys.
    pub fn keys(&mut self, modifiers: egui::Modifiers, key: egui::Key) {
        self.key_press_modifiers(modifiers, key);
        self.run();
    }

    /// What stands in the prompt field.
    pub fn prompt(&self) -> &str {
        &self.state().controls().recipe.prompt
    }

    /// Presses a button by its name.
    pub fn press(&mut self, label: &str) {
        self.get_by_label(label).click();
        self.run();
    }

    /// What the next dialog answers.
    pub fn will_answer(&self, answer: Answer) {
        self.answers.lock().expect("no test panics here").push_back(answer);
    }

    /// What the dialogs were asked.
    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().expect("no test panics here").clone()
    }

    /// What was shown in the file manager.
    pub fn revealed(&self) -> Vec<PathBuf> {
        self.revealed.lock().expect("no test panics here").clone()
    }

    /// Drops a file or folder on the window.
    pub fn drop_file(&mut self, path: &Path) {
        self.input_mut().dropped_files.push(Arc::new(Dropped(path.to_owned())));
        self.run();
    }

    /// A pane's picture.
    pub fn picture(&self, pane: PaneId) -> &Picture {
        self.state().picture(pane).expect("a picture")
    }

    /// The pixels of the window.
    pub fn shot(&mut self) -> Vec<u8> {
        self.render().expect("a graphics adapter, if only in software").into_raw()
    }

    /// The messages on screen.
    pub fn errors(&self) -> Vec<String> {
        self.state().errors().map(str::to_owned).collect()
    }

    /// The test's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Deref for Window {
    type Target = Harness<'static, App>;

    fn deref(&self) -> &Self::Target {
        &self.harness
    }
}

impl DerefMut for Window {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.harness
    }
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}
