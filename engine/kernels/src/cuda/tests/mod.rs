//! The kernels on the processor against the plain versions: every type, at sizes that do not suit their tiles, in one
//! access of a value and in accesses of 16 bytes. And, with the feature `cuda`, the real compiler's opinion of them.

mod host;

use candle_core::{DType, Device, Result, Tensor};
use instaflow_test_support::{Tolerance, assert_close_case};

use super::operations::attention::Attention;
use super::operations::launch::Operation;
use super::operations::norms::{GroupNorm, LayerNorm};
use super::operations::pointwise::{Finish, Geglu};
use super::operations::spread::Spread;
use crate::conv2d::Geometry;
use crate::test_values::random;
use crate::{Activation, reference};

/// What rounding costs: of f32 some units in the last place, of the others half of one, and as much in between.
const TYPES: [(DType, f64); 3] = [(DType::F32, 1e-5), (DType::F16, 1.0 / 1024.0), (DType::BF16, 1.0 / 128.0)];

/// Runs `operation` of each type on `inputs`, and compares with `plain` in f32 on the same numbers.
fn check<O: Operation>(
    what: &str,
    inputs: &[Option<&Tensor>],
    operation: impl Fn(DType) -> O,
    plain: impl Fn(&[Option<Tensor>]) -> Result<Tensor>,
) -> Result<()> {
    if !host::present() {
        return Ok(());
    }
    for (dtype, tolerance) in TYPES {
        let convert = |inputs: &[Option<&Tensor>], dtype| -> Result<Vec<Option<Tensor>>> {
            inputs.iter().map(|tensor| tensor.map(|tensor| tensor.to_dtype(dtype)).transpose()).collect()
        };
        let rounded = convert(inputs, dtype)?;
        let rounded: Vec<Option<&Tensor>> = rounded.iter().map(Option::as_ref).collect();
        let want = plain(&convert(&rounded, DType::F32)?)?;
        let got = host::run(&operation(dtype), &rounded, want.dims())?;
        let tolerance = Tolerance::of_largest(tolerance).or_absolute(1e-3 * tolerance);
        assert_close_case(format!("{what}, {dtype:?}"), &got, &want, tolerance);
    }
    Ok(())
}

fn some(inputs: &[Option<Tensor>], at: usize) -> &Tensor {
    inputs[at].as_ref().expect("an input that is always there")
}

#[test]
fn finish() -> Result<()> {
    for (samples, pixels, columns) in [(1, 1, 1), (2, 3, 7), (3, 5, 24), (2, 70, 40)] {
        let (y, bias) = (random(&[samples, pixels, columns], 1)?, random(&[columns], 2)?);
        let (channel_bias, residual) = (random(&[samples, columns], 3)?, random(&[samples, pixels, columns], 4)?);
        let activations =
            [Activation::None, Activation::Relu, Activation::Silu, Activation::QuickGelu, Activation::Gelu];
        for (at, activation) in activations.into_iter().enumerate() {
            // Each of the three on its own, none, and all.
            let given = |bit: usize, tensor| (at == 4 || at == bit).then_some(tensor);
            check(
                &format!("{activation:?} of {samples}x{pixels}x{columns}"),
                &[Some(&y), given(1, &bias), given(2, &channel_bias), given(3, &residual)],
                |dtype| Finish { dtype, rows: samples * pixels, columns, rows_per_sample: pixels, activation },
                |i| {
                    let mut y = some(i, 0).clone();
                    if let Some(bias) = &i[1] {
                        y = y.broadcast_add(bias)?;
                    }
                    if let Some(channel_bias) = &i[2] {
                        y = y.broadcast_add(&channel_bias.unsqueeze(1)?)?;
                    }
                    if let Some(residual) = &i[3] {
                        y = (y + residual)?;
                    }
                    crate::FusedOps::activation(activation).apply(&y)
                },
            )?;
        }
    }
    Ok(())
}

#[test]
fn geglu() -> Result<()> {
    for (rows, columns) in [(1, 1), (5, 7), (300, 40)] {
        // Far enough out to reach both tails.
        let (x, bias) = ((random(&[rows, 2 * columns], 1)? * 5.0)?, random(&[2 * columns], 2)?);
        for bias in [None, Some(&bias)] {
            check(
                &format!("geglu of {rows}x{columns}, bias {}", bias.is_some()),
                &[Some(&x), bias],
                |dtype| Geglu { dtype, rows, columns },
                |i| match &i[1] {
                    Some(bias) => reference::geglu(&some(i, 0).broadcast_add(bias)?),
                    None => reference::geglu(some(i, 0)),
                },
            )?;
        }
    }
    Ok(())
}

