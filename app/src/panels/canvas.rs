//! One picture: fitted, zoomed about the pointer, dragged, and moved with the arrows.

use egui::{
    Align, Align2, Color32, CornerRadius, CursorIcon, FontId, Image, Key, Rect, Response, Sense, Stroke, StrokeKind,
};
use egui::{Layout, Ui, Vec2, WidgetInfo, vec2};
use instaflow_engine::protocol::Lane;

use super::compare::lane_name;
use crate::app::{App, Command, Focus};
use crate::theme::{palette, tokens};

/// Points by which an arrow key moves the picture.
const ARROW: f32 = 40.0;

/// A lane's picture under its caption (a name, and what it is doing).
pub fn show(app: &mut App, ui: &mut Ui, lane: Lane, caption: Option<&(String, String)>) {
    if let Some((name, progress)) = caption {
        ui.horizontal(|ui| {
            ui.strong(name);
            ui.weak(progress);
            if lane == app.chosen {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.label(egui::RichText::new("chosen for saving").small().weak())
                        .on_hover_text("Save, quick save and copy take this picture. Click the other to choose that.");
                });
            }
        });
    }
    let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    let name = format!("{} picture", lane_name(app, lane));
    let response = response.on_hover_cursor(if app.view.zoom > 1.0 { CursorIcon::Grab } else { CursorIcon::Default });
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::Image, true, &name));

    let size = app.pane(lane).picture.as_ref().map(|picture| vec2(picture.width as f32, picture.height as f32));
    match size {
        Some(size) => {
            move_view(app, ui, &response, rect, size);
            paint(app, ui, lane, rect, size);
        }
        None => empty(app, ui, rect),
    }
    match lane {
        Lane::Teacher => app.teacher.place = size.map(|size| (rect, size)),
        _ => app.live.place = size.map(|size| (rect, size)),
    }
    if response.clicked() || response.drag_started() {
        response.request_focus();
    }
    if lane == app.chosen && app.focus.take_if(|focus| *focus == Focus::Picture).is_some() {
        response.request_focus();
    }
    if response.has_focus() {
        app.chosen = lane;
        let stroke = Stroke::new(1.5, palette(ui).accent);
        ui.painter().rect_stroke(rect.expand(3.0), tokens().radius.picture, stroke, StrokeKind::Inside);
        if ui.input(|input| input.events.contains(&egui::Event::Copy)) {
            app.asked.push(Command::Copy);
        }
    }
    response.context_menu(|ui| {
        for command in [Command::Save, Command::QuickSave, Command::Copy, Command::Fit, Command::ActualSize] {
            if ui.button(command.label()).clicked() {
                app.chosen = lane;
                app.asked.push(command);
                ui.close();
            }
        }
    });
}

fn move_view(app: &mut App, ui: &Ui, response: &Response, rect: Rect, size: Vec2) {
    let view = &mut app.view;
    if response.dragged() {
        view.pan(rect, size, response.drag_delta());
    }
    if response.double_clicked() {
        *view = crate::app::View::default();
    }
    if let Some(pointer) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        // The wheel with Ctrl arrives as a pinch.
        let factor = pinch * (scroll / 240.0).exp();
        if (factor - 1.0).abs() > f32::EPSILON {
            view.zoom_about(rect, size, pointer, factor);
        }
    }
    if response.has_focus() {
        // The arrows are the picture's while it has the focus; Tab leaves it.
        let filter =
            egui::EventFilter { horizontal_arrows: true, vertical_arrows: true, ..egui::EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        for (key, by) in [
            (Key::ArrowLeft, vec2(ARROW, 0.0)),
            (Key::ArrowRight, vec2(-ARROW, 0.0)),
            (Key::ArrowUp, vec2(0.0, ARROW)),
            (Key::ArrowDown, vec2(0.0, -ARROW)),
        ] {
            if ui.input(|input| input.key_pressed(key)) {
                view.pan(rect, size, by);
            }
        }
        let plain = |key| ui.input(|input| input.key_pressed(key) && !input.modifiers.command);
        if plain(Key::Plus) || plain(Key::Equals) {
            view.zoom_about(rect, size, rect.center(), 1.25);
        }
        if plain(Key::Minus) {
            view.zoom_about(rect, size, rect.center(), 0.8);
        }
        if plain(Key::Num0) {
            *view = crate::app::View::default();
        }
    }
}

fn paint(app: &App, ui: &mut Ui, lane: Lane, rect: Rect, size: Vec2) {
    let pane = app.pane(lane);
    let Some(texture) = pane.texture() else { return };
    // A teacher's picture of an earlier prompt stands back until its own comes.
    let current = lane == Lane::Live || pane.shows(&app.wanted(lane));
    let tint = if current { Color32::WHITE } else { Color32::WHITE.gamma_multiply(0.35) };
    let place = app.view.place(rect, size);
    let image = Image::new(texture).tint(tint).corner_radius(CornerRadius::same(tokens().radius.picture));
    let mut clipped = ui.new_child(egui::UiBuilder::new().max_rect(rect));
    clipped.shrink_clip_rect(rect);
    image.paint_at(&clipped, place);
}

/// What stands where no picture is yet.
fn empty(app: &App, ui: &Ui, rect: Rect) {
    let (headline, detail) = if app.opening.is_some() {
        ("Loading the model", "")
    } else if app.model.is_none() {
        ("No model is open", "Open a model folder or a pair with Ctrl+O, or drop the folder here.")
    } else if app.live.run.is_some() {
        ("Drawing", "")
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
}
