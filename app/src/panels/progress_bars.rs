//! What is under way, with its progress, the time left and a button to stop it: a line in the status bar, and a card or a
//! thin bar on the pictures that wait for it. [`App::work`] says what there is to show.

use std::time::Duration;

use egui::{Align2, Frame, Label, Margin, ProgressBar, Rect, RichText, Ui, UiBuilder, WidgetInfo, vec2};

use crate::state::{Action, App, PaneId, Stop, View};
use crate::theme::{palette, tokens};

/// Between two frames while something is under way that sends no events of its own.
const TICK: Duration = Duration::from_millis(100);

/// The line of the status bar, from its right end: the first thing under way, and how many there are beside it.
/// Returns whether there was any.
pub fn line(view: &mut View<'_>, ui: &mut Ui) -> bool {
    let app = view.app;
    let work = app.work();
    let Some(first) = work.first() else { return false };
    ui.ctx().request_repaint_after(TICK);
    let mut stopped = None;
    if let Some(stop) = first.stop {
        stopped = stop_button(ui, stop).then_some(stop);
    }
    if let Some(part) = first.part {
        bar(ui, part, 120.0);
    }
    if work.len() > 1 {
        let others = ui.label(format!("and {} more", work.len() - 1));
        others.on_hover_ui(|ui| work[1..].iter().for_each(|other| drop(ui.label(other.sentence()))));
    }
    ui.label(first.sentence());
    if let Some(stop) = stopped {
        view.act(Action::Stop(stop));
    }
    true
}

/// While a model is opened: a card on the pictures, which wait for it.
pub fn card(view: &mut View<'_>, ui: &mut Ui, area: Rect) {
    let app = view.app;
    let Some(work) = app.work().into_iter().find(|work| work.stop == Some(Stop::Opening)) else { return };
    let size = vec2(340.0_f32.min(area.width() - 24.0), 84.0);
    let centre = if app.panes.live.picture.is_some() { Align2::CENTER_BOTTOM } else { Align2::CENTER_CENTER };
    let place = centre.align_size_within_rect(size, area.shrink(12.0));
    let mut stopped = false;
    ui.scope_builder(UiBuilder::new().max_rect(place).id_salt("opening"), |ui| {
        let border = egui::Stroke::new(1.0, palette(ui).border);
        let frame = Frame::new().fill(palette(ui).panel).stroke(border).corner_radius(tokens().radius.control());
        frame.inner_margin(Margin::symmetric(12, 10)).show(ui, |ui| {
            ui.set_width(size.x - 24.0);
            ui.horizontal(|ui| {
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    stopped = stop_button(ui, Stop::Opening);
                    ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                        ui.add(Label::new(&work.what).truncate());
                    });
                });
            });
            bar(ui, work.part.unwrap_or(0.0), size.x - 24.0);
            ui.label(RichText::new(work.progress()).small().color(palette(ui).muted));
        });
    });
    if stopped {
        view.act(Action::Stop(Stop::Opening));
    }
}

/// A thin bar at the foot of a pane's picture while a run of several steps, or a long one, is under way in it.
pub fn foot(app: &App, ui: &Ui, rect: Rect, pane_id: PaneId) {
    let Some(part) = app.pane_work(pane_id).and_then(|work| work.part) else { return };
    let whole = Rect::from_min_max(rect.left_bottom() - vec2(0.0, 3.0), rect.right_bottom());
    let done = Rect::from_min_size(whole.min, vec2(whole.width() * part.clamp(0.0, 1.0), whole.height()));
    ui.painter().rect_filled(whole, 1.5, palette(ui).label.gamma_multiply(0.5));
    ui.painter().rect_filled(done, 1.5, palette(ui).accent);
}

fn stop_button(ui: &mut Ui, stop: Stop) -> bool {
    let button = egui::Button::new(RichText::new("Stop").small()).min_size(vec2(0.0, 18.0));
    // One word is enough where one sees what it stands beside.
    ui.add(button).accessible_name(stop.name()).on_hover_text(stop.name()).clicked()
}

fn bar(ui: &mut Ui, part: f32, width: f32) {
    let bar = ui.add(ProgressBar::new(part).fill(palette(ui).accent).desired_width(width).desired_height(6.0));
    bar.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::ProgressIndicator, true, "Progress"));
}
