//! Several pictures at once: variations in a square, or the teacher's few and many steps in rows. Change the layout here;
//! [`Batch`](crate::state::Batch) says which pictures they are.

use egui::{Align2, CursorIcon, Rect, Sense, Ui, Vec2, WidgetInfo, vec2};
use instaflow_engine::protocol::Settings;

use super::number_field::{self, Said};
use super::{PaneId, canvas, terms};
use crate::format;
use crate::state::{Action, App, STEPS, Show, View, duration};
use crate::theme::{palette, tokens};

/// How many variations, and how far apart; then the pictures.
pub fn variations(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    ui.horizontal(|ui| {
        for count in [4, 9] {
            if super::selectable(ui, app.controls.recipe.variations == count, format!("{count} pictures")).clicked() {
                view.controls.recipe.variations = count;
            }
        }
        ui.separator();
        ui.label("Spread").on_hover_text(terms::SPREAD);
        let between = app.controls.recipe.seed_mix > 0.0;
        let said = Said::default();
        let slider = number_field::percent(&mut view.controls.recipe.spread, 0.05..=1.0, &said);
        let slider = ui.add_enabled(!between, slider).accessible_name("Spread").on_hover_text(terms::SPREAD);
        slider.on_disabled_hover_text("Between two seeds, the variations use the seeds that follow this one.");
        said.tell(view);
        ui.weak("Click a picture to use its seed");
    });
    ui.add_space(2.0);
    let count = app.controls.recipe.variations as usize;
    let across = if count == 4 { 2 } else { 3 };
    grid(view, ui, count, across);
}

/// The student's one step, and the teacher's from one to many.
pub fn steps(view: &mut View<'_>, ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.label("The same noise and prompt: one step of the student, and 1 to 25 steps of the teacher")
            .on_hover_text(terms::STEPS);
    });
    ui.add_space(2.0);
    let area = ui.available_size();
    let across = if area.x > 1.2 * area.y { 3 } else { 2 };
    grid(view, ui, STEPS.len() + 1, across);
}

fn grid(view: &mut View<'_>, ui: &mut Ui, count: usize, across: usize) {
    let app = view.app;
    let area = ui.available_rect_before_wrap();
    let down = count.div_ceil(across);
    let gap = tokens().spacing.gap / 2.0;
    let room = vec2(
        (area.width() - gap * (across - 1) as f32) / across as f32,
        (area.height() - gap * (down - 1) as f32) / down as f32,
    );
    // As close together as the pictures' shape allows.
    let shape = app.panes.live.picture.as_ref().map_or(Vec2::splat(1.0), canvas::size_of);
    let cell = shape * (room.x / shape.x).min(room.y / shape.y);
    let grid =
        vec2(cell.x * across as f32, cell.y * down as f32) + vec2(gap * (across - 1) as f32, gap * (down - 1) as f32);
    let first = area.center() - grid / 2.0;
    ui.allocate_rect(area, Sense::hover());
    for index in 0..count {
        let (row, column) = (index / across, index % across);
        let corner = first + vec2(column as f32 * (cell.x + gap), row as f32 * (cell.y + gap));
        let rect = Rect::from_min_size(corner, cell);
        match index.checked_sub(1) {
            None => live(view, ui, rect),
            Some(index) => other(view, ui, rect, index),
        }
    }
}

fn live(view: &mut View<'_>, ui: &mut Ui, rect: Rect) {
    let app = view.app;
    let size = app.panes.live.picture.as_ref().map(canvas::size_of);
    canvas::viewport(view, ui, rect, "Live picture", PaneId::Live, size);
    canvas::paint_lane(view, ui, rect, PaneId::Live);
    let Some(picture) = &app.panes.live.picture else { return };
    let place = view.pan_zoom.place(rect, canvas::size_of(picture)).intersect(rect);
    if app.controls.show == Show::Steps {
        let text = format!("Student, 1 step, {}", duration(picture.timings.total));
        canvas::label_that_fits(ui, place, Align2::LEFT_BOTTOM, &[&text, "Student, 1 step", "Student"]);
    } else {
        let seed = picture.settings.seed.to_string();
        canvas::label_that_fits(ui, place, Align2::LEFT_BOTTOM, &[&format!("This seed: {seed}"), &seed]);
    }
}

fn other(view: &mut View<'_>, ui: &mut Ui, rect: Rect, index: usize) {
    let app = view.app;
    let Some(wanted) = app.batch.wanted.get(index).cloned() else { return };
    let name = name(app, &wanted);
    let variations = app.controls.show == Show::Variations;
    let sense = if variations { Sense::click() } else { Sense::hover() };
    let response = ui.interact(rect, ui.scope_id().with(("sheet", index)), sense);
    let response = if variations { response.on_hover_cursor(CursorIcon::PointingHand) } else { response };
    let role = if variations { egui::accesskit::Role::Button } else { egui::accesskit::Role::Image };
    response.widget_info(|| WidgetInfo::labeled(role, true, &name));
    let current = app.batch.is_current(index);
    let cell = &app.batch.cells[index];
    let size = cell.picture.as_ref().map_or(Vec2::splat(1.0), canvas::size_of);
    let place = view.pan_zoom.place(rect, size).intersect(rect);
    match cell.texture() {
        Some(texture) => canvas::paint(view, ui, rect, rect, texture, size, current),
        None => {
            ui.painter().rect_filled(place, tokens().radius.picture, palette(ui).panel);
        }
    }
    let seconds = cell.picture.as_ref().filter(|_| current).map(|picture| picture.timings.total);
    let text = match seconds {
        Some(seconds) if !variations => format!("{name}, {}", duration(seconds)),
        None if app.batch.drawing == Some(index) => format!("{name}, drawing"),
        _ => name.clone(),
    };
    let short = name.trim_start_matches("Teacher, ").trim_start_matches("Seed ");
    canvas::label_that_fits(ui, place, Align2::LEFT_BOTTOM, &[&text, &name, short]);
    if response.has_focus() || (variations && response.hovered()) {
        canvas::frame(ui, place.expand(2.0).intersect(rect.expand(2.0)));
    }
    if variations && response.clicked() {
        view.act(Action::TakeVariation(index));
    }
}

fn name(app: &App, settings: &Settings) -> String {
    match (app.controls.show, &settings.blend.seed) {
        (Show::Steps, _) => format!("Teacher, {}", format::steps(settings.steps)),
        (_, Some(toward)) if app.controls.recipe.seed_mix <= 0.0 => format!("Toward seed {}", toward.to),
        _ => format!("Seed {}", settings.seed),
    }
}