#[test]
fn spread() -> Result<()> {
    for (b, h, w, c, padding, upsample) in [
        (1, 1, 1, 1, (1, 1), true),
        (2, 3, 5, 24, (1, 1), true),
        (2, 4, 6, 7, (0, 1), false),
        (1, 3, 2, 8, (0, 2), true),
    ] {
        let x = random(&[b, h, w, c], 1)?;
        let geometry = Geometry::new(x.shape(), (4, c, 2, 2), 1, padding, upsample)?;
        let more = padding.1 - padding.0;
        check(
            &format!("spread of {b}x{h}x{w}x{c}, {padding:?}, upsampled {upsample}"),
            &[Some(&x)],
            |dtype| Spread { dtype, geometry: &geometry },
            |i| {
                let x = some(i, 0);
                let scale = if upsample { 2 } else { 1 };
                let x = x.reshape((b, h, 1, w, 1, c))?.broadcast_as((b, h, scale, w, scale, c))?;
                let x = x.reshape((b, h * scale, w * scale, c))?;
                x.pad_with_zeros(1, 0, more)?.pad_with_zeros(2, 0, more)
            },
        )?;
    }
    Ok(())
}

#[test]
fn group_norm() -> Result<()> {
    for (samples, side, channels, groups) in
        [(1, 1, 1, 1), (2, 3, 6, 3), (1, 31, 24, 8), (3, 9, 40, 4), (1, 7, 320, 32), (2, 2, 2560, 32), (1, 40, 64, 2)]
    {
        // A mean that is large beside the variance.
        let x = (random(&[samples, side, side, channels], 1)? + 3.0)?;
        let (weight, bias) = (random(&[channels], 2)?, random(&[channels], 3)?);
        for silu in [false, true] {
            check(
                &format!("group_norm of {samples}x{side}x{side}x{channels}, {groups} groups, silu {silu}"),
                &[Some(&x), Some(&weight), Some(&bias)],
                |dtype| GroupNorm { dtype, samples, pixels: side * side, channels, groups, eps: 1e-5, silu },
                |i| reference::group_norm(some(i, 0), some(i, 1), some(i, 2), groups, 1e-5, silu),
            )?;
        }
    }
    Ok(())
}

#[test]
fn layer_norm() -> Result<()> {
    for (rows, size) in [(1, 1), (5, 7), (3, 33), (9, 320), (2, 768)] {
        let inputs = [(random(&[rows, size], 1)? + 3.0)?, random(&[size], 2)?, random(&[size], 3)?];
        check(
            &format!("layer_norm of {rows}x{size}"),
            &[Some(&inputs[0]), Some(&inputs[1]), Some(&inputs[2])],
            |dtype| LayerNorm { dtype, rows, size, eps: 1e-5 },
            |i| reference::layer_norm(some(i, 0), some(i, 1), some(i, 2), 1e-5),
        )?;
    }
    Ok(())
}

#[test]
fn attention() -> Result<()> {
    for (batch, heads, queries, keys, size) in [
        (1, 1, 1, 1, 1),
        (2, 3, 5, 7, 4),
        (1, 2, 65, 77, 40),
        (2, 1, 130, 13, 17),
        (1, 2, 77, 77, 64),
        (1, 1, 33, 70, 80),
        (1, 2, 20, 40, 160),
        (1, 1, 18, 35, 300),
        (1, 1, 70, 100, 512),
    ] {
        // Scores far enough apart for the largest to matter.
        let q = (random(&[batch, queries, heads * size], 1)? * 3.0)?;
        let (k, v) = (random(&[batch, keys, heads * size], 2)?, random(&[batch, keys, heads * size], 3)?);
        let scale = 3.0 / (size as f64).sqrt();
        for (causal, tensor_cores) in [(false, true), (true, true), (true, false)] {
            check(
                &format!("{heads} heads, {queries} queries, {keys} keys of {size}, causal {causal}, {tensor_cores}"),
                &[Some(&q), Some(&k), Some(&v)],
                |dtype| Attention { dtype, batch, heads, queries, keys, size, scale, causal, tensor_cores },
                |i| reference::attention(some(i, 0), some(i, 1), some(i, 2), heads, scale, causal),
            )?;
        }
    }
    Ok(())
}

