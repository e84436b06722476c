//! The pictures: one, or student and teacher side by side with zoom and pan in step.

use egui::{Rect, Ui, UiBuilder, pos2};
use instaflow_engine::protocol::{Lane, Role};

use super::canvas;
use crate::app::{App, Pane, summary};
use crate::theme::tokens;

/// One pane, or two.
pub fn show(app: &mut App, ui: &mut Ui) {
    let area = ui.available_rect_before_wrap();
    if app.comparing() {
        let gap = tokens().spacing.gap / 2.0;
        let left = Rect::from_min_max(area.min, pos2(area.center().x - gap, area.max.y));
        let right = Rect::from_min_max(pos2(area.center().x + gap, area.min.y), area.max);
        for (lane, rect) in [(Lane::Live, left), (Lane::Teacher, right)] {
            let caption = caption(app, lane);
            let builder = UiBuilder::new().max_rect(rect).id_salt(lane_name(app, lane));
            ui.scope_builder(builder, |ui| canvas::show(app, ui, lane, Some(&caption)));
        }
    } else {
        canvas::show(app, ui, Lane::Live, None);
    }
}

/// "Student" or "Teacher".
pub fn lane_name(app: &App, lane: Lane) -> &'static str {
    match (lane, app.live_role()) {
        (Lane::Live, Role::Student) => "Student",
        _ => "Teacher",
    }
}

/// Who drew, in how many steps and how long; or how far it is.
fn caption(app: &App, lane: Lane) -> (String, String) {
    let pane = app.pane(lane);
    (lane_name(app, lane).to_owned(), progress(app, pane, lane))
}

fn progress(app: &App, pane: &Pane, lane: Lane) -> String {
    if let Some(run) = pane.run.as_ref().filter(|run| run.total > 1) {
        let step = format!("step {} of {}", run.done, run.total);
        return match run.seconds_left() {
            Some(seconds) => format!("{step}, {seconds:.1} s left"),
            None => step,
        };
    }
    match &pane.picture {
        Some(picture) if pane.finished && pane.shows(&app.wanted(lane)) => match picture.straightness {
            Some(straightness) => format!("{}, straightness {straightness:.3}", summary(picture)),
            None => summary(picture),
        },
        _ if app.controls.live && lane == Lane::Teacher => "waits for a pause in typing".to_owned(),
        Some(_) => "of an earlier prompt".to_owned(),
        None => "not drawn yet".to_owned(),
    }
}
