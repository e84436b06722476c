//! Every operation where a gradient is asked for, against its plain reference at odd sizes: values and, through candle's
//! own differentiation of the reference, gradients. (Without a gradient: `src/tests.rs`.)

#[path = "support/test_values.rs"]
mod test_values;

use candle_core::{Device, Result, Tensor, Var};
use instaflow_kernels::reference as plain;
use instaflow_kernels::{self as fast, Activation, Conv2d, FusedOps, Linear};
use instaflow_test_support::{Tolerance, assert_close_case, assert_error};

/// Some gradients are zero throughout.
const TOLERANCE: Tolerance = Tolerance::of_largest(1e-5).or_absolute(1e-8);

/// The same numbers, to be differentiated by.
fn random(shape: &[usize], seed: u64) -> Result<Var> {
    Var::from_tensor(&test_values::random(shape, seed)?)
}

/// Runs both versions on the same inputs and compares outputs and the gradients of every input.
fn check(
    what: &str,
    inputs: &[Var],
    fast: impl Fn(&[Var]) -> Result<Tensor>,
    plain: impl Fn(&[Var]) -> Result<Tensor>,
) -> Result<()> {
    let (got, want) = (fast(inputs)?, plain(inputs)?);
    assert_close_case(what, &got, &want, TOLERANCE);
    // A loss whose gradient differs from value to value.
    let weights = random(want.dims(), 99)?;
    let (got, want) =
        ((got * weights.as_tensor())?.sum_all()?.backward()?, (want * weights.as_tensor())?.sum_all()?.backward()?);
    for (index, input) in inputs.iter().enumerate() {
        let got = got.get(input).unwrap_or_else(|| panic!("{what}: no gradient for input {index}"));
        let want = want.get(input).expect("the reference has gradients");
        assert_close_case(format!("{what}, gradient {index}"), got, want, TOLERANCE);
    }
    Ok(())
}

/// The gradients of Σ dy · conv2d(x, w), by the definition; images are (B, H, W, C). (candle's own refuses strides that
/// leave a rest.)
fn conv2d_gradients(x: &Tensor, w: &Tensor, dy: &Tensor, stride: usize, padding: usize) -> Result<(Tensor, Tensor)> {
    let ((_, height, width, c), (o, _, kh, kw), (_, oh, ow, _)) = (x.dims4()?, w.dims4()?, dy.dims4()?);
    let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
    let (xs, ws, dys) = (values(x)?, values(w)?, values(dy)?);
    let (mut dx, mut dw) = (vec![0.0f32; xs.len()], vec![0.0f32; ws.len()]);
    for (at, dy) in dys.iter().enumerate() {
        let (sample, y, column, channel) = (at / (o * oh * ow), at / (o * ow) % oh, at / o % ow, at % o);
        for patch in 0..c * kh * kw {
            let (from, ky, kx) = (patch / (kh * kw), patch / kw % kh, patch % kw);
            let (Some(y), Some(x)) =
                ((y * stride + ky).checked_sub(padding), (column * stride + kx).checked_sub(padding))
            else {
                continue;
            };
            if y < height && x < width {
                let source = ((sample * height + y) * width + x) * c + from;
                dx[source] += dy * ws[channel * c * kh * kw + patch];
                dw[channel * c * kh * kw + patch] += dy * xs[source];
            }
        }
    }
    Ok((Tensor::from_vec(dx, x.shape(), x.device())?, Tensor::from_vec(dw, w.shape(), w.device())?))
}

/// The layer of a weight and a bias that learn.
fn convolution(i: &[Var]) -> Result<Conv2d> {
    Conv2d::new(i[1].as_tensor().clone(), Some(i[2].as_tensor().clone()))
}