#[test]
fn what_is_no_number_stays_none() -> Result<()> {
    if !host::present() {
        return Ok(());
    }
    let x = Tensor::full(f32::NAN, (1, 2, 2, 8), &Device::Cpu)?;
    let (weight, tokens) = (Tensor::ones(8, DType::F32, &Device::Cpu)?, x.reshape((1, 4, 8))?);
    for (dtype, _) in TYPES {
        let (x, weight, tokens) = (x.to_dtype(dtype)?, weight.to_dtype(dtype)?, tokens.to_dtype(dtype)?);
        let given = [Some(&x), Some(&weight), Some(&weight)];
        let group = GroupNorm { dtype, samples: 1, pixels: 4, channels: 8, groups: 2, eps: 1e-5, silu: true };
        let layer = LayerNorm { dtype, rows: 4, size: 8, eps: 1e-5 };
        let relu = Finish { dtype, rows: 4, columns: 8, rows_per_sample: 4, activation: Activation::Relu };
        let attention = Attention {
            dtype,
            batch: 1,
            heads: 1,
            queries: 4,
            keys: 4,
            size: 8,
            scale: 1.0,
            causal: false,
            tensor_cores: true,
        };
        for (what, got) in [
            ("group_norm", host::run(&group, &given, x.dims())?),
            ("layer_norm", host::run(&layer, &given, x.dims())?),
            ("relu", host::run(&relu, &[Some(&x), None, None, None], x.dims())?),
            ("attention", host::run(&attention, &[Some(&tokens); 3], tokens.dims())?),
        ] {
            let values: Vec<f32> = got.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            assert!(values.iter().all(|value| value.is_nan()), "{what}, {dtype:?}: {values:?}");
        }
    }
    Ok(())
}

#[test]
fn what_a_kernel_cannot_count_is_refused() {
    let finish =
        |rows| Finish { dtype: DType::BF16, rows, columns: 1 << 12, rows_per_sample: 1, activation: Activation::None };
    assert!(finish(1 << 20).launches(&[0; 4], &[], 0).is_ok());
    let message = finish(1 << 24).launches(&[0; 4], &[], 0).unwrap_err().to_string();
    assert!(message.contains("fewer or smaller pictures"), "{message}");
    let norm =
        |channels| GroupNorm { dtype: DType::BF16, samples: 1, pixels: 1, channels, groups: 1, eps: 1e-5, silu: false };
    assert!(norm(2560).fits() && !norm(8192).fits());
}

/// NVRTC compiles every module of the models' sizes, for what attention on tensor cores needs at least and for an H200.
#[cfg(feature = "cuda")]
#[test]
fn the_compiler_for_the_device_takes_every_kernel() -> Result<()> {
    let mut launches = Vec::new();
    for (dtype, _) in TYPES {
        for channels in [320, 7] {
            let pointers = [0; 4];
            let norm = GroupNorm { dtype, samples: 1, pixels: 4096, channels, groups: 1, eps: 1e-5, silu: true };
            launches.extend(norm.launches(&pointers[..3], &[0, 0], 0)?);
            let activation = Activation::Silu;
            let finish = Finish { dtype, rows: 4096, columns: channels, rows_per_sample: 4096, activation };
            launches.extend(finish.launches(&pointers, &[], 0)?);
        }
        for size in [32, 40, 64, 80, 160, 512, 33] {
            let (queries, keys, scale) = (4096, 77, 1.0);
            let attention = |tensor_cores| Attention {
                dtype,
                batch: 1,
                heads: 8,
                queries,
                keys,
                size,
                scale,
                causal: false,
                tensor_cores,
            };
            launches.extend(attention(true).launches(&[0; 3], &[], 0)?);
            launches.extend(attention(false).launches(&[0; 3], &[], 0)?);
        }
    }
    for launch in launches {
        for (major, minor) in [(8, 0), (9, 0)] {
            let program = super::device::compile(&launch.module, major, minor)?;
            assert!(program.contains(&format!(".entry {}", launch.kernel)), "{}", launch.module.key);
        }
    }
    Ok(())
}
