//! The numbers under a comparison, each named and explained. Add one here.

use egui::{RichText, Ui};
use instaflow_engine::protocol::{Lane, Settings};

use super::terms;
use crate::app::{App, duration};
use crate::theme::palette;

/// One line of numbers; what is not known yet is a dash.
pub fn show(app: &App, ui: &mut Ui) {
    let done = |lane| {
        let pane = app.pane(lane);
        pane.picture.as_ref().filter(|_| pane.finished && pane.shows(&app.wanted(lane)))
    };
    let (student, teacher) = (done(Lane::Live), done(Lane::Teacher));
    let times = student.zip(teacher).map(|(s, t)| (s.timings.total, t.timings.total));
    let distance = app
        .distance
        .as_ref()
        .filter(|apart| app.live.picture.as_ref().zip(app.seen_teacher()).is_some_and(|(s, t)| apart.is_of(s, t)));
    let distance = distance.and_then(|apart| apart.distance.as_ref());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        number(ui, "Time", times.map(|(s, t)| format!("{} and {}", duration(s), duration(t))), terms::TIME);
        number(ui, "Ratio", times.map(|(s, t)| format!("1 : {:.0}", t / s.max(1e-9))), terms::TIME);
        let evaluations = student.zip(teacher).map(|(s, t)| format!("{} and {}", nfe(&s.settings), nfe(&t.settings)));
        number(ui, "NFE", evaluations, terms::NFE);
        let psnr = distance.map(|d| if d.psnr.is_finite() { format!("{:.1} dB", d.psnr) } else { "equal".to_owned() });
        number(ui, "PSNR", psnr, terms::PSNR);
        number(ui, "GMSD", distance.map(|d| format!("{:.3}", d.gmsd)), terms::GMSD);
        let straightness = teacher.and_then(|t| t.straightness).map(|s| format!("{s:.1}"));
        number(ui, "S", straightness, terms::STRAIGHTNESS);
    });
}

fn number(ui: &mut Ui, name: &str, value: Option<String>, meaning: &str) {
    let ink = ui.visuals().text_color();
    let muted = palette(ui).muted;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        ui.label(RichText::new(name).small().color(muted)).on_hover_text(meaning);
        let value = value.unwrap_or_else(|| "–".to_owned());
        ui.label(RichText::new(value).monospace().color(ink)).on_hover_text(meaning);
    });
    ui.add_space(8.0);
}

/// Network evaluations: guidance asks for two velocities a step.
fn nfe(settings: &Settings) -> u32 {
    settings.steps * if settings.guidance > 1.0 { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_doubles_the_evaluations() {
        assert_eq!(nfe(&Settings::student("")), 1);
        assert_eq!(nfe(&Settings::teacher("")), 50);
        assert_eq!(nfe(&Settings { guidance: 1.0, ..Settings::teacher("") }), 25);
    }
}
