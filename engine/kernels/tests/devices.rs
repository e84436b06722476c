//! One body over every device and type: each operation as the networks call it, without a gradient, against its plain
//! version on the CPU in f32. A machine without a CUDA device, or a build without CUDA, says so and checks the CPU alone.

#[path = "support/test_values.rs"]
mod test_values;

use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};
use instaflow_kernels::{Activation, Conv2d, FusedOps, Linear, reference};
use instaflow_kernels::{attention, geglu, group_norm, layer_norm};
use instaflow_test_support::{Tolerance, assert_close_case};
use test_values::random;

/// The largest difference allowed, relative to the largest value: what rounding inputs and results costs.
const TYPES: [(DType, f64); 3] = [(DType::F32, 2e-5), (DType::F16, 1.0 / 512.0), (DType::BF16, 1.0 / 64.0)];

/// The CPU, and a CUDA device where there is one; opened once, and for one test at a time.
static DEVICES: LazyLock<Mutex<Vec<Device>>> = LazyLock::new(|| Mutex::new(devices()));

fn devices() -> Vec<Device> {
    // The binding panics where the driver's library is missing.
    let cuda = std::panic::catch_unwind(|| Device::new_cuda(0));
    match cuda {
        Ok(Ok(device)) => vec![Device::Cpu, device],
        Ok(Err(error)) => {
            println!("skipped on CUDA: {error}");
            vec![Device::Cpu]
        }
        Err(_) => {
            println!("skipped on CUDA: there is no driver");
            vec![Device::Cpu]
        }
    }
}

/// Runs `fast` on every device in every type that it has, twice (weights are laid out at the first call), and compares
/// with `plain` in f32 on the same numbers.
fn check(
    what: &str,
    inputs: &[Tensor],
    fast: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    for device in &*DEVICES.lock().unwrap_or_else(PoisonError::into_inner) {
        for (dtype, tolerance) in TYPES {
            // candle has no f16 convolution and product on a CPU that would be worth asking for.
            if device.is_cpu() && dtype == DType::F16 {
                continue;
            }
            let rounded: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(dtype)).collect::<Result<_>>()?;
            let exact: Vec<Tensor> = rounded.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<_>>()?;
            let moved: Vec<Tensor> = rounded.iter().map(|t| t.to_device(device)).collect::<Result<_>>()?;
            let want = plain(&exact)?;
            let tolerance = Tolerance::of_largest(tolerance).or_absolute(1e-3 * tolerance);
            for got in fast(&moved)? {
                assert_eq!(got.dtype(), dtype, "{what}");
                assert_close_case(format!("{what}, {device:?}, {dtype:?}"), &got, &want, tolerance);
            }
        }
    }
    Ok(())
}

#[test]
fn conv2d() -> Result<()> {
    for (b, h, w, c, o, kernel, stride, padding, upsample) in [
        (1, 5, 5, 24, 16, 1, 1, (0, 0), false),
        (2, 7, 11, 3, 5, 3, 1, (1, 1), false),
        (1, 8, 8, 64, 64, 3, 1, (1, 1), false),
        (1, 13, 9, 16, 32, 3, 2, (1, 1), false),
        (3, 8, 8, 8, 8, 3, 2, (0, 1), false),
        (2, 4, 6, 32, 24, 3, 1, (1, 1), true),
    ] {
        let (oh, ow) = {
            let side =
                |side: usize| (side * if upsample { 2 } else { 1 } + padding.0 + padding.1 - kernel) / stride + 1;
            (side(h), side(w))
        };
        let inputs = [
            random(&[b, h, w, c], 1)?,
            random(&[o, c, kernel, kernel], 2)?,
            random(&[o], 3)?,
            random(&[b, o], 4)?,
            random(&[b, oh, ow, o], 5)?,
        ];
        // Nothing, a residual (which cuDNN may add itself), and everything.
        for (channel_bias, residual, activation) in
            [(false, false, Activation::None), (false, true, Activation::None), (true, true, Activation::Silu)]
        {
            let fused_ops = |i: &[Tensor]| -> (Option<Tensor>, Option<Tensor>) {
                (channel_bias.then(|| i[3].clone()), residual.then(|| i[4].clone()))
            };
            check(
                &format!("conv2d {b}x{h}x{w}x{c} to {o}, kernel {kernel}, stride {stride}, {padding:?}, {upsample}"),
                &inputs,
                |i| {
                    let layer = Conv2d::new(i[1].clone(), Some(i[2].clone()))?.strided(stride, padding);
                    let layer = if upsample { layer.upsampled() } else { layer };
                    let (channel_bias, residual) = fused_ops(i);
                    let fused_ops =
                        FusedOps { channel_bias: channel_bias.as_ref(), residual: residual.as_ref(), activation };
                    (0..2).map(|_| layer.forward(&i[0], fused_ops)).collect()
                },
                |i| {
                    let y = reference::conv2d(&i[0], &i[1], stride, padding, upsample)?.broadcast_add(&i[2])?;
                    let (channel_bias, residual) = fused_ops(i);
                    let y = match channel_bias {
                        Some(channel_bias) => y.broadcast_add(&channel_bias.unsqueeze(1)?.unsqueeze(1)?)?,
                        None => y,
                    };
                    let y = match residual {
                        Some(residual) => (y + residual)?,
                        None => y,
                    };
                    if activation == Activation::Silu { y.silu() } else { Ok(y) }
                },
            )?;
        }
    }
    Ok(())
}

