//! A place for a picture: fitted, zoomed about the pointer, dragged, and moved with the arrow keys. The caller paints the
//! picture; moving, choosing and its context menu are here.

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, EventFilter, FontId, Image, Key, Rect, Response, Sense, Stroke,
    StrokeKind, TextureHandle, Ui, UiBuilder, Vec2, WidgetInfo, vec2,
};
use instaflow_engine::protocol::{Picture, Settings};

use super::{menu, progress_bars};
use crate::state::{Action, App, Command, Focus, PanZoom, PaneId, View};
use crate::theme::{palette, tokens};

/// What a picture's own menu offers.
const CONTEXT: [Command; 6] =
    [Command::Keep, Command::Save, Command::QuickSave, Command::Copy, Command::Fit, Command::ActualSize];

/// Points by which an arrow key moves the picture.
const ARROW: f32 = 40.0;

/// Takes `rect` for a picture of `size` pixels of this pane, called `name`, and lets it be moved.
pub fn viewport(
    view: &mut View<'_>,
    ui: &mut Ui,
    rect: Rect,
    name: &str,
    pane_id: PaneId,
    size: Option<Vec2>,
) -> Response {
    let app = view.app;
    let response = ui.allocate_rect(rect, Sense::click_and_drag());
    let response =
        response.on_hover_cursor(if view.pan_zoom.zoom > 1.0 { CursorIcon::Grab } else { CursorIcon::Default });
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::Image, true, name));
    let description = match size {
        Some(size) => {
            move_picture(&mut view.pan_zoom, ui, &response, rect, size);
            app.pane(pane_id).picture.as_ref().map(|picture| described(&picture.settings)).unwrap_or_default()
        }
        None => empty(app, ui, rect),
    };
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_description(description));
    view.act(Action::Place(pane_id, size.map(|size| (rect, size))));
    if response.clicked() || response.drag_started() {
        response.request_focus();
    }
    if pane_id == app.side_by_side.chosen && app.widgets.focus == Some(Focus::Picture) {
        view.act(Action::FocusGiven);
        response.request_focus();
    }
    if response.has_focus() {
        if app.side_by_side.chosen != pane_id {
            view.act(Action::Choose(pane_id));
        }
        frame(ui, rect.expand(3.0));
        if ui.input(|input| input.events.contains(&egui::Event::Copy)) {
            view.command(Command::Copy);
        }
    }
    response.context_menu(|ui| {
        for command in CONTEXT {
            if menu::item(view, ui, command) {
                view.act(Action::Choose(pane_id));
            }
        }
    });
    response
}

/// A pane's picture in `rect`; one of an earlier prompt stands back until its own comes.
pub fn paint_lane(view: &View<'_>, ui: &mut Ui, rect: Rect, pane_id: PaneId) {
    let app = view.app;
    let pane = app.pane(pane_id);
    let estimate = app.scrubbed(pane_id);
    let (Some(texture), Some(picture)) = (estimate.map(|e| &e.texture).or(pane.texture()), &pane.picture) else {
        return;
    };
    let current = is_current(app, pane_id);
    paint(view, ui, rect, rect, texture, size_of(picture), current);
    progress_bars::foot(app, ui, view.pan_zoom.place(rect, size_of(picture)).intersect(rect), pane_id);
}

/// Whether a pane's picture stands at full strength: the live one does until its own can no longer come.
pub fn is_current(app: &App, pane_id: PaneId) -> bool {
    if pane_id == PaneId::Live { !app.stopped() } else { app.pane(pane_id).shows(&app.wanted(pane_id)) }
}

/// A picture placed in `rect` and cut off at `clip`.
pub fn paint(view: &View<'_>, ui: &mut Ui, rect: Rect, clip: Rect, texture: &TextureHandle, size: Vec2, current: bool) {
    let tint = if current { Color32::WHITE } else { Color32::WHITE.gamma_multiply(0.35) };
    let place = view.pan_zoom.place(rect, size);
    let image = Image::new(texture).tint(tint).corner_radius(CornerRadius::same(tokens().radius.picture));
    let mut clipped = ui.new_child(UiBuilder::new().max_rect(rect));
    clipped.shrink_clip_rect(clip);
    image.paint_at(&clipped, place);
}

/// Words on a picture, in a corner of `rect`.
pub fn label(ui: &Ui, rect: Rect, corner: Align2, text: &str) {
    let (ink, ground) = (palette(ui).on_label, palette(ui).label.gamma_multiply(0.75));
    let galley = ui.painter().layout_no_wrap(text.to_owned(), egui::TextStyle::Small.resolve(ui.style()), ink);
    let place = corner.align_size_within_rect(galley.size() + vec2(12.0, 6.0), rect.shrink(6.0));
    ui.painter().rect_filled(place, tokens().radius.control(), ground);
    ui.painter().galley(place.min + vec2(6.0, 3.0), galley, ink);
}

