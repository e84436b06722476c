//! Where and how the networks compute.

use egui::Ui;
use instaflow_engine::protocol::{Decoder, DeviceChoice, OpenRequest, Precision};

use super::{choice, setting};
use crate::state::{Action, Controls, View, precision};

const DEVICE: &str = "Where the networks compute. Automatic uses a CUDA device if there is one and this program is \
                      built for it. A change reopens the models.";
const PRECISION: &str = "Precision of the networks. The default is bf16 on CUDA, and on a CPU for large models if it is \
                         measured faster there; otherwise f32. A change reopens the models.";
const ON_SCREEN: &str = "Which decoder turns latents into pixels on screen. The tiny one is faster, with a little less \
                         detail.";
const FOR_FILES: &str = "Full decodes a picture again with the model's own decoder before it is saved or copied, from \
                         the same latents. A PNG says which decoder made it.";
const NO_TINY: &str = "A tiny decoder would be faster. It needs an AutoencoderTiny: in the model's folder as \
                       vae_tiny/, or named with --tiny-decoder at the start.";

pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let request = app.models.request().clone();
    let default = OpenRequest::default();
    let mut wanted = request.clone();
    let ways = [(DeviceChoice::Auto, "Automatic"), (DeviceChoice::Cpu, "CPU"), (DeviceChoice::Cuda, "CUDA")];
    let now = app.models.open.as_ref().map(|model| format!("Now: {}, {}", model.device, precision(model.precision)));
    let reset = setting(ui, "Device", DEVICE, request.device != default.device, |ui| {
        wanted.device = choice(ui, request.device, &ways).unwrap_or(wanted.device);
        if let Some(now) = now {
            ui.weak(now);
        }
    });
    if reset {
        wanted.device = default.device;
    }
    let ways = [
        (None, "Default"),
        (Some(Precision::F32), "f32"),
        (Some(Precision::Bf16), "bf16"),
        (Some(Precision::F16), "f16"),
    ];
    let reset = setting(ui, "Precision", PRECISION, request.precision.is_some(), |ui| {
        wanted.precision = choice(ui, request.precision, &ways).unwrap_or(wanted.precision);
    });
    if reset {
        wanted.precision = None;
    }
    if wanted != request {
        view.act(Action::Reopen(wanted));
    }
    decoders(view, ui);
}

fn decoders(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let defaults = Controls::default();
    let has_tiny = app.models.live_card().is_some_and(|card| card.has_tiny_decoder);
    let controls = &mut view.controls;
    let typing = controls.tiny_while_typing != defaults.tiny_while_typing;
    let changed = controls.recipe.decoder != defaults.recipe.decoder || typing;
    let meaning = if has_tiny { ON_SCREEN } else { NO_TINY };
    let reset = setting(ui, "Decoder on screen", meaning, changed, |ui| {
        ui.add_enabled_ui(has_tiny, |ui| {
            let ways = [(Decoder::Full, "Full"), (Decoder::Tiny, "Tiny")];
            controls.recipe.decoder = choice(ui, controls.recipe.decoder, &ways).unwrap_or(controls.recipe.decoder);
            if controls.recipe.decoder == Decoder::Full {
                super::super::outlined(ui, |ui| ui.checkbox(&mut controls.tiny_while_typing, "Tiny while you type"));
            }
        });
    });
    if reset {
        controls.recipe.decoder = defaults.recipe.decoder;
        controls.tiny_while_typing = defaults.tiny_while_typing;
    }
    let changed = controls.file_decoder != defaults.file_decoder;
    let reset = setting(ui, "Decoder for files", FOR_FILES, changed, |ui| {
        let ways = [(Decoder::Full, "Full, always"), (Decoder::Tiny, "As on screen")];
        controls.file_decoder = choice(ui, controls.file_decoder, &ways).unwrap_or(controls.file_decoder);
    });
    if reset {
        controls.file_decoder = defaults.file_decoder;
    }
}
