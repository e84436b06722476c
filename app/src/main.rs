//! The `instaflow` program: reads the arguments, then opens the window or runs a command.

use std::process::ExitCode;

use clap::Parser;
use instaflow::commands::{self, Arguments, absolute};
use instaflow::record::Recording;
use instaflow::state;
use instaflow::window;
use instaflow_engine::CachingAllocator;

/// Feature maps have up to a hundred megabytes, and every layer makes one.
#[global_allocator]
static ALLOCATOR: CachingAllocator = CachingAllocator::new();

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Err(error) => commands::refuse(&error),
        Ok(arguments) => run(arguments).map_or_else(|error| commands::report(&error), |()| ExitCode::SUCCESS),
    }
}

/// Leaves a console that Windows opened only for this program, because closing it would end the window too.
#[cfg(windows)]
fn leave_console() {
    use windows_sys::Win32::System::Console::{FreeConsole, GetConsoleProcessList};

    let mut processes = [0_u32; 2];
    // SAFETY: the list has room for the two entries that the call may write.
    #[expect(unsafe_code, reason = "the system's own calls")]
    unsafe {
        if GetConsoleProcessList(processes.as_mut_ptr(), 2) == 1 {
            FreeConsole();
        }
    }
}

fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    // The window writes a log; a command writes to stderr.
    let log = if arguments.command.is_none() { window::log_file() } else { None };
    let recording = Recording::start(log.as_deref(), arguments.trace())?;
    if let Some(command) = arguments.command {
        return commands::run(command);
    }
    arguments.model.find_named()?;
    arguments.baseline.find_named()?;
    #[cfg(windows)]
    leave_console();
    let open = absolute(arguments.baseline.add_to(arguments.model.open_request()));
    window::run(state::Options { open, prompt: None }, arguments.repaint, recording)
}
