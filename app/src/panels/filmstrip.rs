//! The filmstrip: kept pictures, newest first, with what can be done with them. Only what is in sight is laid out, and
//! only its thumbnails are asked for. Change what a picture in the strip shows in [`cell`].

use egui::scroll_area::ScrollBarVisibility;
use egui::{
    Align, Align2, Button, EventFilter, Id, Image, Key, Layout, Margin, Mesh, Pos2, Rect, RichText, ScrollArea, Sense,
    Shape, Stroke, StrokeKind, TextEdit, Ui, Vec2, WidgetInfo, vec2,
};
use instaflow_engine::protocol::Decoder;

use super::canvas;
use crate::format;
use crate::library::Entry;
use crate::state::{Act, Action, App, Command, SEARCHES, Standing, View};
use crate::theme::{palette, tokens};

/// Between two pictures, in points.
const GAP: f32 = 4.0;

/// Room for the scroll bar under the pictures, in points.
const BAR: f32 = 10.0;

/// Whether there is room for the strip beside the pictures, in a window of this height.
fn fits(height: f32) -> bool {
    height > 4.5 * tokens().spacing.strip
}

/// The strip's whole height, folded or not.
pub fn height(app: &App, ui: &Ui) -> f32 {
    let header = ui.spacing().interact_size.y + 10.0;
    let shown = app.controls.show_film && !app.kept_pictures.shelf.is_empty() && fits(ui.ctx().content_rect().height());
    if shown { header + tokens().spacing.strip + BAR + 6.0 } else { header }
}

/// Header and strip.
pub fn show(view: &mut View<'_>, ui: &mut Ui) {
    let shown = ui.available_height() > tokens().spacing.strip;
    header(view, ui);
    if shown {
        strip(view, ui);
    }
}

/// Everything that can be done with an entry, for a menu.
pub fn menu(view: &mut View<'_>, ui: &mut Ui, id: u64) {
    let app = view.app;
    let Some(entry) = app.kept_pictures.shelf.get(id).cloned() else { return ui.close() };
    ui.set_min_width(180.0);
    for act in Act::ALL {
        if act == Act::Delete {
            ui.separator();
        }
        if action(view, ui, act, &entry) {
            ui.close();
        }
    }
}

/// A button for something that can be done with an entry; whether it was pressed.
pub fn action(view: &mut View<'_>, ui: &mut Ui, act: Act, entry: &Entry) -> bool {
    let app = view.app;
    let why_not = app.why_not_act(act, entry);
    let response = ui.add_enabled(why_not.is_none(), Button::new(act.label(entry)));
    let clicked = response.clicked();
    if clicked {
        view.act(Action::Kept(act, entry.id));
    }
    response.on_hover_text(act.tooltip()).on_disabled_hover_text(why_not.unwrap_or_default());
    clicked
}

fn header(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    ui.horizontal(|ui| {
        super::toggle(view, ui, Command::Filmstrip);
        match &app.kept_pictures.standing {
            Standing::Opening => {
                ui.weak("Loading the kept pictures");
            }
            Standing::Closed(failure) => {
                let text = RichText::new(&failure.message).color(palette(ui).note);
                let response = ui.add(egui::Label::new(text).truncate());
                response.on_hover_text(failure.causes.join("\n"));
                if ui.button("Try again").clicked() {
                    view.act(Action::RetryLibrary);
                }
            }
            Standing::Open if app.kept_pictures.shelf.is_empty() && app.kept_pictures.deleted() == 0 => {
                let keys = Command::Keep.keys(ui.ctx());
                ui.weak(format!("None yet. {keys} keeps the picture with its settings."));
            }
            Standing::Open => {
                search(view, ui);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| selection(view, ui));
            }
        }
    });
}

fn search(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let mut query = app.kept_pictures.shelf.query().clone();
    // A narrow window has other things to show beside it, too.
    let width = (ui.available_width() - 370.0).clamp(84.0, 170.0);
    let edit = TextEdit::singleline(&mut query.words).id(Id::unique(SEARCHES[0]));
    let edit = edit.hint_text("Search prompts").desired_width(width);
    let response = ui.add(edit.margin(Margin::symmetric(8, 3))).accessible_name("Search kept pictures");
    if app.kept_pictures.find {
        view.act(Action::SearchFocused);
        response.request_focus();
    }
    if super::selectable(ui, query.starred, "Starred").on_hover_text("Show only starred pictures.").clicked() {
        query.starred = !query.starred;
    }
    let (all, found) = (app.kept_pictures.shelf.len(), app.kept_pictures.shelf.found());
    ui.weak(if query.is_empty() { format!("{all} kept") } else { format!("{found} of {all}") });
    if query != *app.kept_pictures.shelf.query() {
        view.act(Action::Search(query));
    }
    let deleted = app.kept_pictures.deleted();
    if deleted > 0 {
        ui.separator();
        ui.label(format!("{deleted} deleted"));
        super::button(view, ui, Command::Undelete);
    }
}

