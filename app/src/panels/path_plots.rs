//! The paths of teacher and baseline: strips of their estimates, scrubbed with mouse or arrow keys, and plots of their
//! speed and of their distance from the straight line over t. The engine defines what a point of a path is.

use egui::{
    Align2, Color32, EventFilter, Key, Rect, Response, RichText, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2,
    vec2,
};
use egui_plot::{Line, LineStyle, Plot, PlotPoints, VLine};
use instaflow_engine::protocol::PathPoint;

use super::{canvas, terms};
use crate::state::{Action, App, Estimate, PaneId, View};
use crate::theme::{palette, tokens};

/// Width of one plot, in points.
const PLOT: f32 = 150.0;

/// Width of the names beside the plots, in points.
const LEGEND: f32 = 84.0;

/// Height of a strip's title with the space around it, and of the line above everything.
const TITLE: f32 = 36.0;
const SEPARATOR: f32 = 10.0;

/// One lane's path, as it is plotted.
struct Curve {
    name: &'static str,
    colour: Color32,
    /// The baseline's is, so that the two can be told apart without their colours.
    dashed: bool,
    points: Vec<PathPoint>,
    straightness: Option<f64>,
    /// The time of the estimate that is looked at.
    scrubbed: Option<f32>,
}

/// How many strips have room in this height: those of all others, one, or none.
pub fn strips(app: &App, room: f32) -> usize {
    (1..=app.others().len()).rev().find(|strips| room >= height(*strips)).unwrap_or(0)
}

/// Height of the whole area.
pub fn height(strips: usize) -> f32 {
    if strips == 0 { 0.0 } else { strips as f32 * (strip_height(strips) + TITLE) + SEPARATOR }
}

/// Two strips share a little more height than one has.
fn strip_height(strips: usize) -> f32 {
    if strips > 1 { (tokens().spacing.strip * 0.7).round() } else { tokens().spacing.strip }
}

/// Strips and plots.
pub fn show(view: &mut View<'_>, ui: &mut Ui, strips: usize) {
    let app = view.app;
    ui.separator();
    let pane_ids = app.others();
    let curves: Vec<Curve> = pane_ids.iter().map(|pane_id| curve(app, ui, *pane_id)).collect();
    let gap = tokens().spacing.gap;
    ui.horizontal_top(|ui| {
        let legend = if curves.len() > 1 { LEGEND + gap } else { 0.0 };
        let plots = if ui.available_width() > 560.0 { 2.0 * (PLOT + gap) + legend } else { 0.0 };
        let width = ui.available_width() - plots;
        ui.vertical(|ui| {
            ui.set_width(width);
            for pane_id in pane_ids.iter().take(strips) {
                strip(view, ui, *pane_id, vec2(width, strip_height(strips)));
            }
        });
        if plots > 0.0 {
            let high = strips as f32 * (strip_height(strips) + TITLE) - TITLE;
            plot(ui, "Speed over t", terms::SPEED, &curves, |point| point.speed, high);
            let title = match &curves[..] {
                [Curve { straightness: Some(straightness), .. }] => format!("Off the line, S = {straightness:.1}"),
                _ => "Off the line".to_owned(),
            };
            plot(ui, &title, terms::DEVIATION, &curves, |point| point.deviation, high);
            if curves.len() > 1 {
                ui.add_space(4.0);
                key(ui, &curves);
            }
        }
    });
}

fn curve(app: &App, ui: &Ui, pane_id: PaneId) -> Curve {
    let colour = if pane_id == PaneId::Baseline { palette(ui).second } else { palette(ui).accent };
    let picture = app.pane(pane_id).picture.as_ref();
    Curve {
        name: app.pane_name(pane_id),
        colour,
        dashed: pane_id == PaneId::Baseline,
        points: picture.map(|picture| picture.path.to_vec()).unwrap_or_default(),
        straightness: picture.and_then(|picture| picture.straightness),
        scrubbed: app.scrubbed(pane_id).map(|estimate| time(app, pane_id, estimate)),
    }
}

/// The time at which a step begins: a diffusion's are not evenly apart, and are known once the path is.
fn time(app: &App, pane_id: PaneId, estimate: &Estimate) -> f32 {
    let path = app.pane(pane_id).picture.as_ref().map(|picture| &picture.path);
    let point = path.and_then(|path| path.get(estimate.done as usize - 1));
    point.map_or((estimate.done - 1) as f32 / estimate.total.max(1) as f32, |point| point.t)
}

