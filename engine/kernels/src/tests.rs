//! Compares every operation without a gradient with its plain reference at odd sizes, in every vector width that this
//! processor has: f32 within 1e-5 of the largest value, bf16 within what rounding its inputs and results costs.

use candle_core::{DType, Result, Tensor};
use instaflow_test_support::{Tolerance, assert_close_case};

mod same_bits;

use crate::packed_gemm::FORCED_PAIRS;
use crate::simd::tests::with_every_level;
use crate::test_values::random;
use crate::{Activation, Conv2d, FusedOps, Linear, Method, reference};

/// bf16 keeps 8 bits: half a unit in the last place is 2⁻⁹, of the result and of each factor.
const BF16: f64 = 1.0 / 128.0;

/// Runs `fast` on one thread in every width, in both types, bf16 as pairs and as widened weights, and compares with `plain`
/// in f32 on the same numbers.
fn check(
    what: &str,
    tolerance: f64,
    inputs: &[Tensor],
    fast: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    let pool = pool(1);
    let ways = [(DType::F32, tolerance, None), (DType::BF16, BF16, Some(true)), (DType::BF16, BF16, Some(false))];
    for (dtype, tolerance, pairs) in ways {
        let rounded = inputs.iter().map(|t| t.to_dtype(dtype)).collect::<Result<Vec<_>>>()?;
        let exact = rounded.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<Vec<_>>>()?;
        let want = plain(&exact)?;
        let tolerance = Tolerance::of_largest(tolerance).or_absolute(1e-3 * tolerance);
        let results = pool.install(|| {
            FORCED_PAIRS.set(pairs);
            with_every_level(|| fast(&rounded))
        });
        for (level, got) in results {
            let got = got?;
            assert_eq!(got.dtype(), dtype, "{what}");
            assert_close_case(format!("{what}, {dtype:?}, pairs {pairs:?}, {level:?}"), &got, &want, tolerance);
        }
    }
    Ok(())
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads")
}

#[test]
fn conv2d() -> Result<()> {
    for (b, h, w, c, o, kernel, stride, padding) in [
        (1, 1, 1, 1, 1, 1, 1, (0, 0)),
        (2, 7, 11, 3, 5, 3, 1, (1, 1)),
        (1, 13, 9, 5, 67, 3, 2, (1, 1)),
        (3, 8, 8, 4, 8, 3, 2, (0, 1)),
        (1, 5, 5, 197, 3, 1, 1, (0, 0)),
        (2, 7, 5, 64, 3, 3, 1, (1, 1)),
        (1, 5, 9, 32, 1, 3, 2, (1, 1)),
        (1, 3, 3, 96, 4, 1, 1, (0, 0)),
        (2, 9, 9, 2, 33, 5, 3, (2, 2)),
    ] {
        let inputs = [random(&[b, h, w, c], 1)?, random(&[o, c, kernel, kernel], 2)?, random(&[o], 3)?];
        check(
            &format!("conv2d {b}x{h}x{w}x{c} to {o}, kernel {kernel}, stride {stride}"),
            1e-5,
            &inputs,
            |i| {
                let layer = Conv2d::new(i[1].clone(), Some(i[2].clone()))?.strided(stride, padding);
                layer.forward(&i[0], FusedOps::default())
            },
            |i| reference::conv2d(&i[0], &i[1], stride, padding, false)?.broadcast_add(&i[2]),
        )?;
    }
    Ok(())
}

#[test]
fn every_method_gives_the_same_convolution_with_all_extras() -> Result<()> {
    for (b, h, w, c, o) in [(1, 1, 1, 1, 1), (2, 5, 7, 19, 34), (1, 8, 12, 64, 70), (1, 21, 10, 200, 5)] {
        for upsample in [false, true] {
            let scale = if upsample { 2 } else { 1 };
            let inputs = [
                random(&[b, h, w, c], 1)?,
                random(&[o, c, 3, 3], 2)?,
                random(&[o], 3)?,
                random(&[b, o], 4)?,
                random(&[b, scale * h, scale * w, o], 5)?,
            ];
            for method in [Method::Direct, Method::WinogradF2, Method::WinogradF4] {
                check(
                    &format!("{method:?} {b}x{h}x{w}x{c} to {o}, upsampled {upsample}"),
                    1e-5,
                    &inputs,
                    |i| {
                        let layer = Conv2d::new(i[1].clone(), Some(i[2].clone()))?.by(method);
                        let layer = if upsample { layer.upsampled() } else { layer };
                        let (channel_bias, residual) = (Some(&i[3]), Some(&i[4]));
                        layer.forward(&i[0], FusedOps { channel_bias, residual, activation: Activation::Relu })
                    },
                    |i| {
                        let y = reference::conv2d(&i[0], &i[1], 1, (1, 1), upsample)?.broadcast_add(&i[2])?;
                        (y.broadcast_add(&i[3].unsqueeze(1)?.unsqueeze(1)?)? + &i[4])?.relu()
                    },
                )?;
            }
        }
    }
    Ok(())
}