/// The first of `texts`, from the longest to the shortest, that fits in a corner of `rect`; none if none does.
pub fn label_that_fits(ui: &Ui, rect: Rect, corner: Align2, texts: &[&str]) {
    let font = egui::TextStyle::Small.resolve(ui.style());
    let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), palette(ui).on_label).size().x;
    if let Some(text) = texts.iter().find(|text| width(text) + 24.0 <= rect.width()) {
        label(ui, rect, corner, text);
    }
}

/// The frame of what has the keyboard.
pub fn frame(ui: &Ui, rect: Rect) {
    let stroke = Stroke::new(1.5, palette(ui).accent);
    ui.painter().rect_stroke(rect, tokens().radius.picture, stroke, StrokeKind::Inside);
}

/// A picture's size in its own pixels.
pub fn size_of(picture: &Picture) -> Vec2 {
    vec2(picture.width as f32, picture.height as f32)
}

/// What a screen reader says of a picture.
pub fn described(settings: &Settings) -> String {
    let prompt = if settings.prompt.trim().is_empty() { "No prompt" } else { settings.prompt.trim() };
    format!("{prompt}, seed {}", settings.seed)
}

/// The middle of a picture, as much of it as a slice of this shape shows.
pub fn middle(picture: Vec2, slice: Vec2) -> Rect {
    let (wide, high) = (slice.x / slice.y.max(1.0), picture.x / picture.y.max(1.0));
    let part = if wide < high { vec2(wide / high, 1.0) } else { vec2(1.0, high / wide) };
    Rect::from_center_size(egui::pos2(0.5, 0.5), part)
}

fn move_picture(pan_zoom: &mut PanZoom, ui: &Ui, response: &Response, rect: Rect, size: Vec2) {
    if response.dragged() {
        pan_zoom.pan(rect, size, response.drag_delta());
    }
    if response.double_clicked() {
        *pan_zoom = PanZoom::default();
    }
    if let Some(pointer) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        // The wheel with Ctrl arrives as a pinch.
        let factor = pinch * (scroll / 240.0).exp();
        if (factor - 1.0).abs() > f32::EPSILON {
            pan_zoom.zoom_about(rect, size, pointer, factor);
        }
    }
    if response.has_focus() {
        // The arrows are the picture's while it has the focus; Tab leaves it.
        // So is Esc, which stops the drawing.
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, escape: true, tab: false };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        for (key, by) in [
            (Key::ArrowLeft, vec2(ARROW, 0.0)),
            (Key::ArrowRight, vec2(-ARROW, 0.0)),
            (Key::ArrowUp, vec2(0.0, ARROW)),
            (Key::ArrowDown, vec2(0.0, -ARROW)),
        ] {
            if ui.input(|input| input.key_pressed(key)) {
                pan_zoom.pan(rect, size, by);
            }
        }
        let plain = |key| ui.input(|input| input.key_pressed(key) && !input.modifiers.command);
        if plain(Key::Plus) || plain(Key::Equals) {
            pan_zoom.zoom_about(rect, size, rect.center(), 1.25);
        }
        if plain(Key::Minus) {
            pan_zoom.zoom_about(rect, size, rect.center(), 0.8);
        }
        if plain(Key::Num0) {
            *pan_zoom = PanZoom::default();
        }
    }
}

/// What is shown while there is no picture; returns it.
fn empty(app: &App, ui: &Ui, rect: Rect) -> String {
    let (headline, detail) = if app.models.opening.is_some() {
        // What stands there is told by the card on it.
        ("", "")
    } else if app.models.open.is_none() {
        ("No model is open", "Open a model folder or a pair with Ctrl+O, or drop the folder here.")
    } else if app.panes.live.run.is_some() {
        ("Drawing", "")
    } else if app.stopped() {
        ("Stopped", "Press Ctrl+Enter to draw.")
    } else if app.controls.live {
        ("", "")
    } else {
        ("Live drawing is off", "Press Enter to draw.")
    };
    let painter = ui.painter_at(rect);
    let fonts = &ui.style().text_styles;
    let (large, small) = (fonts[&egui::TextStyle::Heading].clone(), fonts[&egui::TextStyle::Body].clone());
    let text = |offset: f32, text: &str, font: FontId, colour: Color32| {
        painter.text(rect.center() + vec2(0.0, offset), Align2::CENTER_CENTER, text, font, colour);
    };
    text(-12.0, headline, large, ui.visuals().text_color());
    text(14.0, detail, small, palette(ui).muted);
    format!("{headline} {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    #[test]
    fn a_slice_shows_the_middle_undistorted() {
        let narrow = middle(vec2(512.0, 512.0), vec2(21.0, 84.0));
        assert_eq!(narrow, Rect::from_min_max(pos2(0.375, 0.0), pos2(0.625, 1.0)));
        let wide = middle(vec2(512.0, 512.0), vec2(168.0, 84.0));
        assert_eq!(wide, Rect::from_min_max(pos2(0.0, 0.25), pos2(1.0, 0.75)));
    }
}
