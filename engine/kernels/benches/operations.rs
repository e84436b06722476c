//! Every operation at the shapes of the networks: GFLOP/s, and percent of the peak measured in the same run.
//!
//! `cargo bench -p instaflow-kernels [-- SUBSTRING]`

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use instaflow_kernels::{self as kernels, Activation, Conv2d, FusedOps, Linear, Method};

#[global_allocator]
static ALLOCATOR: kernels::CachingAllocator = kernels::CachingAllocator::new();

/// Repetitions, of which the fastest counts: the others met something else on the machine.
const RUNS: usize = 7;

/// What is measured, channels in and out, side of the image.
const CONVOLUTIONS: [(&str, usize, usize, usize); 16] = [
    ("SD 1.5 U-Net, level 0", 320, 320, 64),
    ("SD 1.5 U-Net, level 0, up", 960, 320, 64),
    ("SD 1.5 U-Net, level 1", 640, 640, 32),
    ("SD 1.5 U-Net, level 2", 1280, 1280, 16),
    ("SD 1.5 U-Net, level 3", 1280, 1280, 8),
    ("SD 1.5 decoder, 64", 512, 512, 64),
    ("SD 1.5 decoder, 128", 512, 512, 128),
    ("SD 1.5 decoder, 256", 256, 256, 256),
    ("SD 1.5 decoder, 512", 128, 128, 512),
    ("SD 1.5 decoder, last", 128, 3, 512),
    ("TAESD, 512", 64, 64, 512),
    ("Pocket U-Net, level 0", 64, 64, 16),
    ("Pocket U-Net, level 0, up", 128, 64, 16),
    ("Pocket U-Net, level 1", 128, 128, 8),
    ("Pocket U-Net, level 2", 144, 144, 4),
    ("Pocket decoder, 128", 32, 32, 128),
];

/// What is measured, rows, values in and out, activation.
const PRODUCTS: [(&str, usize, usize, usize, Activation); 8] = [
    ("SD 1.5 U-Net, projection, level 0", 4096, 320, 320, Activation::None),
    ("SD 1.5 U-Net, gate, level 0", 4096, 320, 2560, Activation::Geglu),
    ("SD 1.5 U-Net, contraction, level 0", 4096, 1280, 320, Activation::None),
    ("SD 1.5 U-Net, projection, level 2", 256, 1280, 1280, Activation::None),
    ("SD 1.5 U-Net, gate, level 2", 256, 1280, 10240, Activation::Geglu),
    ("CLIP, expansion", 77, 768, 3072, Activation::QuickGelu),
    ("Pocket U-Net, gate", 64, 128, 1024, Activation::Geglu),
    ("one row", 1, 1280, 1280, Activation::None),
];

/// What is measured, queries, keys, heads, values of a head.
const ATTENTIONS: [(&str, usize, usize, usize, usize); 6] = [
    ("SD 1.5 U-Net, level 0", 4096, 4096, 8, 40),
    ("SD 1.5 U-Net, level 0, text", 4096, 77, 8, 40),
    ("SD 1.5 U-Net, level 1", 1024, 1024, 8, 80),
    ("SD 1.5 U-Net, level 2", 256, 256, 8, 160),
    ("SD 1.5 decoder", 4096, 4096, 1, 512),
    ("CLIP", 77, 77, 12, 64),
];

struct Bench {
    filter: String,
    peak: f64,
}