#[test]
fn linear() -> Result<()> {
    for (rows, depth, outputs) in [(1, 1, 2), (7, 33, 10), (200, 320, 64)] {
        let inputs = [random(&[2, rows, depth], 1)?, random(&[outputs, depth], 2)?, random(&[outputs], 3)?];
        for activation in [Activation::None, Activation::QuickGelu, Activation::Geglu] {
            check(
                &format!("linear {rows}x{depth} to {outputs}, {activation:?}"),
                &inputs,
                |i| {
                    let layer = Linear::new(i[1].clone(), Some(i[2].clone()))?;
                    (0..2).map(|_| layer.forward(&i[0], FusedOps::activation(activation))).collect()
                },
                |i| {
                    let y = reference::linear(&i[0], &i[1], Some(&i[2]))?;
                    match activation {
                        Activation::QuickGelu => (y * 1.702)?.silu()? / 1.702,
                        Activation::Geglu => reference::geglu(&y),
                        _ => Ok(y),
                    }
                },
            )?;
        }
    }
    Ok(())
}

#[test]
fn norms() -> Result<()> {
    for (b, h, w, c, groups) in [(2, 7, 7, 6, 3), (1, 16, 16, 320, 32), (3, 1, 1, 8, 8)] {
        let inputs = [random(&[b, h, w, c], 1)?, random(&[c], 2)?, random(&[c], 3)?];
        for silu in [false, true] {
            check(
                &format!("group_norm {b}x{h}x{w}x{c}, {groups} groups, silu {silu}"),
                &inputs,
                |i| Ok(vec![group_norm(&i[0], &i[1], &i[2], groups, 1e-5, silu)?]),
                |i| reference::group_norm(&i[0], &i[1], &i[2], groups, 1e-5, silu),
            )?;
        }
        check(
            &format!("layer_norm {b}x{h}x{w}x{c}"),
            &inputs,
            |i| Ok(vec![layer_norm(&i[0], &i[1], &i[2], 1e-5)?]),
            |i| reference::layer_norm(&i[0], &i[1], &i[2], 1e-5),
        )?;
    }
    Ok(())
}

#[test]
fn gates_and_attention() -> Result<()> {
    let x = (random(&[2, 5, 48], 1)? * 4.0)?;
    check("geglu", &[x], |i| Ok(vec![geglu(&i[0])?]), |i| reference::geglu(&i[0]))?;
    for (b, heads, n, m, d) in [(2, 3, 5, 7, 4), (1, 8, 256, 77, 40), (1, 2, 77, 77, 64), (2, 1, 64, 64, 512)] {
        let tokens = |length, seed| random(&[b, length, heads * d], seed);
        let inputs = [tokens(n, 1)?, tokens(m, 2)?, tokens(m, 3)?];
        for causal in [false, true] {
            check(
                &format!("attention of {b}, {heads} heads, {n} queries, {m} keys of {d}, causal {causal}"),
                &inputs,
                |i| Ok(vec![attention(&i[0], &i[1], &i[2], heads, 0.3, causal)?]),
                |i| reference::attention(&i[0], &i[1], &i[2], heads, 0.3, causal),
            )?;
        }
    }
    Ok(())
}
