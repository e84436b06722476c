//! The `instaflow` program: raw arguments in, the window or one command out.

use std::process::ExitCode;

use clap::Parser;
use instaflow::app;
use instaflow::commands::{self, Arguments};
use instaflow_engine::Recycler;

/// Feature maps have up to a hundred megabytes, and every layer makes one.
#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

fn main() -> ExitCode {
    let result = match Arguments::try_parse() {
        Err(error) => return commands::refuse(&error),
        Ok(Arguments { command: Some(command), .. }) => commands::run(command),
        Ok(Arguments { command: None, model }) => app::run(app::Options { open: model.open_request(), prompt: None }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => commands::report(&error),
    }
}
