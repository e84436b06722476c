//! Student, teacher and perhaps the baseline: side by side, on two sides of a line, one in the place of the other, or
//! their difference. All share one zoom and pan. Add a way to compare here, and to [`CompareAs`].

use egui::{Align2, CursorIcon, EventFilter, Id, Key, Rect, Response, Sense, Stroke, Ui, Vec2};
use egui::{UiBuilder, WidgetInfo, pos2, vec2};

use super::{PaneId, canvas, comparison_numbers, path_plots, terms, ways};
use crate::state::{Action, Against, App, Command, CompareAs, Pane, View, summary, time_left};
use crate::theme::{heat, palette, tokens};

/// The comparison with its ways above it, and its numbers and the teacher's path under it.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    // How high everything will be under the row of buttons, which says so where the path finds no room.
    let line = ui.spacing().interact_size.y + ui.spacing().item_spacing.y;
    let mut area = ui.available_rect_before_wrap();
    area.min.y += line + 2.0;
    let strips = if app.controls.show_path {
        path_plots::strips(app, area.height() - line - least_height(app, area))
    } else {
        0
    };
    let path_fits = strips > 0;
    ui.horizontal_wrapped(|ui| {
        ways(view, ui, &[Command::SideBySide, Command::Split, Command::Blink, Command::Difference]);
        ui.separator();
        super::toggle(view, ui, Command::Path);
        if app.models.no_baseline().is_none() {
            super::toggle(view, ui, Command::Baseline);
        }
        if app.controls.compare_as != CompareAs::SideBySide && app.others().len() > 1 {
            ui.separator();
            against(view, ui);
        }
        if app.controls.compare_as == CompareAs::Blink {
            ui.separator();
            ui.weak(format!("Hold F2 to see the {}'s picture", app.pane_name(app.rival()).to_lowercase()));
        }
        if app.controls.show_path && !path_fits {
            ui.separator();
            let unfolded = app.controls.show_film && !app.kept_pictures.shelf.is_empty();
            let text = if unfolded {
                format!("To see the path, hide the kept pictures ({})", Command::Filmstrip.keys(ui.ctx()))
            } else {
                "To see the path, make the window taller".to_owned()
            };
            let text = egui::RichText::new(text).weak();
            ui.add(egui::Label::new(text).truncate());
        }
    });
    ui.add_space(2.0);
    let area = ui.available_rect_before_wrap();
    let path_height = path_plots::height(strips);
    let below = line + path_height;
    let pictures = Rect::from_min_max(area.min, pos2(area.max.x, area.max.y - below));
    ui.scope_builder(UiBuilder::new().max_rect(pictures).id_salt("pictures"), |ui| match app.controls.compare_as {
        CompareAs::SideBySide => side_by_side(view, ui),
        CompareAs::Split => in_one_place(view, ui, split),
        CompareAs::Blink => in_one_place(view, ui, blink),
        CompareAs::Difference => in_one_place(view, ui, difference),
    });
    let rest = Rect::from_min_max(pos2(area.min.x, pictures.max.y + ui.spacing().item_spacing.y), area.max);
    ui.scope_builder(UiBuilder::new().max_rect(rest).id_salt("below"), |ui| {
        comparison_numbers::show(app, ui);
        if path_height > 0.0 {
            path_plots::show(view, ui, strips);
        }
    });
}

/// What the pictures need of the height: somewhat more than the paths, or less where columns make them smaller.
fn least_height(app: &App, area: Rect) -> f32 {
    const CAPTION: f32 = 36.0;
    let most = 1.7 * path_plots::height(1) - CAPTION;
    let Some(size) = app.panes.live.picture.as_ref().map(canvas::size_of) else { return most };
    if app.controls.compare_as != CompareAs::SideBySide {
        return most;
    }
    let columns = app.others().len() as f32 + 1.0;
    most.min(area.width() / columns * size.y / size.x + CAPTION)
}

/// With which of the two others the student is compared.
fn against(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for (against, pane_id) in [(Against::Teacher, PaneId::Teacher), (Against::Baseline, PaneId::Baseline)] {
            let name = format!("Against {}", app.pane_name(pane_id).to_lowercase());
            if super::selectable(ui, app.rival() == pane_id, name).clicked() {
                view.controls.against = against;
            }
        }
    });
}

fn side_by_side(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let area = ui.available_rect_before_wrap();
    let gap = tokens().spacing.gap;
    let pane_ids: Vec<PaneId> = [PaneId::Live].into_iter().chain(app.others()).collect();
    let width = (area.width() - gap * (pane_ids.len() - 1) as f32) / pane_ids.len() as f32;
    for (column, pane_id) in pane_ids.into_iter().enumerate() {
        let corner = area.min + vec2((width + gap) * column as f32, 0.0);
        let rect = Rect::from_min_size(corner, vec2(width, area.height()));
        let builder = UiBuilder::new().max_rect(rect).id_salt(app.pane_name(pane_id));
        ui.scope_builder(builder, |ui| {
            caption(view, ui, pane_id);
            let size = app.pane(pane_id).picture.as_ref().map(canvas::size_of);
            let name = format!("{} picture", app.pane_name(pane_id));
            let rect = ui.available_rect_before_wrap();
            canvas::viewport(view, ui, rect, &name, pane_id, size);
            canvas::paint_lane(view, ui, rect, pane_id);
            super::live_picture::keep_button(view, ui, rect, pane_id);
        });
    }
}