/// What can be done with the selected one, from the right.
fn selection(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    let Some(entry) = app.kept_pictures.selection().cloned() else { return };
    ui.menu_button("More", |ui| menu(view, ui, entry.id)).response.on_hover_text("More actions for this picture.");
    for (act, width) in [(Act::Delete, 70.0), (Act::Star, 104.0), (Act::Restore, 128.0)] {
        // What finds no room is in the menu.
        if ui.available_width() < width {
            return;
        }
        action(view, ui, act, &entry);
    }
}

fn strip(view: &mut View<'_>, ui: &mut Ui) {
    let app = view.app;
    if app.kept_pictures.shelf.found() == 0 {
        let text = RichText::new("No kept picture matches the search.").color(palette(ui).muted);
        ui.centered_and_justified(|ui| ui.label(text));
        return;
    }
    let side = tokens().spacing.strip;
    let step = side + GAP;
    let whole = Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), side));
    let id = Id::unique("filmstrip");
    let response = ui.interact(whole, id, Sense::focusable_noninteractive());
    let found = app.kept_pictures.shelf.found();
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::ListBox, true, "Filmstrip"));
    ui.ctx().accesskit_node_builder(id, |node| node.set_size_of_set(found));
    if response.has_focus() {
        keys(view, ui, id, (whole.width() / step).max(1.0) as usize);
        ui.painter().rect_stroke(
            whole.expand(2.0),
            tokens().radius.picture,
            Stroke::new(1.0, palette(ui).accent),
            StrokeKind::Outside,
        );
    }
    ui.style_mut().always_scroll_the_only_direction = true;
    let area =
        ScrollArea::horizontal().auto_shrink(false).scroll_bar_visibility(ScrollBarVisibility::VisibleWhenNeeded);
    area.show_viewport(ui, |ui, seen| {
        let start = ui.min_rect().min;
        ui.set_min_size(vec2(found as f32 * step - GAP, side));
        let place_of = |at: usize| Rect::from_min_size(start + vec2(at as f32 * step, 0.0), vec2(side, side));
        if app.kept_pictures.follow {
            view.act(Action::SelectionShown);
            // Where a search does not find the selected one, to the newest that it finds.
            let at = app.kept_pictures.selected.and_then(|id| app.kept_pictures.shelf.place(id)).unwrap_or(0);
            ui.scroll_to_rect(place_of(at).expand2(vec2(GAP, 0.0)), None);
        }
        let first = (seen.min.x / step).max(0.0) as usize;
        let last = ((seen.max.x / step).ceil().max(0.0) as usize).min(found);
        let mut missing = Vec::new();
        for at in first..last {
            let Some(entry) = app.kept_pictures.shelf.at(at).cloned() else { break };
            if !cell(view, ui, place_of(at), &entry, id) {
                missing.push(entry.id);
            }
            let (option, selected) = (id.with(entry.id), app.kept_pictures.selected == Some(entry.id));
            ui.ctx().accesskit_node_builder(option, |node| {
                node.set_position_in_set(at + 1);
                node.set_selected(selected);
                node.set_description(line(&entry));
            });
            // Only what is laid out can be named as what the keyboard is on.
            if selected {
                ui.ctx().accesskit_node_builder(id, |node| node.set_active_descendant(option.accesskit_id()));
            }
        }
        // The leftmost first.
        missing.reverse();
        view.act(Action::Wish(missing));
    });
}

/// One kept picture; whether its thumbnail is at hand. `strip` is who has the keyboard for all of them.
fn cell(view: &mut View<'_>, ui: &mut Ui, rect: Rect, entry: &Entry, strip: Id) -> bool {
    let app = view.app;
    let selected = app.kept_pictures.selected == Some(entry.id);
    // The strip as a whole is reached with Tab, its pictures with the arrows.
    let response = ui.interact(rect, strip.with(entry.id), Sense::CLICK);
    response.widget_info(|| WidgetInfo::selected(egui::accesskit::Role::ListBoxOption, true, selected, name(entry)));
    let radius = tokens().radius.picture;
    let at_hand = !app.kept_pictures.thumbnails.lacks(entry.id);
    match app.kept_pictures.thumbnails.look_at(entry.id) {
        Some(texture) => {
            let uv = canvas::middle(texture.size_vec2(), rect.size());
            Image::new(texture).uv(uv).corner_radius(radius).paint_at(ui, rect);
        }
        None => {
            ui.painter().rect_filled(rect, radius, palette(ui).border);
        }
    }
    if entry.starred {
        star(ui, rect.right_top() + vec2(-13.0, 13.0));
    }
    if app.is_decoding(entry.id) {
        canvas::label(ui, rect.expand(2.0), Align2::LEFT_BOTTOM, "Decoding");
    }
    if selected || response.hovered() {
        let stroke = if selected { Stroke::new(2.0, palette(ui).accent) } else { Stroke::new(1.0, palette(ui).text()) };
        ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
    }
    if response.clicked() {
        ui.memory_mut(|memory| memory.request_focus(strip));
        view.act(Action::Kept(Act::Open, entry.id));
    }
    if response.secondary_clicked() {
        view.act(Action::Select(entry.id));
    }
    response.context_menu(|ui| menu(view, ui, entry.id));
    response.on_hover_ui(|ui| details(ui, entry));
    at_hand
}

