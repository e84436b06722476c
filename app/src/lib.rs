//! InstaFlow for the desktop: the window and the command line, as a library that `main` and the tests call.

pub mod commands;
pub mod library;
pub mod model_names;
pub mod record;
pub mod state;
pub mod window;

mod desktop;
mod folders;
mod format;
mod panels;
mod theme;