/// Both captions in one row, and one place for both pictures under it.
fn in_one_place(view: &mut View<'_>, ui: &mut Ui, paint: fn(&mut View<'_>, &mut Ui, Rect, Vec2)) {
    let app = view.app;
    ui.columns(2, |columns| {
        columns[0].set_max_width(columns[0].max_rect().width() - tokens().spacing.gap);
        caption(view, &mut columns[0], PaneId::Live);
        caption(view, &mut columns[1], app.rival());
    });
    let rect = ui.available_rect_before_wrap();
    let size = app.panes.live.picture.as_ref().map(canvas::size_of);
    let pane_id = if app.side_by_side.chosen == PaneId::Live { PaneId::Live } else { app.rival() };
    let name = format!("Student and {}", app.pane_name(app.rival()).to_lowercase());
    let response = canvas::viewport(view, ui, rect, &name, pane_id, size);
    if app.controls.compare_as == CompareAs::Difference {
        response.on_hover_text_at_pointer(terms::DIFFERENCE);
    }
    if let Some(size) = size {
        paint(view, ui, rect, size);
    }
}

/// Who drew, what it is doing or how it went, and whether it is the one that is saved.
fn caption(view: &mut View<'_>, ui: &mut Ui, pane_id: PaneId) {
    let app = view.app;
    let (name, mut progress) = (app.pane_name(pane_id), progress(app, app.pane(pane_id), pane_id));
    let other_noise = app.has_other_noise(pane_id);
    if other_noise {
        progress.push_str(", other noise");
    }
    let term = match name {
        "Student" => terms::STUDENT,
        "Baseline" => terms::BASELINE,
        _ => super::side_panel::teachers_term(app),
    };
    ui.horizontal(|ui| {
        // Three columns of a small window leave no room for the words.
        let words = if ui.available_width() > 230.0 { "save this" } else { "" };
        ui.strong(name).on_hover_text(term);
        let words = egui::RichText::new(words).small();
        let radio = super::outlined(ui, |ui| ui.radio(pane_id == app.side_by_side.chosen, words));
        let radio = radio.accessible_name(format!("Save the {}'s", name.to_lowercase()));
        let hint = "Save, Quick save and Copy use this picture. You can also click a picture to choose it.";
        if radio.on_hover_text(hint).clicked() {
            view.act(Action::Choose(pane_id));
        }
        let label = ui.add(egui::Label::new(egui::RichText::new(progress).weak()).truncate());
        if other_noise {
            label.on_hover_text(terms::OTHER_NOISE);
        }
    });
}

fn progress(app: &App, pane: &Pane, pane_id: PaneId) -> String {
    if let Some(estimate) = app.scrubbed(pane_id) {
        let (done, total) = (estimate.done, estimate.total);
        return format!("estimate after step {done} of {total}");
    }
    if let Some(run) = pane.run.as_ref().filter(|run| run.total > 1) {
        let step = format!("step {} of {}", run.done, run.total);
        return match run.seconds_left() {
            Some(seconds) => format!("{step}, {}", time_left(seconds)),
            None => step,
        };
    }
    match &pane.picture {
        Some(picture) if pane.finished && pane.shows(&app.wanted(pane_id)) => summary(picture),
        _ if app.waits(pane_id) && pane_id == PaneId::Baseline && app.panes.teacher.run.is_some() => {
            "waiting for the teacher".to_owned()
        }
        _ if app.waits(pane_id) && pane_id != PaneId::Live => "waiting for a pause in typing".to_owned(),
        Some(_) if !pane.finished && pane.shows(&app.wanted(pane_id)) => "stopped".to_owned(),
        Some(_) => "from an earlier prompt".to_owned(),
        None => "not drawn yet".to_owned(),
    }
}

