//! 3×3 convolutions at the shapes of the networks: GFLOP/s of the forward pass and of both gradients, on one thread.
//!
//! `cargo bench -p instaflow-kernels`

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use instaflow_kernels::conv2d;

/// What is measured, samples, channels in and out, side.
const SHAPES: [(&str, usize, usize, usize, usize); 6] = [
    ("Pocket U-Net, level 0", 16, 64, 64, 16),
    ("Pocket U-Net, level 0, up", 16, 128, 64, 16),
    ("Pocket U-Net, level 1", 16, 128, 128, 8),
    ("Pocket U-Net, level 2", 16, 144, 144, 4),
    ("Pocket decoder, last level", 4, 32, 32, 128),
    ("SD 1.5 U-Net, level 0", 1, 320, 320, 64),
];

/// Repetitions, of which the fastest counts.
const RUNS: usize = 5;

fn main() -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    pool.install(|| {
        println!("{:<28} {:>10} {:>10}   GFLOP/s on one thread", "3×3, stride 1", "forward", "gradients");
        SHAPES.into_iter().try_for_each(|(name, batch, input, output, side)| {
            let random = |shape: &[usize]| Tensor::rand(-1f32, 1f32, shape, &Device::Cpu);
            let x = Var::from_tensor(&random(&[batch, input, side, side])?)?;
            let weight = Var::from_tensor(&random(&[output, input, 3, 3])?)?;
            let flop = 2.0 * 9.0 * (batch * input * output * side * side) as f64;
            let (mut forward, mut backward) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..RUNS {
                let start = Instant::now();
                let y = conv2d(&x, &weight, None, 1, 1)?;
                forward = forward.min(start.elapsed().as_secs_f64());
                let loss = y.sum_all()?;
                let start = Instant::now();
                let gradients = loss.backward()?;
                backward = backward.min(start.elapsed().as_secs_f64());
                assert!(gradients.get(&weight).is_some_and(|g| g.dtype() == DType::F32));
            }
            println!("{name:<28} {:>10.1} {:>10.1}", flop / forward / 1e9, 2.0 * flop / backward / 1e9);
            Ok(())
        })
    })
}