#[test]
fn linear_with_every_activation() -> Result<()> {
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::Silu,
        Activation::QuickGelu,
        Activation::Gelu,
        Activation::Geglu,
    ];
    for (rows, depth, outputs) in [(1, 1, 2), (7, 33, 10), (97, 40, 134), (193, 401, 66)] {
        for activation in activations {
            // Sums of a few units: far enough out to reach both tails.
            let weight = (random(&[outputs, depth], 2)? * (9.0 / (depth as f64).sqrt()))?;
            let inputs = [random(&[1, rows, depth], 1)?, weight, random(&[outputs], 3)?];
            check(
                &format!("linear {rows}x{depth} to {outputs}, {activation:?}"),
                1e-5,
                &inputs,
                |i| Linear::new(i[1].clone(), Some(i[2].clone()))?.forward(&i[0], FusedOps::activation(activation)),
                |i| FusedOps::activation(activation).apply(&reference::linear(&i[0], &i[1], Some(&i[2]))?),
            )?;
        }
    }
    Ok(())
}

#[test]
fn norms() -> Result<()> {
    for (b, h, w, c, groups) in [(1, 1, 1, 2, 1), (2, 5, 3, 12, 3), (1, 13, 9, 40, 4)] {
        for silu in [false, true] {
            // A mean far from zero must not cost digits.
            let inputs = [(random(&[b, h, w, c], 1)? + 3.0)?, random(&[c], 2)?, random(&[c], 3)?];
            check(
                &format!("group norm {b}x{h}x{w}x{c}, {groups} groups, silu {silu}"),
                2e-5,
                &inputs,
                |i| crate::group_norm(&i[0], &i[1], &i[2], groups, 1e-5, silu),
                |i| reference::group_norm(&i[0], &i[1], &i[2], groups, 1e-5, silu),
            )?;
        }
    }
    for (rows, size) in [(1, 3), (5, 17), (77, 64), (2, 129)] {
        let inputs = [random(&[1, rows, size], 1)?, random(&[size], 2)?, random(&[size], 3)?];
        check(
            &format!("layer norm {rows}x{size}"),
            1e-5,
            &inputs,
            |i| crate::layer_norm(&i[0], &i[1], &i[2], 1e-5),
            |i| reference::layer_norm(&i[0], &i[1], &i[2], 1e-5),
        )?;
    }
    Ok(())
}

#[test]
fn attention() -> Result<()> {
    // More keys than a block takes; sizes of heads of Stable Diffusion and odd ones.
    for (b, heads, n, m, size) in
        [(1, 1, 1, 1, 1), (2, 3, 5, 7, 4), (1, 2, 97, 77, 40), (1, 1, 33, 600, 17), (1, 1, 5, 300, 160)]
    {
        for causal in [false, true] {
            let inputs = [
                random(&[b, n, heads * size], 1)?,
                random(&[b, m, heads * size], 2)?,
                random(&[b, m, heads * size], 3)?,
            ];
            check(
                &format!("attention of {b}, {heads} heads, {n} queries, {m} keys of {size}, causal {causal}"),
                1e-5,
                &inputs,
                |i| crate::attention(&i[0], &i[1], &i[2], heads, 1.3, causal),
                |i| reference::attention(&i[0], &i[1], &i[2], heads, 1.3, causal),
            )?;
        }
    }
    Ok(())
}

/// What fewer multiplications cost: the error against sums in f64, of the largest value. At a decoder's channels.
#[test]
fn the_error_of_tiles_is_small() -> Result<()> {
    let methods = [Method::Direct, Method::WinogradF2, Method::WinogradF4];
    for (method, most) in methods.into_iter().zip([2e-6, 2e-6, 6e-6]) {
        check_error(method, DType::F32, most)?;
    }
    // Numbers that bf16 holds exactly, multiplied in pairs: what is left is the rounding of transformed tiles, where they
    // are pairs, and of the result (2⁻⁸ at most).
    let pool = pool(1);
    for (method, most) in methods.into_iter().zip([5e-3, 8e-3, 5e-3]) {
        pool.install(|| {
            FORCED_PAIRS.set(Some(true));
            check_error(method, DType::BF16, most)
        })?;
    }
    Ok(())
}

fn check_error(method: Method, dtype: DType, most: f64) -> Result<()> {
    let (channels, side) = (256, 16);
    let x = random(&[1, side, side, channels], 1)?.to_dtype(dtype)?;
    let weight = (random(&[8, channels, 3, 3], 2)? * (1.0 / (9.0 * channels as f64).sqrt()))?.to_dtype(dtype)?;
    let exact = reference::conv2d(&x.to_dtype(DType::F64)?, &weight.to_dtype(DType::F64)?, 1, (1, 1), false)?;
    let got = Conv2d::new(weight, None)?.by(method).forward(&x, FusedOps::default())?;
    let case = format!("{method:?}, {dtype:?}");
    let distance = assert_close_case(&case, &got, &exact, Tolerance::of_largest(most));
    println!("{case}: {:.1e} of the largest value", distance.of_largest());
    Ok(())
}