#[test]
fn conv2d() -> Result<()> {
    for (b, c, o, h, w, kernel, stride, padding) in [
        (1, 1, 1, 1, 1, 1, 1, 0),
        (1, 3, 5, 7, 11, 3, 1, 1),
        (2, 5, 7, 13, 9, 3, 2, 1),
        (3, 4, 8, 8, 8, 3, 2, 0),
        (2, 17, 3, 5, 5, 1, 1, 0),
        (5, 6, 9, 4, 4, 3, 1, 1),
        (1, 2, 3, 31, 37, 3, 1, 1),
        (2, 3, 4, 1, 2, 3, 1, 1),
        (1, 3, 2, 40, 33, 3, 2, 1),
        (1, 2, 2, 9, 9, 5, 3, 2),
        (7, 13, 19, 2, 2, 3, 1, 1),
        (2, 5, 11, 9, 8, 3, 1, 1),
        (1, 3, 12, 50, 45, 3, 1, 1),
        (1, 2, 4, 12, 70, 5, 1, 2),
        (2, 3, 9, 10, 12, 3, 1, 0),
        // Enough channels for tiles, and for every width of a panel.
        (2, 33, 67, 17, 19, 3, 1, 1),
        (3, 64, 16, 16, 16, 3, 1, 1),
        (5, 16, 34, 16, 15, 3, 1, 1),
    ] {
        let inputs = [random(&[b, h, w, c], 1)?, random(&[o, c, kernel, kernel], 2)?, random(&[o], 3)?];
        let name = format!("conv2d {b}x{h}x{w}x{c} to {o}, kernel {kernel}, stride {stride}, padding {padding}");
        let layer = convolution(&inputs)?.strided(stride, (padding, padding));
        let got = layer.forward(&inputs[0], FusedOps::default())?;
        let plain = plain::conv2d(&inputs[0], &inputs[1], stride, (padding, padding), false)?;
        assert_close_case(&name, &got, plain.broadcast_add(&inputs[2])?, TOLERANCE);

        let weights = random(got.dims(), 99)?;
        let grads = (got * weights.as_tensor())?.sum_all()?.backward()?;
        let (dx, dw) = conv2d_gradients(&inputs[0], &inputs[1], &weights, stride, padding)?;
        let db = weights.sum((0, 1, 2))?;
        for ((gradient, want), input) in [("dx", dx), ("dw", dw), ("db", db)].into_iter().zip(&inputs) {
            let got = grads.get(input).expect(gradient);
            assert_close_case(format!("{name}, {gradient}"), got, want, TOLERANCE);
        }
    }
    Ok(())
}

#[test]
fn conv2d_after_upsampling_and_with_extras() -> Result<()> {
    for (b, h, w, c, o) in [(1, 1, 1, 1, 1), (2, 3, 5, 7, 4), (1, 9, 8, 18, 33)] {
        let inputs = [
            random(&[b, h, w, c], 1)?,
            random(&[o, c, 3, 3], 2)?,
            random(&[o], 3)?,
            random(&[b, o], 4)?,
            random(&[b, 2 * h, 2 * w, o], 5)?,
        ];
        check(
            &format!("upsampled conv2d {b}x{h}x{w}x{c} to {o}"),
            &inputs,
            |i| {
                let fused_ops =
                    FusedOps { channel_bias: Some(&i[3]), residual: Some(&i[4]), activation: Activation::Silu };
                convolution(i)?.upsampled().forward(&i[0], fused_ops)
            },
            |i| {
                let y = plain::conv2d(&i[0], &i[1], 1, (1, 1), true)?.broadcast_add(&i[2])?;
                (y.broadcast_add(&i[3].unsqueeze(1)?.unsqueeze(1)?)? + i[4].as_tensor())?.silu()
            },
        )?;
    }
    Ok(())
}

#[test]
fn linear() -> Result<()> {
    for (rows, inputs, outputs) in [(1, 1, 1), (5, 7, 3), (97, 33, 130)] {
        let variables = [random(&[2, rows, inputs], 1)?, random(&[outputs, inputs], 2)?, random(&[outputs], 3)?];
        check(
            &format!("linear {rows}x{inputs} to {outputs}"),
            &variables,
            |i| {
                let layer = Linear::new(i[1].as_tensor().clone(), Some(i[2].as_tensor().clone()))?;
                layer.forward(&i[0], FusedOps::default())
            },
            |i| i[0].broadcast_matmul(&i[1].t()?)?.broadcast_add(&i[2]),
        )?;
    }
    Ok(())
}

#[test]
fn group_norm() -> Result<()> {
    for (b, c, h, w, groups) in
        [(1, 4, 3, 5, 2), (2, 6, 7, 7, 3), (3, 5, 1, 1, 1), (2, 8, 17, 3, 8), (1, 40, 50, 45, 4)]
    {
        for silu in [false, true] {
            let inputs = [random(&[b, h, w, c], 1)?, random(&[c], 2)?, random(&[c], 3)?];
            check(
                &format!("group_norm {b}x{h}x{w}x{c}, {groups} groups, silu {silu}"),
                &inputs,
                |i| fast::group_norm(&i[0], &i[1], &i[2], groups, 1e-5, silu),
                |i| plain::group_norm(&i[0], &i[1], &i[2], groups, 1e-5, silu),
            )?;
        }
    }
    Ok(())
}

#[test]
fn layer_norm() -> Result<()> {
    for (b, n, d) in [(1, 1, 3), (2, 5, 17), (3, 77, 16), (1, 2, 129)] {
        let inputs = [random(&[b, n, d], 1)?, random(&[d], 2)?, random(&[d], 3)?];
        check(
            &format!("layer_norm {b}x{n}x{d}"),
            &inputs,
            |i| fast::layer_norm(&i[0], &i[1], &i[2], 1e-5),
            |i| plain::layer_norm(&i[0], &i[1], &i[2], 1e-5),
        )?;
    }
    Ok(())
}