fn main() -> Result<()> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let threads = rayon::current_num_threads();
    let peak = kernels::peak();
    println!("{threads} threads; peak {peak:.0} GFLOP/s in f32 (multiply-adds in registers, nothing loaded)\n");
    let bench = Bench { filter, peak };
    for dtype in [DType::F32, DType::BF16] {
        for (name, input, output, side) in CONVOLUTIONS {
            let flop = 2.0 * 9.0 * (input * output * side * side) as f64;
            for (method, label) in
                [(Method::Direct, "direct"), (Method::WinogradF2, "F(2×2)"), (Method::WinogradF4, "F(4×4)")]
            {
                let convolution = Conv2d::new(weights(&[output, input, 3, 3])?.to_dtype(dtype)?, None)?.by(method);
                let x = random(&[1, side, side, input])?.to_dtype(dtype)?;
                let title = format!("conv 3×3 {label}: {name}, {input}→{output}, {side}²");
                bench.time(&title, dtype, flop, || convolution.forward(&x, FusedOps::default()))?;
            }
        }
        for (name, rows, input, output, activation) in PRODUCTS {
            let linear = Linear::new(weights(&[output, input])?.to_dtype(dtype)?, None)?;
            let x = random(&[1, rows, input])?.to_dtype(dtype)?;
            let flop = 2.0 * (rows * input * output) as f64;
            let title = format!("linear: {name}, {rows}×{input}→{output}");
            bench.time(&title, dtype, flop, || linear.forward(&x, FusedOps::activation(activation)))?;
        }
        if dtype == DType::F32 {
            for (name, rows, input, output, _) in PRODUCTS {
                let (x, weight) = (random(&[rows, input])?, weights(&[output, input])?.t()?);
                let flop = 2.0 * (rows * input * output) as f64;
                let title = format!("the crate gemm, no activation: {name}, {rows}×{input}→{output}");
                bench.time(&title, dtype, flop, || x.matmul(&weight))?;
            }
        }
        for (name, queries, keys, heads, size) in ATTENTIONS {
            let q = random(&[1, queries, heads * size])?.to_dtype(dtype)?;
            let k = random(&[1, keys, heads * size])?.to_dtype(dtype)?;
            let flop = 4.0 * (queries * keys * heads * size) as f64;
            let title = format!("attention: {name}, {queries}×{keys}, {heads} heads of {size}");
            bench.time(&title, dtype, flop, || kernels::attention(&q, &k, &k, heads, 0.1, false))?;
        }
        for (name, channels, side, silu) in
            [("SD 1.5 U-Net, level 0", 320, 64, true), ("SD 1.5 decoder, 512", 128, 512, true)]
        {
            let x = random(&[1, side, side, channels])?.to_dtype(dtype)?;
            let w = random(&[channels])?.to_dtype(dtype)?;
            // A multiplication and an addition a value; bound by memory and the exponential.
            let flop = 2.0 * (channels * side * side) as f64;
            let title = format!("group norm: {name}, {channels}, {side}²");
            bench.time(&title, dtype, flop, || kernels::group_norm(&x, &w, &w, 32, 1e-5, silu))?;
        }
        let (x, w) = (random(&[4096, 320])?.to_dtype(dtype)?, random(&[320])?.to_dtype(dtype)?);
        bench.time("layer norm: SD 1.5 U-Net, level 0", dtype, 2.0 * 4096.0 * 320.0, || {
            kernels::layer_norm(&x, &w, &w, 1e-5)
        })?;
    }
    Ok(())
}

impl Bench {
    fn time(&self, title: &str, dtype: DType, flop: f64, work: impl Fn() -> Result<Tensor>) -> Result<()> {
        let title = format!("{:<4} {title}", dtype.as_str());
        if !title.contains(&self.filter) {
            return Ok(());
        }
        work()?;
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            let begun = Instant::now();
            work()?;
            best = best.min(begun.elapsed().as_secs_f64());
        }
        let speed = flop / best / 1e9;
        println!("{title:<86} {:>9.3} ms {speed:>8.1} GFLOP/s {:>5.0} %", best * 1e3, 100.0 * speed / self.peak);
        Ok(())
    }
}

fn random(shape: &[usize]) -> Result<Tensor> {
    Tensor::rand(-1f32, 1f32, shape, &Device::Cpu)
}

/// Weights (output, input, …) that keep the size of what they are multiplied with.
fn weights(shape: &[usize]) -> Result<Tensor> {
    let inputs: usize = shape[1..].iter().product();
    random(shape)? * (3.0 / inputs as f64).sqrt()
}
