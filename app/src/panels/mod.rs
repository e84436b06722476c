//! What is drawn, area by area. Each panel reads the state through a [`View`] and gives back what the person did: edits of
//! the controls, and actions. No panel changes the state itself.

mod canvas;
mod command_palette;
mod comparison_numbers;
mod comparison_view;
mod filmstrip;
mod kept_picture;
mod live_picture;
mod log_view;
mod lora_stack;
mod menu;
mod messages;
mod models;
mod number_field;
mod path_plots;
mod picture_grid;
mod progress_bars;
mod prompt_field;
mod question;
mod recipe_question;
mod settings;
mod side_panel;
mod status_bar;
mod terms;
mod vocabulary;

use egui::{CentralPanel, Frame, Id, Margin, Modal, Panel, Response, Stroke, Ui};
use tracing::info_span;

use crate::state::{Command, PaneId, Show, View};
use crate::theme::{palette, tokens};

/// What the scroll bar at the side takes, in points.
const BAR: i8 = 10;

/// The whole window.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let padding = |x: i8, y: i8| Frame::new().fill(palette(ui).panel).inner_margin(Margin::symmetric(x, y));
    let (bar, field, side, strip) = (padding(8, 2), padding(12, 8), padding(14, 12), padding(12, 5));
    // A graphics driver in software spends most of a frame on filling: if the window is clear, it is already filled.
    let ground = if app.widgets.canvas_is_clear { egui::Color32::TRANSPARENT } else { palette(ui).canvas };
    let canvas = Frame::new().fill(ground).inner_margin(Margin::same(tokens().spacing.gap as i8));

    // The order is that of Tab, too: menu, prompt, messages, side, kept pictures, pictures.
    Panel::top("menu")
        .frame(bar)
        .show_separator_line(false)
        .show(ui, |ui| info_span!("menu").in_scope(|| menu::show(view, ui)));
    Panel::top("prompt").frame(field).show(ui, |ui| info_span!("prompt").in_scope(|| prompt_field::show(view, ui)));
    messages::show(view, ui);
    Panel::bottom("status").frame(bar).show(ui, |ui| info_span!("status").in_scope(|| status_bar::show(view, ui)));
    if app.side_is_shown(ui.ctx()) {
        let width = tokens().spacing.side + 28.0;
        // The scroll bar has its place in the margin.
        let frame = side.inner_margin(Margin { right: side.inner_margin.right - BAR, ..side.inner_margin });
        let panel = Panel::right("side").frame(frame).resizable(false).exact_size(width);
        panel.show(ui, |ui| {
            egui::ScrollArea::vertical().show(ui, |ui| {
                ui.set_max_width(ui.available_width() - f32::from(BAR));
                info_span!("side").in_scope(|| side_panel::show(view, ui));
            })
        });
    }
    if app.words_are_shown() {
        let panel = Panel::left("words").frame(side).resizable(false).exact_size(tokens().spacing.side + 72.0);
        panel.show(ui, |ui| vocabulary::panel(view, ui));
    }
    let height = filmstrip::height(app, ui);
    let panel = Panel::bottom("film").frame(strip).resizable(false).exact_size(height);
    panel.show(ui, |ui| info_span!("film").in_scope(|| filmstrip::show(view, ui)));
    let span = info_span!("pictures").entered();
    CentralPanel::no_frame().frame(canvas).show(ui, |ui| {
        let area = ui.available_rect_before_wrap();
        pictures(view, ui);
        progress_bars::card(view, ui, area);
    });
    drop(span);
    question::show(view, ui.ctx());
    recipe_question::show(view, ui.ctx());
    menu::show_shortcuts(view, ui.ctx());
    command_palette::show(view, ui.ctx());
    settings::show(view, ui.ctx());
    log_view::show(view, ui.ctx());
    models::show(view, ui.ctx());
}