#[test]
fn attention() -> Result<()> {
    for (b, heads, n, m, d) in [(1, 1, 1, 1, 1), (2, 3, 5, 7, 4), (1, 2, 65, 77, 40), (2, 1, 130, 13, 17)] {
        for causal in [false, true] {
            let inputs =
                [random(&[b, n, heads * d], 1)?, random(&[b, m, heads * d], 2)?, random(&[b, m, heads * d], 3)?];
            check(
                &format!("attention of {b}, {heads} heads, {n} queries, {m} keys of {d}, causal {causal}"),
                &inputs,
                |i| fast::attention(&i[0], &i[1], &i[2], heads, 1.7, causal),
                |i| plain::attention(&i[0], &i[1], &i[2], heads, 1.7, causal),
            )?;
        }
    }
    Ok(())
}

#[test]
fn geglu() -> Result<()> {
    for (b, n, f) in [(1, 1, 1), (2, 5, 7), (1, 3, 130)] {
        // Far enough out to reach both tails.
        let inputs = [Var::from_tensor(&(random(&[b, n, 2 * f], 1)?.as_tensor() * 6.0)?)?];
        check(&format!("geglu {b}x{n}x{f}"), &inputs, |i| fast::geglu(&i[0]), |i| plain::geglu(&i[0]))?;
    }
    Ok(())
}

#[test]
fn any_number_of_threads_gives_the_same() -> Result<()> {
    // One sample is cut into parts, a thread each; the last parts of the shortest may be empty.
    for (b, h, w) in [(3, 12, 12), (1, 23, 45), (1, 3, 9)] {
        let inputs = [random(&[b, h, w, 18], 1)?, random(&[17, 18, 3, 3], 2)?, random(&[17], 3)?];
        let conv = |i: &[Var]| convolution(i)?.forward(&i[0], FusedOps::default());
        let plain = |i: &[Var]| plain::conv2d(&i[0], &i[1], 1, (1, 1), false)?.broadcast_add(&i[2]);
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        // The result and every gradient, bit for bit.
        let bits = |threads| {
            pool(threads).install(|| {
                let y = conv(&inputs)?;
                let gradients = (&y * random(y.dims(), 99)?.as_tensor())?.sum_all()?.backward()?;
                let gradients = inputs.iter().map(|input| gradients.get(input).expect("a gradient"));
                let values = [&y].into_iter().chain(gradients).map(|t| t.flatten_all()?.to_vec1::<f32>());
                Ok(values.collect::<Result<Vec<_>>>()?.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>())
            })
        };
        let alone: Result<Vec<u32>> = bits(1);
        let alone = alone?;
        for threads in [2, 3, 5, 8, 16] {
            let what = format!("conv2d {b}x{h}x{w}, {threads} threads");
            let found = bits(threads)?;
            assert_eq!(found.len(), alone.len(), "{what}");
            let differ = found.iter().zip(&alone).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{what}: {differ} of {} values differ from those of one thread", alone.len());
            check(&what, &inputs, |i| pool(threads).install(|| conv(i)), plain)?;
        }
    }
    Ok(())
}

#[test]
fn wrong_shapes_are_refused() -> Result<()> {
    let x = random(&[1, 4, 4, 3], 1)?;
    let layer = Conv2d::new(random(&[2, 4, 3, 3], 2)?.as_tensor().clone(), None)?;
    assert_error(layer.forward(&x, FusedOps::default()), "do not suit an image");
    let layer = Conv2d::new(random(&[2, 3, 3, 3], 2)?.as_detached_tensor(), None)?;
    let x = x.as_detached_tensor();
    let shift = Tensor::zeros((2, 2), candle_core::DType::F32, &Device::Cpu)?;
    assert_error(layer.forward(&x, FusedOps { channel_bias: Some(&shift), ..FusedOps::default() }), "channel bias");
    assert_error(layer.forward(&x, FusedOps::residual(&x)), "residual");
    let short = random(&[1], 3)?.as_detached_tensor();
    assert_error(Conv2d::new(random(&[2, 3, 3, 3], 2)?.as_detached_tensor(), Some(short.clone())), "conv2d: a bias");
    assert_error(Linear::new(random(&[2, 3], 2)?.as_detached_tensor(), Some(short)), "linear: a bias");
    let linear = Linear::new(random(&[2, 4], 2)?.as_tensor().clone(), None)?;
    assert_error(linear.forward(&x, FusedOps::default()), "linear: weights");
    assert_error(fast::group_norm(&x, &x, &x, 2, 1e-5, false), "group_norm: 3 channels");
    assert_error(fast::layer_norm(&x, &x, &x, 1e-5), "layer_norm: weights");
    assert_error(fast::geglu(&x.narrow(3, 0, 3)?), "geglu: the last dimension");
    let tokens = x.flatten(1, 2)?;
    assert_error(fast::attention(&tokens, &tokens, &tokens, 2, 1.0, false), "do not suit 2 heads");
    Ok(())
}
