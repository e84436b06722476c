//! The bar at the bottom: models, device, what is under way, and how long the last picture took.

use egui::accesskit::Live;
use egui::{Align, Label, Layout, RichText, Ui};
use instaflow_engine::protocol::{Decoder, Timings};

use super::progress_bars;
use crate::state::{App, PaneId, View, duration, precision};
use crate::theme::palette;

/// The bar.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    ui.horizontal(|ui| {
        ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
        ui.visuals_mut().override_text_color = Some(palette(ui).muted);
        model(app, ui);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            latency(app, ui);
            activity(view, ui);
        });
    });
}

fn model(app: &App, ui: &mut Ui) {
    let Some(model) = &app.models.open else {
        ui.label(if app.models.opening.is_some() { "Opening a model" } else { "No model" });
        return;
    };
    let cards = [&model.student, &model.teacher, &model.baseline];
    let mut names: Vec<_> = cards.into_iter().flatten().map(|card| card.name.as_str()).collect();
    names.dedup();
    // What goes on has room, however long the names are.
    let width = 0.45 * ui.available_width();
    let response = ui.scope(|ui| {
        ui.set_max_width(width);
        ui.add(Label::new(names.join(" and ")).truncate())
    });
    response.inner.on_hover_ui(|ui| {
        for (role, card) in [("Student", &model.student), ("Teacher", &model.teacher), ("Baseline", &model.baseline)] {
            let Some(card) = card else { continue };
            let stacks =
                if card.num_stacks > 1 { format!(", {} U-Nets in series", card.num_stacks) } else { String::new() };
            ui.label(format!(
                "{role}: {}, {:.1} M parameters{stacks}, {}×{} pixels, weights {}",
                card.name,
                card.unet_parameters as f64 / 1e6,
                card.size.0,
                card.size.1,
                card.hash
            ));
        }
    });
    ui.separator();
    ui.label(format!("{}, {}", model.device, precision(model.precision)));
}

/// What is under way, and for a few seconds what was just done; with neither, what live drawing does.
fn activity(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let loud = ui.visuals().widgets.active.text_color();
    let works = progress_bars::line(view, ui);
    match &app.notices.remark {
        Some(notice) => {
            if works {
                ui.separator();
            }
            let said = ui.add(Label::new(RichText::new(&notice.text).color(loud)).truncate());
            super::announce(&said, Live::Polite);
        }
        None if !works => {
            ui.label(app.idle_words());
        }
        None => {}
    }
}

fn latency(app: &App, ui: &mut Ui) {
    let (Some(seconds), Some(picture)) = (app.panes.live.latency, app.picture(PaneId::Live)) else { return };
    let text =
        RichText::new(format!("Key to picture {}", duration(seconds))).color(ui.visuals().widgets.active.text_color());
    ui.label(text).on_hover_ui(|ui| stages(ui, &picture.timings, seconds));
    ui.separator();
    if picture.settings.decoder == Decoder::Tiny {
        let label = ui.label("By the tiny decoder");
        label.on_hover_text("The full decoder follows when you stop typing, if the settings say so.");
        ui.separator();
    }
}

/// Where the time went.
fn stages(ui: &mut Ui, timings: &Timings, seconds: f64) {
    let rest = (timings.total - timings.text_encoder - timings.unet - timings.decoder).max(0.0);
    egui::Grid::new("stages").num_columns(2).show(ui, |ui| {
        for (stage, seconds) in [
            ("Text encoder", timings.text_encoder),
            ("U-Net", timings.unet),
            ("Decoder", timings.decoder),
            ("Other", rest),
            ("Waiting and showing", (seconds - timings.total).max(0.0)),
            ("Key to picture", seconds),
        ] {
            ui.label(stage);
            ui.monospace(format!("{:8.1} ms", seconds * 1000.0));
            ui.end_row();
        }
    });
}
