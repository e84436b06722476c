//! A prompt in, a PNG out, with the Pocket pair inside the binary:
//!
//! ```text
//! cargo run --release -p instaflow-engine --example one_picture -- "a red house by a lake" lake.png
//! ```

use std::error::Error;
use std::path::Path;

use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{OpenRequest, Settings};
use instaflow_engine::threads::{Priority, compute_here};
use instaflow_engine::{CachingAllocator, Cancel, png};

/// Reuses large blocks of memory, which every picture needs anew.
#[global_allocator]
static ALLOCATOR: CachingAllocator = CachingAllocator::new();

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let prompt = arguments.next().unwrap_or_else(|| "a red house by a lake".to_owned());
    let path = arguments.next().unwrap_or_else(|| "picture.png".to_owned());

    // Work on all cores.
    compute_here(Priority::Normal);

    // The default request opens Pocket on the best device. For a model folder in Diffusers layout, set its field `model`
    // to `Source::Folder(path)`.
    let models = Models::open(&OpenRequest::default(), &mut |_| {})?;

    // One step and no guidance. Size, seed and the rest are fields of `Settings`.
    let settings = Settings { seed: 7, ..Settings::student(prompt) };
    let picture = models.draw(&settings, None, &mut |_| {}, &Cancel::default())?.picture;

    // The file also says how it was made. An existing file is replaced.
    png::save(Path::new(&path), &picture, true, true)?;
    println!("{path}: {}x{} pixels in {:.0} ms", picture.width, picture.height, picture.timings.total * 1000.0);
    Ok(())
}