fn pictures(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    match app.controls.show {
        _ if app.kept_pictures.viewed.is_some() => kept_picture::show(view, ui),
        Show::Compare if app.comparing() => comparison_view::show(view, ui),
        Show::Variations => picture_grid::variations(view, ui),
        Show::Steps if app.models.no_teacher().is_none() => picture_grid::steps(view, ui),
        _ => {
            let name = format!("{} picture", app.pane_name(PaneId::Live));
            live_picture::show(view, ui, &name);
        }
    }
}

/// A window over the window. Whoever shows one gives the keyboard to one of its controls, by [`first`].
fn over(ctx: &egui::Context, name: &str) -> Modal {
    let area = Modal::default_area(Id::unique(name)).accessible_name(name);
    Modal::new(Id::unique(name)).area(area).frame(Frame::window(&ctx.global_style()))
}

/// Gives a control the keyboard when it comes, as a window over the window does.
fn first(response: &Response) {
    let pass = response.ctx.cumulative_pass_nr();
    let before = response.ctx.data_mut(|data| {
        let last: &mut Option<u64> = data.get_temp_mut_or_default(response.id);
        last.replace(pass)
    });
    if before.is_none_or(|before| before + 1 < pass) {
        response.request_focus();
    }
}

/// The button that closes a window over the window, and has the keyboard first. Tells whether it was pressed.
fn close_button(ui: &mut Ui) -> bool {
    let close = ui.button("Close");
    first(&close);
    close.clicked()
}

/// Has a screen reader say a text when it comes.
fn announce(response: &Response, how: egui::accesskit::Live) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_live(how));
}

/// A button for a command, with the command's own name and hint.
fn button(view: &mut View<'_>, ui: &mut Ui, command: Command) -> Response {
    button_called(view, ui, command, command.label())
}

/// The same with other words on it, if its own are too long.
fn button_called(view: &mut View<'_>, ui: &mut Ui, command: Command, text: &str) -> Response {
    let app = view.app;
    let why_not = app.why_not(command);
    let response = ui.add_enabled(why_not.is_none(), egui::Button::new(text)).accessible_name(command.label());
    if response.clicked() {
        view.command(command);
    }
    let hint = command.hint(ui.ctx());
    response.on_hover_text(hint).on_disabled_hover_text(why_not.unwrap_or_default())
}

/// A command that is on or off, as a button that shows which.
fn toggle(view: &mut View<'_>, ui: &mut Ui, command: Command) -> Response {
    let app = view.app;
    let (on, why_not) = (app.is_on(ui.ctx(), command).unwrap_or(false), app.why_not(command));
    let response = ui.add_enabled_ui(why_not.is_none(), |ui| selectable(ui, on, command.label())).inner;
    if response.clicked() {
        view.command(command);
    }
    let hint = command.hint(ui.ctx());
    response.on_hover_text(hint).on_disabled_hover_text(why_not.unwrap_or_default())
}

/// A button that is on or off; a line under its name says so to whoever does not see the colour.
fn selectable(ui: &mut Ui, on: bool, text: impl Into<String>) -> Response {
    let response = ui.add(egui::Button::selectable(on, text.into()).frame_when_inactive(true));
    if on {
        let line = response.rect.x_range().shrink(7.0);
        ui.painter().hline(line, response.rect.bottom() - 2.5, Stroke::new(1.5, palette(ui).accent));
    }
    response
}

/// Something to tick, drawn by `add`, whose box or dot has an outline that can be seen on any ground.
fn outlined(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> Response) -> Response {
    ui.scope(|ui| {
        let outline = palette(ui).outline;
        ui.visuals_mut().widgets.inactive.bg_stroke.color = outline;
        add(ui)
    })
    .inner
}

/// Commands of which one is on, close together.
fn ways(view: &mut View<'_>, ui: &mut Ui, commands: &[Command]) {
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for command in commands {
            toggle(view, ui, *command);
        }
    });
}