fn split(view: &mut View<'_>, ui: &mut Ui, rect: Rect, size: Vec2) {
    let app = view.app;
    let place = view.pan_zoom.place(rect, size).intersect(rect);
    let at = place.left() + place.width() * view.controls.split;
    let (left, right) = place.split_left_right_at_x(at);
    for (pane_id, clip) in [(PaneId::Live, left), (app.rival(), right)] {
        let pane = app.pane(pane_id);
        let estimate = app.scrubbed(pane_id);
        if let Some(texture) = estimate.map(|e| &e.texture).or(pane.texture()) {
            let current = canvas::is_current(app, pane_id);
            canvas::paint(view, ui, rect, clip, texture, size, current);
        }
    }
    if left.width() > 80.0 {
        canvas::label(ui, left, Align2::LEFT_TOP, app.pane_name(PaneId::Live));
    }
    if right.width() > 80.0 {
        canvas::label(ui, right, Align2::RIGHT_TOP, app.pane_name(app.rival()));
    }
    let handle = Rect::from_center_size(pos2(at, place.center().y), vec2(16.0, place.height()));
    let response = ui.interact(handle, Id::unique("split"), Sense::click_and_drag());
    let response = response.on_hover_and_drag_cursor(CursorIcon::ResizeHorizontal);
    move_split(view, ui, &response, place);
    let value = f64::from(view.controls.split);
    response.widget_info(|| WidgetInfo::slider(true, value, "Split"));
    let colour = palette(ui).on_label;
    let painter = ui.painter_at(rect);
    painter.vline(at, place.y_range(), Stroke::new(3.0, palette(ui).label));
    painter.vline(at, place.y_range(), Stroke::new(1.5, colour));
    let grip = pos2(at, place.center().y);
    painter.circle(grip, 9.0, palette(ui).label, Stroke::new(1.5, colour));
    for side in [-1.0, 1.0] {
        let tip = grip + vec2(5.5 * side, 0.0);
        let points = vec![tip, tip + vec2(-3.5 * side, -3.5), tip + vec2(-3.5 * side, 3.5)];
        painter.add(egui::Shape::convex_polygon(points, colour, Stroke::NONE));
    }
    if response.has_focus() {
        painter.circle_stroke(grip, 12.0, Stroke::new(3.0, palette(ui).accent));
    }
}

fn move_split(view: &mut View<'_>, ui: &Ui, response: &Response, place: Rect) {
    if response.clicked() || response.drag_started() {
        response.request_focus();
    }
    if let Some(pointer) = response.interact_pointer_pos().filter(|_| response.dragged()) {
        view.controls.split = ((pointer.x - place.left()) / place.width().max(1.0)).clamp(0.0, 1.0);
    }
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, escape: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        for (key, by) in [(Key::ArrowLeft, -0.02), (Key::ArrowRight, 0.02)] {
            if ui.input(|input| input.key_pressed(key)) {
                view.controls.split = (view.controls.split + by).clamp(0.0, 1.0);
            }
        }
    }
}

fn blink(view: &mut View<'_>, ui: &mut Ui, rect: Rect, size: Vec2) {
    let app = view.app;
    let held = ui.input(|input| input.key_down(Key::F2));
    let pane_id = if held { app.rival() } else { PaneId::Live };
    canvas::paint_lane(view, ui, rect, pane_id);
    let place = view.pan_zoom.place(rect, size).intersect(rect);
    canvas::label(ui, place, Align2::LEFT_TOP, &format!("Now: {}", app.pane_name(pane_id)));
}

fn difference(view: &mut View<'_>, ui: &mut Ui, rect: Rect, size: Vec2) {
    let app = view.app;
    let apart = app.side_by_side.measured.get(&app.rival());
    let map = apart.and_then(|apart| Some((apart.map.clone()?, apart.distance.as_ref()?.scale)));
    let place = view.pan_zoom.place(rect, size).intersect(rect);
    let Some((texture, scale)) = map else {
        canvas::paint_lane(view, ui, rect, PaneId::Live);
        let text = format!("The difference needs the {}'s picture", app.pane_name(app.rival()).to_lowercase());
        canvas::label(ui, place, Align2::LEFT_TOP, &text);
        return;
    };
    let current = app.comparison(app.rival()).is_some();
    canvas::paint(view, ui, rect, rect, &texture, size, current);
    legend(ui, place, scale);
}

/// Pieces of one colour in the legend.
const PARTS: usize = 64;

/// The scale of the difference map, at the lower left of the picture.
fn legend(ui: &Ui, place: Rect, scale: u8) {
    let (ink, ground) = (palette(ui).on_label, palette(ui).label.gamma_multiply(0.8));
    let bar = vec2(160.0, 10.0);
    let corner = pos2(place.left() + 10.0, place.bottom() - 10.0);
    let back = Rect::from_min_max(corner - vec2(0.0, 38.0), corner + vec2(bar.x + 24.0, 0.0));
    let painter = ui.painter_at(place);
    painter.rect_filled(back, tokens().radius.control(), ground);
    let strip = Rect::from_min_size(back.min + vec2(12.0, 6.0), bar);
    for part in 0..PARTS {
        let left = strip.left() + bar.x * part as f32 / PARTS as f32;
        let piece = Rect::from_min_size(pos2(left, strip.top()), vec2(bar.x / PARTS as f32 + 0.5, bar.y));
        painter.rect_filled(piece, 0.0, heat((part as f32 + 0.5) / PARTS as f32));
    }
    let font = egui::TextStyle::Small.resolve(ui.style());
    let more = if scale < 255 { "+" } else { "" };
    for (at, align, text) in [
        (strip.left_bottom(), Align2::LEFT_TOP, "0".to_owned()),
        (strip.center_bottom(), Align2::CENTER_TOP, format!("{}", scale / 2)),
        (strip.right_bottom(), Align2::RIGHT_TOP, format!("{scale}{more} of 255")),
    ] {
        painter.text(at + vec2(0.0, 3.0), align, text, font.clone(), ink);
    }
}
