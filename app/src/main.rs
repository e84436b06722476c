//! The `instaflow` program: raw arguments in, the window or one command out.

use std::process::ExitCode;

use clap::Parser;
use instaflow::app;
use instaflow::commands::{self, Arguments, absolute};
use instaflow::record::Recording;
use instaflow_engine::Recycler;

/// Feature maps have up to a hundred megabytes, and every layer makes one.
#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Err(error) => commands::refuse(&error),
        Ok(arguments) => run(arguments).map_or_else(|error| commands::report(&error), |()| ExitCode::SUCCESS),
    }
}

/// A console that Windows opened for this program alone goes: whoever closed it would end the window without a word.
#[cfg(windows)]
fn leave_console() {
    use windows_sys::Win32::System::Console::{FreeConsole, GetConsoleProcessList};

    let mut processes = [0_u32; 2];
    // SAFETY: the list is as long as it is said to be.
    #[expect(unsafe_code, reason = "the system's own calls")]
    unsafe {
        if GetConsoleProcessList(processes.as_mut_ptr(), 2) == 1 {
            FreeConsole();
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // A command says on stderr what it has to say; the window has its log.
    let log = if arguments.command.is_none() { app::log_file() } else { None };
    let recording = Recording::start(log.as_deref(), arguments.trace())?;
    if let Some(command) = arguments.command {
        return commands::run(command);
    }
    #[cfg(windows)]
    leave_console();
    let open = absolute(arguments.baseline.add_to(arguments.model.open_request()));
    app::run(app::Options { open, prompt: None }, arguments.repaint, recording)
}