/// The mark of what is liked, on ground of its own so that it is seen on any picture.
fn star(ui: &Ui, centre: Pos2) {
    const POINTS: usize = 10;
    let (ink, ground) = (palette(ui).on_label, palette(ui).label.gamma_multiply(0.75));
    ui.painter().circle_filled(centre, 9.0, ground);
    let corner = |at: usize| {
        let radius = if at.is_multiple_of(2) { 6.0 } else { 2.6 };
        centre + radius * Vec2::angled(std::f32::consts::TAU * (at as f32 / POINTS as f32 - 0.25))
    };
    let mut mesh = Mesh::default();
    mesh.colored_vertex(centre, ink);
    for at in 0..POINTS {
        mesh.colored_vertex(corner(at), ink);
        mesh.add_triangle(0, 1 + at as u32, 1 + ((at + 1) % POINTS) as u32);
    }
    ui.painter().add(mesh);
    // A mesh has hard edges, a line has soft ones.
    ui.painter().add(Shape::closed_line((0..POINTS).map(corner).collect(), Stroke::new(1.0, ink)));
}

/// The arrows and what else the strip answers to; `page` is how many it shows.
fn keys(view: &mut View<'_>, ui: &mut Ui, strip: Id, page: usize) {
    let app = view.app;
    let filter = EventFilter { horizontal_arrows: true, escape: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(strip, filter));
    // A slow frame may bring a key several times.
    let presses = |key| ui.input(|input| if input.modifiers.any() { 0 } else { input.num_presses(key) });
    let pressed = |key| presses(key) > 0;
    let last = app.kept_pictures.shelf.found().saturating_sub(1);
    let now = app.kept_pictures.selected.and_then(|id| app.kept_pictures.shelf.place(id));
    let next = match now {
        None => [Key::ArrowLeft, Key::ArrowRight, Key::Home, Key::Enter].into_iter().any(pressed).then_some(0),
        Some(now) if pressed(Key::ArrowLeft) => Some(now.saturating_sub(presses(Key::ArrowLeft))),
        Some(now) if pressed(Key::ArrowRight) => Some((now + presses(Key::ArrowRight)).min(last)),
        Some(now) if pressed(Key::PageUp) => Some(now.saturating_sub(page * presses(Key::PageUp))),
        Some(now) if pressed(Key::PageDown) => Some((now + page * presses(Key::PageDown)).min(last)),
        Some(_) if pressed(Key::Home) => Some(0),
        Some(_) if pressed(Key::End) => Some(last),
        Some(_) => None,
    };
    if let Some(id) =
        next.filter(|at| Some(*at) != now).and_then(|at| app.kept_pictures.shelf.at(at)).map(|entry| entry.id)
    {
        view.act(Action::Browse(id));
    }
    let chosen = next.and_then(|at| app.kept_pictures.shelf.at(at)).map(|entry| entry.id);
    let Some(id) = chosen.or(app.kept_pictures.selected) else { return };
    for (key, act) in
        [(Key::Enter, Act::Open), (Key::Space, Act::Star), (Key::Delete, Act::Delete), (Key::Backspace, Act::Delete)]
    {
        if pressed(key) {
            view.act(Action::Kept(act, id));
        }
    }
}

/// What a screen reader calls a kept picture.
fn name(entry: &Entry) -> String {
    let star = if entry.starred { ", starred" } else { "" };
    format!("{}{star}", canvas::described(&entry.settings))
}

/// What is shown beside the pointer.
fn details(ui: &mut Ui, entry: &Entry) {
    let prompt = &entry.settings.prompt;
    if !prompt.trim().is_empty() {
        ui.label(shortened(prompt, 240));
    }
    ui.weak(line(entry));
    ui.weak(kept_at(entry));
}

/// How an entry was drawn, in one line.
pub fn line(entry: &Entry) -> String {
    let settings = &entry.settings;
    let (role, steps) = (format::role(settings.role), format::steps(settings.steps));
    let tiny = if settings.decoder == Decoder::Tiny { ", tiny decoder" } else { "" };
    let (width, height, seed) = (entry.width, entry.height, settings.seed);
    let model = if entry.model.is_empty() { String::new() } else { format!("{}, ", entry.model) };
    format!("{model}{role}, {steps}, seed {seed}, {width} × {height}{tiny}")
}

/// When it was kept, in local time.
pub fn kept_at(entry: &Entry) -> String {
    let time = jiff::Timestamp::from_millisecond(entry.kept_at as i64).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("Kept on %-d %B %Y, %H:%M").to_string()
}

/// The beginning of a text in one line.
pub fn shortened(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
