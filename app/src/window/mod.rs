//! The window as a whole: it opens here ([`run`]), and each frame shows the state to the panels and gives what the person
//! did in them back to the state ([`show`]). What stands in it is [`panels`]', what it does is [`app`](crate::state)'s.

mod display;
mod launch;

use crate::panels;
use crate::state::{App, View};

pub use launch::{log_file, run};

/// Draws one frame and does what was asked for in it.
pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let mut view = View::new(app);
    panels::show(&mut view, ui);
    let done = view.done();
    app.apply(done, ui.ctx());
}