fn strip(view: &mut View<'_>, ui: &mut Ui, pane_id: PaneId, size: Vec2) {
    let app = view.app;
    let count = app.pane(pane_id).trail.len();
    let alone = app.others().len() == 1;
    ui.horizontal(|ui| {
        let title = match (app.scrubbed(pane_id), alone) {
            (Some(estimate), true) => format!("Estimate at t = {:.2}", time(app, pane_id, estimate)),
            (Some(estimate), false) => {
                format!("{}'s estimate at t = {:.2}", app.pane_name(pane_id), time(app, pane_id, estimate))
            }
            (None, true) => "Estimates of the final picture".to_owned(),
            (None, false) => format!("{}'s estimates", app.pane_name(pane_id)),
        };
        ui.label(RichText::new(title).small()).on_hover_text(terms::ESTIMATE);
        let first = app.others().first() == Some(&pane_id);
        if first && app.side_by_side.scrub.is_some() && ui.small_button("Back to the picture").clicked() {
            view.act(Action::Scrub(None));
        }
    });
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let shown = app.side_by_side.scrub.map_or(count, |step| (step + 1).min(count));
    let name = if pane_id == PaneId::Baseline { "Step of the baseline's path" } else { "Step of the path" };
    response.widget_info(|| WidgetInfo::slider(count > 0, shown as f64, name));
    if count == 0 {
        let empty = if app.pane(pane_id).finished {
            "These latents have no preview".to_owned()
        } else {
            format!("Drawn with the {}", app.pane_name(pane_id).to_lowercase())
        };
        let font = egui::TextStyle::Body.resolve(ui.style());
        let stroke = Stroke::new(1.0, palette(ui).border);
        ui.painter().rect_stroke(rect, tokens().radius.picture, stroke, StrokeKind::Inside);
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, &empty, font, palette(ui).muted);
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_description(empty));
        ring(ui, &response, rect);
        return;
    }
    // As wide as the run will be, so that the strip fills from the left while its lane draws.
    let total = app.pane(pane_id).trail.last().map_or(count, |last| last.total as usize).max(count);
    let slice = size.x / total as f32;
    if let Some(pointer) = response.interact_pointer_pos() {
        response.request_focus();
        let step = ((pointer.x - rect.left()) / slice).max(0.0) as usize;
        view.act(Action::Scrub(Some(step.min(count - 1))));
    }
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, escape: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let now = app.side_by_side.scrub.unwrap_or(count - 1).min(count - 1);
        // A slow frame may bring a key several times.
        let presses = |key| ui.input(|input| input.num_presses(key));
        let (back, on) = (presses(Key::ArrowLeft), presses(Key::ArrowRight));
        if back + on > 0 {
            view.act(Action::Scrub(Some((now + on).saturating_sub(back).min(count - 1))));
        } else if presses(Key::Home) > 0 {
            view.act(Action::Scrub(Some(0)));
        } else if presses(Key::End) > 0 {
            view.act(Action::Scrub(Some(count - 1)));
        }
    }
    for (step, estimate) in app.pane(pane_id).trail.iter().enumerate() {
        let left = rect.left() + slice * step as f32;
        let place = Rect::from_min_max(pos2(left, rect.top()), pos2(left + slice - 1.0, rect.bottom()));
        let size = vec2(estimate.picture.width as f32, estimate.picture.height as f32);
        egui::Image::new(&estimate.texture).uv(canvas::middle(size, place.size())).paint_at(ui, place);
    }
    if let Some(step) = app.side_by_side.scrub.map(|step| step.min(count - 1)) {
        let left = rect.left() + slice * step as f32;
        let place = Rect::from_min_max(pos2(left - 1.0, rect.top() - 2.0), pos2(left + slice, rect.bottom() + 2.0));
        ui.painter().rect_stroke(place, 1.0, Stroke::new(2.0, palette(ui).accent), StrokeKind::Outside);
    }
    ring(ui, &response, rect);
}

/// Around what has the keyboard.
fn ring(ui: &Ui, response: &Response, rect: Rect) {
    if response.has_focus() {
        let stroke = Stroke::new(1.0, palette(ui).accent);
        ui.painter().rect_stroke(rect.expand(3.0), tokens().radius.picture, stroke, StrokeKind::Inside);
    }
}

fn plot(ui: &mut Ui, title: &str, meaning: &str, curves: &[Curve], value: fn(&PathPoint) -> f32, height: f32) {
    ui.vertical(|ui| {
        ui.set_width(PLOT);
        let explained = if curves.len() > 1 { format!("{meaning} {}", terms::RECTIFIED) } else { meaning.to_owned() };
        // As high as the strip's own title, which may hold a button.
        ui.horizontal(|ui| ui.label(RichText::new(title).small()).on_hover_text(explained));
        let largest = curves.iter().flat_map(|curve| &curve.points).map(value).fold(0.0, f32::max);
        Plot::new(meaning)
            .width(PLOT)
            .height(height)
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
                for curve in curves {
                    if let Some(t) = curve.scrubbed {
                        plot.vline(VLine::new("t", t).color(curve.colour.gamma_multiply(0.6)).width(1.0));
                    }
                    let at = |point: &PathPoint| [f64::from(point.t), f64::from(value(point))];
                    let series: PlotPoints<'_> = curve.points.iter().map(at).collect();
                    let line = Line::new(curve.name, series).color(curve.colour).width(2.0);
                    plot.line(if curve.dashed { line.style(LineStyle::dashed_dense()) } else { line });
                }
            });
    });
}

/// Which line is whose, and how straight each path is.
fn key(ui: &mut Ui, curves: &[Curve]) {
    ui.vertical(|ui| {
        ui.set_width(LEGEND);
        ui.horizontal(|ui| ui.label(RichText::new("Straightness").small()).on_hover_text(terms::STRAIGHTNESS));
        ui.spacing_mut().item_spacing = vec2(6.0, 1.0);
        ui.spacing_mut().interact_size.y = 16.0;
        for curve in curves {
            ui.horizontal(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(14.0, 16.0), Sense::hover());
                let (stroke, y) = (Stroke::new(2.0, curve.colour), rect.center().y);
                if curve.dashed {
                    ui.painter().hline(rect.left()..=rect.left() + 6.0, y, stroke);
                    ui.painter().hline(rect.right() - 5.0..=rect.right(), y, stroke);
                } else {
                    ui.painter().hline(rect.x_range(), y, stroke);
                }
                ui.label(RichText::new(curve.name).small());
            });
            let value = match curve.straightness {
                Some(s) if s < 1000.0 => format!("S = {s:.1}"),
                Some(s) => format!("S = {s:.0}"),
                None => "S = –".to_owned(),
            };
            ui.label(RichText::new(value).monospace()).on_hover_text(terms::STRAIGHTNESS);
            ui.add_space(8.0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_strips_are_higher_than_one_but_not_twice() {
        assert!(height(0) <= 0.0);
        assert!(height(1) < height(2) && height(2) < 2.0 * height(1));
    }
}
