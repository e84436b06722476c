//! The numbers under a comparison, each named and explained. Add one here.

use egui::{RichText, TextStyle, Ui};
use instaflow_engine::protocol::{Picture, Settings};

use super::terms;
use crate::state::{App, Distance, PaneId, duration};
use crate::theme::palette;

/// One line of numbers, in the order of the pictures; what is not known yet is a dash.
pub fn show(app: &App, ui: &mut Ui) {
    let done = |pane_id| {
        let pane = app.pane(pane_id);
        pane.picture.as_ref().filter(|_| pane.finished && pane.shows(&app.wanted(pane_id)))
    };
    let others = app.others();
    let student = done(PaneId::Live);
    let drawn: Vec<Option<&Picture>> = others.iter().map(|pane_id| done(*pane_id)).collect();
    // Of all pictures: known once the student's and another's are.
    let of_all = |value: &dyn Fn(&Picture) -> String| -> Option<Vec<Option<String>>> {
        let first = value(student.filter(|_| drawn.iter().any(Option::is_some))?);
        Some([Some(first)].into_iter().chain(drawn.iter().map(|picture| picture.map(value))).collect())
    };
    let time = |picture: &Picture| picture.timings.total;
    let ratio = |picture: &Picture| match student {
        Some(student) if !std::ptr::eq(student, picture) => format!("{:.0}", time(picture) / time(student).max(1e-9)),
        _ => "1".to_owned(),
    };
    let apart = |value: &dyn Fn(&Distance) -> String| {
        others.iter().map(|pane_id| app.comparison(*pane_id)?.distance.as_ref().map(value)).collect::<Vec<_>>()
    };
    let in_decibels = |d: &Distance| {
        if d.psnr.is_finite() { format!("{:.1} dB", d.psnr) } else { "equal".to_owned() }
    };
    let straightness: Vec<_> =
        drawn.iter().map(|picture| picture.and_then(|p| p.straightness).map(|s| format!("{s:.1}"))).collect();
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        number(ui, "Time", of_all(&|p| duration(time(p))).and_then(listed), terms::TIME);
        number(ui, "Ratio", of_all(&ratio).map(|parts| spread(&parts, " : ")), terms::RATIO);
        number(ui, "NFE", of_all(&|p| nfe(&p.settings).to_string()).and_then(listed), terms::NFE);
        number(ui, "PSNR", listed(apart(&in_decibels)).map(unit_once), terms::PSNR);
        number(ui, "GMSD", listed(apart(&|d| format!("{:.3}", d.gmsd))), terms::GMSD);
        number(ui, "S", listed(straightness), terms::STRAIGHTNESS);
    });
}

/// One number; a line too short for it goes without.
fn number(ui: &mut Ui, name: &str, value: Option<String>, meaning: &str) {
    let ink = ui.visuals().text_color();
    let muted = palette(ui).muted;
    let value = value.unwrap_or_else(|| "–".to_owned());
    let width = |text: &str, style: TextStyle| {
        let font = style.resolve(ui.style());
        ui.painter().layout_no_wrap(text.to_owned(), font, ink).size().x
    };
    if width(name, TextStyle::Small) + width(&value, TextStyle::Monospace) + 6.0 > ui.available_width() {
        return;
    }
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        ui.label(RichText::new(name).small().color(muted)).on_hover_text(meaning);
        ui.label(RichText::new(value).monospace().color(ink)).on_hover_text(meaning);
    });
    ui.add_space(8.0);
}

/// Network evaluations: guidance asks for two predictions a step.
fn nfe(settings: &Settings) -> u32 {
    settings.steps * if settings.guidance > 1.0 { 2 } else { 1 }
}

/// "a", "a and b", and to save room "a, b, c"; a part that is not known yet is a dash, and nothing at all is `None`.
fn listed(parts: Vec<Option<String>>) -> Option<String> {
    let known = parts.iter().any(Option::is_some);
    known.then(|| spread(&parts, if parts.len() == 2 { " and " } else { ", " }))
}

/// "33.1 dB and 25.9 dB" as "33.1 and 25.9 dB".
fn unit_once(list: String) -> String {
    list.replacen(" dB and ", " and ", usize::from(list.ends_with(" dB")))
}

fn spread(parts: &[Option<String>], between: &str) -> String {
    parts.iter().map(|part| part.as_deref().unwrap_or("–")).collect::<Vec<_>>().join(between)
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

    #[test]
    fn a_unit_is_said_once() {
        for (list, expected) in [
            ("33.1 dB", "33.1 dB"),
            ("33.1 dB and 25.9 dB", "33.1 and 25.9 dB"),
            ("33.1 dB and –", "33.1 dB and –"),
            ("equal and 25.9 dB", "equal and 25.9 dB"),
        ] {
            assert_eq!(unit_once(list.to_owned()), expected);
        }
    }

    #[test]
    fn two_are_joined_by_a_word_and_more_by_commas() {
        let list = |parts: &[&str]| {
            listed(parts.iter().map(|part| Some((*part).to_owned()).filter(|part| !part.is_empty())).collect())
        };
        for (parts, expected) in [
            (&["1"][..], Some("1")),
            (&["1", "50"], Some("1 and 50")),
            (&["1", "50", "25"], Some("1, 50, 25")),
            (&["1", "50", ""], Some("1, 50, –")),
            (&["", ""], None),
            (&[], None),
        ] {
            assert_eq!(list(parts).as_deref(), expected);
        }
    }
}
