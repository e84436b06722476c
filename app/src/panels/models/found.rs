//! The models that a scan has found on this computer, with a search.

use egui::{ScrollArea, TextEdit, Ui};
use instaflow_engine::model_library::FoundModel;
use instaflow_engine::protocol::Source;
use instaflow_hub::readable_bytes;

use crate::state::{Action, ModelAction, View, uses_of};

/// Most models that are shown at once; a search finds the others.
const MOST: usize = 200;

/// The list.
pub(super) fn show(view: &mut View<'_>, ui: &mut Ui, height: f32) {
    let app = view.app;
    let found = &app.model_library.found;
    let mut search = found.search.clone();
    ui.horizontal(|ui| {
        let field = TextEdit::singleline(&mut search).hint_text("Search").desired_width(240.0);
        if ui.add(field).accessible_name("Search models").changed() {
            view.act(Action::Models(ModelAction::Search(search.clone())));
        }
        if ui.button("Add folder…").on_hover_text("Look into one more folder, now and from now on.").clicked() {
            view.act(Action::Models(ModelAction::AddFolder));
        }
        if ui.button("Look again").clicked() {
            view.act(Action::Models(ModelAction::Rescan));
        }
    });
    if let Some(carry) = &app.models.request().carry {
        let (Source::Folder(path) | Source::File(path)) = &carry.finetune else { return };
        ui.horizontal(|ui| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            ui.label(format!("Carried over: {:.2} of {name}", carry.weight));
            if ui.button("Take it out").clicked() {
                view.act(Action::Models(ModelAction::DropCarry));
            }
        });
    }
    super::small(
        ui,
        match found.progress {
            Some((_, 0)) => "Looking into the folders of other programs…".to_owned(),
            Some((done, total)) => format!("Reading headers: {done} of {total}"),
            None => match (found.shown.len(), found.scan.models.len()) {
                (_, 0) => "No models were found. Add the folder that has yours; nothing in it is changed.".to_owned(),
                (shown, all) if shown == all => {
                    format!("{} in {}", count(all, "model"), count(found.scan.places.len(), "folder"))
                }
                (shown, all) => format!("{shown} of {}", count(all, "model")),
            },
        },
    );
    ScrollArea::vertical().max_height(height - 30.0).auto_shrink([false, false]).show(ui, |ui| {
        for warning in &found.scan.warnings {
            super::fault(ui, &format!("{warning}."));
        }
        for index in found.shown.iter().take(MOST) {
            if let Some(model) = found.scan.models.get(*index) {
                row(view, ui, model);
                ui.separator();
            }
        }
        if found.shown.len() > MOST {
            super::small(ui, format!("{} more: search for them.", found.shown.len() - MOST));
        }
    });
}

/// A number and what it is of.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn row(view: &mut View<'_>, ui: &mut Ui, model: &FoundModel) {
    let mut action = None;
    super::entry(
        ui,
        |ui| {
            let what = format!("{} for {}", model.kind.name(), model.base.name());
            super::title(ui, &model.name, &format!("{what}   {}", readable_bytes(model.bytes)));
            super::small(ui, format!("{}: {}", model.program.name(), model.path.display()));
            if !model.trigger_words.is_empty() {
                super::small(ui, format!("Trigger words: {}", model.trigger_words.join(", ")));
            }
            if let Some(why) = &model.unusable {
                super::fault(ui, &format!("Cannot be used: it {why}."));
            }
        },
        |ui| {
            for r#use in uses_of(model) {
                let button = ui.button(r#use.label());
                if button.accessible_name(format!("{} {}", r#use.label(), model.name)).clicked() {
                    action = Some(ModelAction::UsePath(model.path.clone(), r#use));
                }
            }
        },
    );
    if let Some(action) = action {
        view.act(Action::Models(action));
    }
}
