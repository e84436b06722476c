//! The teacher's path: a strip of its estimates, scrubbed with mouse or arrows, and its speed and its distance from
//! the straight line over t. What a point of the path is comes from the engine.

use egui::{Align2, EventFilter, Key, Rect, RichText, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};
use egui_plot::{Line, Plot, PlotPoints, VLine};
use instaflow_engine::protocol::PathPoint;

use super::terms;
use crate::app::{App, Estimate};
use crate::theme::{palette, tokens};

/// Width of one plot, in points.
const PLOT: f32 = 150.0;

/// Height of the whole area; 0 where the room for everything is so low that the pictures need it all.
pub fn height(room: f32) -> f32 {
    let height = tokens().spacing.strip + 46.0;
    if room < 3.0 * height { 0.0 } else { height }
}

/// Strip and plots.
pub fn show(app: &mut App, ui: &mut Ui) {
    ui.separator();
    let points = app.teacher.picture.as_ref().map(|picture| picture.path.clone()).filter(|path| !path.is_empty());
    ui.horizontal_top(|ui| {
        let plots = if ui.available_width() > 560.0 { 2.0 * (PLOT + tokens().spacing.gap) } else { 0.0 };
        let width = ui.available_width() - plots;
        ui.vertical(|ui| {
            ui.set_width(width);
            strip(app, ui, width);
        });
        if plots > 0.0 {
            let straightness = app.teacher.picture.as_ref().and_then(|picture| picture.straightness);
            let scrubbed = app.scrubbed().map(time);
            let (first, second) = (palette(ui).accent, palette(ui).second);
            let of = points.as_deref().unwrap_or_default();
            plot(ui, "Speed over t", terms::SPEED, of, |point| point.speed, first, scrubbed);
            let title = match straightness {
                Some(straightness) => format!("Off the line, S = {straightness:.1}"),
                None => "Off the line".to_owned(),
            };
            plot(ui, &title, terms::DEVIATION, of, |point| point.deviation, second, scrubbed);
        }
    });
}

/// The time at which a step begins.
fn time(estimate: &Estimate) -> f32 {
    (estimate.done - 1) as f32 / estimate.total.max(1) as f32
}

fn strip(app: &mut App, ui: &mut Ui, width: f32) {
    let count = app.teacher.trail.len();
    ui.horizontal(|ui| {
        let title = match app.scrubbed() {
            Some(estimate) => format!("Estimate at t = {:.2}", time(estimate)),
            None => "Estimates of the final picture".to_owned(),
        };
        ui.label(RichText::new(title).small()).on_hover_text(terms::ESTIMATE);
        if app.scrub.is_some() && ui.small_button("Back to the picture").clicked() {
            app.scrub = None;
        }
    });
    let (rect, response) = ui.allocate_exact_size(vec2(width, tokens().spacing.strip), Sense::click_and_drag());
    let shown = app.scrub.map_or(count, |step| step + 1);
    response.widget_info(|| WidgetInfo::slider(count > 0, shown as f64, "Step of the path"));
    if count == 0 {
        let empty =
            if app.teacher.finished { "This model's latents have no preview" } else { "Drawn with the teacher" };
        let font = egui::TextStyle::Body.resolve(ui.style());
        ui.painter().rect_stroke(
            rect,
            tokens().radius.picture,
            Stroke::new(1.0, palette(ui).border),
            StrokeKind::Inside,
        );
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, empty, font, palette(ui).muted);
        return;
    }
    // As wide as the run will be, so that the strip fills from the left while the teacher draws.
    let total = app.teacher.trail.last().map_or(count, |last| last.total as usize).max(count);
    let slice = width / total as f32;
    if let Some(pointer) = response.interact_pointer_pos() {
        response.request_focus();
        app.scrub = Some((((pointer.x - rect.left()) / slice).max(0.0) as usize).min(count - 1));
    }
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let now = app.scrub.unwrap_or(count - 1).min(count - 1);
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        if pressed(Key::ArrowLeft) {
            app.scrub = Some(now.saturating_sub(1));
        } else if pressed(Key::ArrowRight) {
            app.scrub = Some((now + 1).min(count - 1));
        } else if pressed(Key::Home) {
            app.scrub = Some(0);
        } else if pressed(Key::End) {
            app.scrub = Some(count - 1);
        }
    }
    for (step, estimate) in app.teacher.trail.iter().enumerate() {
        let left = rect.left() + slice * step as f32;
        let place = Rect::from_min_max(pos2(left, rect.top()), pos2(left + slice - 1.0, rect.bottom()));
        let size = vec2(estimate.picture.width as f32, estimate.picture.height as f32);
        egui::Image::new(&estimate.texture).uv(middle(size, place.size())).paint_at(ui, place);
    }
    if let Some(step) = app.scrub {
        let left = rect.left() + slice * step as f32;
        let place = Rect::from_min_max(pos2(left - 1.0, rect.top() - 2.0), pos2(left + slice, rect.bottom() + 2.0));
        ui.painter().rect_stroke(place, 1.0, Stroke::new(2.0, palette(ui).accent), StrokeKind::Outside);
    }
    if response.has_focus() {
        let stroke = Stroke::new(1.0, palette(ui).accent);
        ui.painter().rect_stroke(rect.expand(3.0), tokens().radius.picture, stroke, StrokeKind::Inside);
    }
}

