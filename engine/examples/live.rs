//! A picture that follows every keystroke: the engine draws on its own thread, and the latest prompt wins. This program
//! types a prompt letter by letter and prints what the engine answers.
//!
//! ```text
//! cargo run --release -p instaflow-engine --example live -- "a red house by a lake" 40
//! ```
//!
//! The number is the time between two keystrokes in milliseconds.

use std::error::Error;
use std::time::{Duration, Instant};

use instaflow_engine::CachingAllocator;
use instaflow_engine::protocol::{
    DrawEvent, DrawOutcome, Event, JobId, Lane, LoadProgress, OpenEvent, OpenOutcome, OpenRequest, Request, Settings,
};
use instaflow_engine::worker::Engine;

#[global_allocator]
static ALLOCATOR: CachingAllocator = CachingAllocator::new();

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let prompt = arguments.next().unwrap_or_else(|| "a red house by a lake".to_owned());
    let pause = arguments.next().map_or(Ok(40), |text| text.parse())?;

    // A window would wake its event loop in this closure. Here the main thread waits for events itself.
    let engine = Engine::spawn(|| {});
    engine.send(Request::Open(JobId(0), OpenRequest::default()));
    loop {
        match engine.events().recv()? {
            Event::Open(_, OpenEvent::Progress(LoadProgress { part, done, total })) => {
                println!("loading the {part}: {done} of {total} MiB");
            }
            Event::Open(_, OpenEvent::End(OpenOutcome::Opened(summary))) => {
                println!("open on {}", summary.device);
                break;
            }
            Event::Open(_, OpenEvent::End(OpenOutcome::Failed(failure))) => return Err(failure.message.into()),
            _ => {}
        }
    }

    let mut typed = String::new();
    let mut last = JobId(0);
    for letter in prompt.chars() {
        typed.push(letter);
        last.0 += 1;
        // `send` never blocks. A request that still waits in the lane ends as `Dropped`.
        let settings = Settings { seed: 7, ..Settings::student(&typed) };
        engine.send(Request::Draw { id: last, lane: Lane::Live, settings, asked: Instant::now() });
        let next = Instant::now() + Duration::from_millis(pause);
        while let Ok(event) = engine.events().recv_deadline(next) {
            report(&event)?;
        }
    }
    // Every request ends exactly once, so the last one's end is the end of all.
    while report(&engine.events().recv()?)? != Some(last) {}
    Ok(())
}

/// Prints an event about a picture. Returns the request that it ends, if it ends one.
fn report(event: &Event) -> Result<Option<JobId>, Box<dyn Error>> {
    let Event::Draw(id, _, DrawEvent::End(outcome)) = event else { return Ok(None) };
    match outcome {
        DrawOutcome::Drawn { picture, seconds } => {
            println!("{:>4.0} ms from the key to the picture of \"{}\"", seconds * 1000.0, picture.settings.prompt);
        }
        DrawOutcome::Dropped => println!("         request {} was overtaken", id.0),
        DrawOutcome::Unchanged => println!("         request {} has the last picture's settings", id.0),
        DrawOutcome::Failed(failure) => return Err(failure.message.clone().into()),
    }
    Ok(Some(*id))
}
