//! The models of the catalogue: what each is good for, its size and licence, and how much of it is here.

use egui::{Key, ProgressBar, ScrollArea, TextEdit, Ui};
use instaflow_hub::{State, readable_bytes};

use crate::state::{Action, ModelAction, Use, View};
use crate::theme::palette;

/// The list.
pub(super) fn show(view: &mut View<'_>, ui: &mut Ui, height: f32) {
    let app = view.app;
    let library = &app.model_library;
    match &library.hub {
        Some(Err(why)) => return super::fault(ui, why),
        None => return,
        Some(Ok(hub)) => {
            let offline =
                if hub.environment().offline { " HF_HUB_OFFLINE is set, so nothing is downloaded." } else { "" };
            let cache = hub.cache().folder().display();
            super::small(ui, format!("Downloads go to {cache}, which other programs share.{offline}"));
        }
    }
    ScrollArea::vertical().max_height(height).auto_shrink([false, false]).show(ui, |ui| {
        for index in 0..library.rows.len() {
            row(view, ui, index);
            ui.separator();
        }
        if cfg!(feature = "hub") {
            another(view, ui);
        }
    });
}

fn row(view: &mut View<'_>, ui: &mut Ui, index: usize) {
    let app = view.app;
    let library = &app.model_library;
    let row = &library.rows[index];
    let (id, name) = (&row.entry.id, &row.entry.name);
    let download = library.downloads.get(id);
    let mut actions = Vec::new();
    super::entry(
        ui,
        |ui| {
            let size = match &row.state {
                State::Here { bytes, .. } => format!("here, {}", readable_bytes(*bytes)),
                State::Partial { bytes } => {
                    let all = row.entry.bytes.map(|all| format!(" of {}", readable_bytes(all))).unwrap_or_default();
                    format!("partly here, {}{all}", readable_bytes(*bytes))
                }
                State::Absent => row.entry.bytes.map(readable_bytes).unwrap_or_default(),
            };
            super::title(ui, name, &[id.as_str(), &size].join("   "));
            let mut good_for = row.entry.good_for.clone();
            if let Some(first) = good_for.get(..1) {
                good_for.replace_range(..1, &first.to_uppercase());
            }
            super::small(ui, good_for);
            if !row.licences.is_empty() {
                super::small(ui, format!("Licence: {}", row.licences));
            }
            if let Some(fault) = library.faults.get(id) {
                super::fault(ui, fault);
            }
            if let Some(download) = download {
                if let Some((done, total)) = download.progress {
                    let bar = ProgressBar::new(done as f32 / total.max(1) as f32).fill(palette(ui).accent);
                    let bar = ui.add(bar.desired_height(6.0));
                    let name = format!("Download of {name}");
                    bar.widget_info(|| {
                        egui::WidgetInfo::labeled(egui::accesskit::Role::ProgressIndicator, true, &name)
                    });
                    let so_far = format!("{} of {}", readable_bytes(done), readable_bytes(total));
                    super::small(ui, [so_far.as_str(), &download.words].join(", "));
                } else {
                    super::small(ui, format!("{}…", download.words));
                }
            }
        },
        |ui| match (&row.state, download) {
            (_, Some(_)) => {
                if ui.button("Stop").accessible_name(format!("Stop {id}")).clicked() {
                    actions.push(ModelAction::Stop(id.clone()));
                }
            }
            (State::Here { .. }, None) => {
                for r#use in Use::of_entry(&row.entry) {
                    if ui.button(r#use.label()).accessible_name(format!("{} {id}", r#use.label())).clicked() {
                        actions.push(ModelAction::UseEntry(id.clone(), r#use));
                    }
                }
                remove(ui, id, &mut actions);
            }
            (state, None) => {
                let words = if matches!(state, State::Partial { .. }) { "Go on" } else { "Download" };
                if cfg!(feature = "hub") && ui.button(words).accessible_name(format!("{words} {id}")).clicked() {
                    actions.push(ModelAction::Download(id.clone()));
                }
                if matches!(state, State::Partial { .. }) {
                    remove(ui, id, &mut actions);
                }
            }
        },
    );
    for action in actions {
        view.act(Action::Models(action));
    }
}

fn remove(ui: &mut Ui, id: &str, actions: &mut Vec<ModelAction>) {
    if ui.button("Remove…").accessible_name(format!("Remove {id}")).clicked() {
        actions.push(ModelAction::AskRemoval(id.to_owned()));
    }
}

/// A field for any model of the hub.
fn another(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let mut typed = app.model_library.typed.clone();
    let (mut entered, mut pressed) = (false, false);
    super::entry(
        ui,
        |ui| {
            super::title(ui, "Another model of the hub", "");
            let field = ui.add(TextEdit::singleline(&mut typed).hint_text("ORG/NAME").desired_width(300.0));
            let field = field.accessible_name("Name of a model on the hub");
            entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            if let Some(fault) = app.model_library.faults.get("") {
                super::fault(ui, fault);
            }
        },
        |ui| {
            let button = ui.add_enabled(!app.model_library.typed.trim().is_empty(), egui::Button::new("Download"));
            pressed = button.accessible_name("Download the named model").clicked();
        },
    );
    if (entered || pressed) && !typed.trim().is_empty() {
        view.act(Action::Models(ModelAction::Download(typed)));
    } else if typed != app.model_library.typed {
        view.act(Action::Models(ModelAction::Type(typed)));
    }
}