/// The middle of a picture, as much of it as a slice of this shape shows.
fn middle(picture: Vec2, slice: Vec2) -> Rect {
    let (wide, high) = (slice.x / slice.y.max(1.0), picture.x / picture.y.max(1.0));
    let part = if wide < high { vec2(wide / high, 1.0) } else { vec2(1.0, high / wide) };
    Rect::from_center_size(pos2(0.5, 0.5), part)
}

fn plot(
    ui: &mut Ui,
    title: &str,
    meaning: &str,
    points: &[PathPoint],
    value: fn(&PathPoint) -> f32,
    colour: egui::Color32,
    scrubbed: Option<f32>,
) {
    ui.vertical(|ui| {
        ui.set_width(PLOT);
        // As high as the strip's own title, which may hold a button.
        ui.horizontal(|ui| ui.label(RichText::new(title).small()).on_hover_text(meaning));
        let series: PlotPoints<'_> = points.iter().map(|point| [f64::from(point.t), f64::from(value(point))]).collect();
        let largest = points.iter().map(value).fold(0.0, f32::max);
        let marker = palette(ui).muted;
        Plot::new(meaning)
            .width(PLOT)
            .height(tokens().spacing.strip)
            .show_axes(false)
            .show_grid(false)
            .allow_zoom(false)
            .allow_drag(false)
            .allow_scroll(false)
            .allow_boxed_zoom(false)
            .allow_double_click_reset(false)
            .default_x_bounds(0.0, 1.0)
            .default_y_bounds(0.0, f64::from(largest.max(1e-6)) * 1.15)
            .auto_bounds(false)
            .show_x(false)
            .label_formatter(|_| None)
            .reset()
            .show(ui, |plot| {
                if let Some(t) = scrubbed {
                    plot.vline(VLine::new("t", t).color(marker).width(1.0));
                }
                plot.line(Line::new("value", series).color(colour).width(2.0));
            });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shows_the_middle_undistorted() {
        let narrow = middle(vec2(512.0, 512.0), vec2(21.0, 84.0));
        assert_eq!(narrow, Rect::from_min_max(pos2(0.375, 0.0), pos2(0.625, 1.0)));
        let wide = middle(vec2(512.0, 512.0), vec2(168.0, 84.0));
        assert_eq!(wide, Rect::from_min_max(pos2(0.0, 0.25), pos2(1.0, 0.75)));
    }
}
