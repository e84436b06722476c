//! How to get and open the published weights. The program fetches nothing itself; README.md says the same.

use egui::{Label, RichText, Ui};

use crate::state::{Action, Command, Modal, View};
use crate::theme::palette;

/// What fetches the student and its teacher.
const FETCH: &str = "git lfs install
git clone https://huggingface.co/XCLiu/instaflow_0_9B_from_sd_1_5
git clone https://huggingface.co/XCLiu/2_rectified_flow_from_sd_1_5";

/// The explanation, while it is open.
pub fn show(view: &mut View<'_>, ctx: &egui::Context) {
    if !matches!(view.app.modal, Some(Modal::Weights)) {
        return;
    }
    let width = (ctx.content_rect().width() - 60.0).min(560.0);
    let modal = super::over(ctx, "How to get the published weights").show(ctx, |ui| {
        ui.set_width(width);
        ui.heading("The published weights");
        ui.add_space(6.0);
        sentence(
            ui,
            "Pocket draws landscapes only. InstaFlow-0.9B was trained on pictures from the web and draws much more.",
        );
        ui.add_space(6.0);
        ui.strong("1  Fetch the student and its teacher");
        sentence(
            ui,
            "About 4.3 GB each without safety_checker/, which is not used. Read their licences first: \
             CC-BY-NC-4.0 and CreativeML OpenRAIL-M. InstaFlow itself downloads nothing.",
        );
        egui::Frame::new().fill(palette(ui).canvas).inner_margin(8).corner_radius(5).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.add(Label::new(RichText::new(FETCH).monospace()).wrap().selectable(true));
        });
        if ui.button("Copy these lines").clicked() {
            ctx.copy_text(FETCH.to_owned());
            view.act(Action::Notify("Copied".to_owned()));
        }
        ui.add_space(6.0);
        ui.strong("2  Open the first as the model and the second as its teacher");
        ui.horizontal(|ui| {
            for command in [Command::Open, Command::OpenTeacher] {
                super::button(view, ui, command);
            }
        });
        ui.add_space(10.0);
        super::close_button(ui)
    });
    if modal.inner || modal.should_close() {
        view.act(Action::CloseModal);
    }
}

fn sentence(ui: &mut Ui, text: &str) {
    ui.add(Label::new(text).wrap());
}
