//! Student and teacher from the same noise: how long each takes, and how far apart their pictures are.
//!
//! ```text
//! cargo run --release -p instaflow-engine --example compare -- "a red house by a lake"
//! ```

use std::error::Error;

use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{OpenRequest, Settings};
use instaflow_engine::threads::{Priority, compute_here};
use instaflow_engine::{CachingAllocator, Cancel};

#[global_allocator]
static ALLOCATOR: CachingAllocator = CachingAllocator::new();

fn main() -> Result<(), Box<dyn Error>> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "a red house by a lake".to_owned());
    compute_here(Priority::Normal);
    let models = Models::open(&OpenRequest::default(), &mut |_| {})?;

    // The defaults of both: one step without guidance, and 25 steps with guidance 1.5. Equal seeds give equal noise.
    let draw = |settings| {
        // The first picture of a model also prepares its weights, so the second one is timed.
        models.draw(&settings, None, &mut |_| {}, &Cancel::default())?;
        models.draw(&settings, None, &mut |_| {}, &Cancel::default())
    };
    let student = draw(Settings { seed: 7, ..Settings::student(&prompt) })?.picture;
    let teacher = draw(Settings { seed: 7, ..Settings::teacher(&prompt) })?.picture;

    for (name, picture) in [("student", &student), ("teacher", &teacher)] {
        println!("{name}: {} steps in {:.3} s", picture.settings.steps, picture.timings.total);
    }
    // How straight the teacher's path is: 0 would be a straight line, which one step follows exactly.
    if let Some(straightness) = teacher.straightness {
        println!("straightness of the teacher's path: {straightness:.1}");
    }
    println!("PSNR: {:.1} dB", psnr(&student.rgb, &teacher.rgb));
    Ok(())
}

/// Peak signal-to-noise ratio of two pictures of the same size, in decibels; infinite if they are equal.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "pictures of the same size");
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares).log10()
}
