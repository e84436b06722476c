//! The live picture alone, and the 'Keep' button on any picture.

use egui::{Button, Rect, RichText, Stroke, Ui, vec2};

use super::canvas;
use crate::state::{Action, Command, PaneId, View};
use crate::theme::palette;

/// The live picture alone.
pub fn show(view: &mut View<'_>, ui: &mut Ui, name: &str) {
    let app = view.app;
    let rect = ui.available_rect_before_wrap();
    let size = app.panes.live.picture.as_ref().map(canvas::size_of);
    canvas::viewport(view, ui, rect, name, PaneId::Live, size);
    canvas::paint_lane(view, ui, rect, PaneId::Live);
    keep_button(view, ui, rect, PaneId::Live);
}

/// 'Keep' on a picture that is drawn in `rect`.
pub fn keep_button(view: &mut View<'_>, ui: &mut Ui, rect: Rect, pane_id: PaneId) {
    let app = view.app;
    let pane = app.pane(pane_id);
    let Some(picture) = pane.picture.as_ref().filter(|_| pane.finished) else { return };
    let place = view.pan_zoom.place(rect, canvas::size_of(picture)).intersect(rect);
    let size = vec2(52.0, ui.spacing().interact_size.y);
    if place.width() < 2.0 * size.x || place.height() < 3.0 * size.y {
        return;
    }
    let kept = app.kept_pictures.has(picture);
    let (ink, ground) = (palette(ui).on_label, palette(ui).label.gamma_multiply(0.75));
    let text = RichText::new(if kept { "Kept" } else { "Keep" }).small().color(ink);
    let corner = Rect::from_min_size(place.right_top() + vec2(-size.x - 6.0, 6.0), size);
    let response = ui.put(corner, Button::new(text).fill(ground).stroke(Stroke::NONE));
    let whose = match pane_id {
        PaneId::Teacher => " (teacher)",
        PaneId::Baseline => " (baseline)",
        PaneId::Live => "",
    };
    let name = if kept { "Picture is kept" } else { "Keep this picture" };
    let response = response.accessible_name(format!("{name}{whose}"));
    if response.clicked() {
        view.act(Action::Choose(pane_id));
        view.command(Command::Keep);
    }
    if response.has_focus() {
        canvas::frame(ui, corner.expand(2.0));
    }
    response.on_hover_text(if kept { "It is in the filmstrip.".to_owned() } else { Command::Keep.hint(ui.ctx()) });
}
