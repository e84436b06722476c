//! The same input gives the same bits: whatever a layer computed before, and however many threads share the work.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::pool;
use crate::packed_gemm::FORCED_PAIRS;
use crate::test_values::random;
use crate::{Activation, Conv2d, FusedOps, Linear, Method, weights};

/// The types that layers compute in, bf16 as pairs and as widened weights.
const ARITHMETICS: [(DType, Option<bool>); 3] =
    [(DType::F32, None), (DType::BF16, Some(true)), (DType::BF16, Some(false))];

type Operation<'a> = Box<dyn Fn() -> Result<Tensor> + Sync + 'a>;

/// Every bit of a tensor's values.
fn bits(x: &Tensor) -> Result<Vec<u32>> {
    let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    assert!(!values.is_empty() && values.iter().all(|value| value.is_finite()), "every value is a number");
    Ok(values.into_iter().map(f32::to_bits).collect())
}

fn assert_same(what: &str, found: &[u32], expected: &[u32]) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let differ = found.iter().zip(expected).filter(|(a, b)| a != b).count();
    assert_eq!(differ, 0, "{what}: {differ} of {} values differ", expected.len());
}

/// The indices of as many images as a prime number, in an order in which each comes directly after every other.
fn every_order(count: usize) -> impl Iterator<Item = usize> {
    let steps = (1..count).flat_map(move |step| std::iter::repeat_n(step, count));
    steps.scan(0, move |at, step| {
        *at = (*at + step) % count;
        Some(*at)
    })
}

fn image([batch, height, width]: [usize; 3], channels: usize, dtype: DType) -> Result<Tensor> {
    random(&[batch, height, width, channels], (7 * batch + 5 * height + width) as u64)?.to_dtype(dtype)
}

/// A layer that has seen other sizes and batches gives what a new one gives, in every method.
#[test]
fn a_convolution_does_not_remember_other_images() -> Result<()> {
    // Small weights and large ones, for which other methods pay; the last has an odd number of channels, which makes no
    // whole pairs.
    for (channels, out) in [(16, 18), (130, 134), (17, 33)] {
        let images = [[1, 3, 5], [2, 3, 5], [1, 9, 7], [1, 17, 15], [4, 17, 15], [1, 33, 31], [1, 65, 63]];
        for (dtype, pairs) in ARITHMETICS {
            let weight = random(&[out, channels, 3, 3], 2)?.to_dtype(dtype)?;
            let bias = random(&[out], 3)?.to_dtype(dtype)?;
            let new = || Conv2d::new(weight.clone(), Some(bias.clone()));
            pool(1).install(|| {
                FORCED_PAIRS.set(pairs);
                let layer = new()?;
                let mut methods = Vec::new();
                let mut fresh = Vec::new();
                for size in images {
                    let x = image(size, channels, dtype)?;
                    methods.push(layer.method(&x)?);
                    fresh.push(bits(&new()?.forward(&x, FusedOps::default())?)?);
                }
                for method in [Method::Direct, Method::WinogradF2, Method::WinogradF4] {
                    // Pairs on large maps want a thousand tiles before they leave F2.
                    let seldom = method == Method::WinogradF4 && pairs == Some(true) && channels == 130;
                    assert!(seldom || methods.contains(&method), "{dtype:?}, pairs {pairs:?}: {methods:?}");
                }
                assert_eq!(images.len(), 7, "a prime number");
                for at in every_order(images.len()) {
                    let size = images[at];
                    let found = bits(&layer.forward(&image(size, channels, dtype)?, FusedOps::default())?)?;
                    let what = format!("{channels} to {out}, {dtype:?}, pairs {pairs:?}, {size:?}, {:?}", methods[at]);
                    assert_same(&what, &found, &fresh[at]);
                }
                Ok::<_, candle_core::Error>(())
            })?;
        }
    }
    Ok(())
}

/// Forms are packed from the weights themselves, in whatever order methods are asked for; those that went out of use are
/// packed anew.
#[test]
fn every_method_is_packed_from_the_weights() -> Result<()> {
    let methods = [Method::Direct, Method::WinogradF2, Method::WinogradF4];
    // So many calls with one method drop the forms of the others: once is enough to see that.
    for (channels, out, calls) in [(19, 34, weights::PATIENCE + 1), (32, 3, 1), (64, 70, 1)] {
        for (dtype, pairs) in ARITHMETICS {
            let weight = random(&[out, channels, 3, 3], 2)?.to_dtype(dtype)?;
            let x = image([2, 9, 7], channels, dtype)?;
            let run = |layer: &Conv2d, method| bits(&layer.clone().by(method).forward(&x, FusedOps::default())?);
            pool(1).install(|| {
                FORCED_PAIRS.set(pairs);
                let fresh = methods.map(|method| run(&Conv2d::new(weight.clone(), None)?, method));
                for first in methods {
                    let layer = Conv2d::new(weight.clone(), None)?;
                    for _ in 0..calls {
                        run(&layer, first)?;
                    }
                    for (method, fresh) in methods.into_iter().zip(&fresh) {
                        let fresh = fresh.as_ref().expect("it was computed");
                        let what = format!("{method:?} after {first:?}, {channels} to {out}, {dtype:?}, {pairs:?}");
                        for _ in 0..calls {
                            assert_same(&what, &run(&layer, method)?, fresh);
                        }
                    }
                }
                Ok::<_, candle_core::Error>(())
            })?;
        }
    }
    Ok(())
}

/// A layer may be asked in another type, or gated and not: each has packed weights of its own.
#[test]
fn a_linear_layer_does_not_remember_other_types() -> Result<()> {
    for given in [DType::F32, DType::BF16, DType::F16] {
        let (weight, x) = (random(&[66, 33], 1)?.to_dtype(given)?, random(&[1, 7, 33], 2)?);
        let calls = [DType::F32, DType::BF16].map(|dtype| (dtype, Activation::None));
        let calls = calls.into_iter().chain([(DType::F32, Activation::Geglu), (DType::BF16, Activation::Geglu)]);
        let calls: Vec<(DType, Activation)> = calls.collect();
        for pairs in [true, false] {
            pool(1).install(|| {
                FORCED_PAIRS.set(Some(pairs));
                let layer = Linear::new(weight.clone(), None)?;
                for second in &calls {
                    for (dtype, activation) in [calls[0], *second, calls[3], *second] {
                        let x = x.to_dtype(dtype)?;
                        let found = layer.forward(&x, FusedOps::activation(activation))?;
                        let fresh = Linear::new(weight.clone(), None)?.forward(&x, FusedOps::activation(activation))?;
                        let what = format!("given {given:?}, {dtype:?}, {activation:?}, pairs {pairs}");
                        assert_same(&what, &bits(&found)?, &bits(&fresh)?);
                    }
                }
                Ok::<_, candle_core::Error>(())
            })?;
        }
    }
    Ok(())
}

/// A gradient passes through weights that were packed before it was asked for.
#[test]
fn packed_weights_still_give_gradients() -> Result<()> {
    let gradient = |layer: &dyn Fn(&Tensor) -> Result<Tensor>, x: &Var| -> Result<Vec<u32>> {
        let gradients = layer(x.as_tensor())?.sqr()?.sum_all()?.backward()?;
        bits(gradients.get(x).expect("a gradient"))
    };
    let x = Var::from_tensor(&random(&[1, 5, 7, 20], 1)?)?;
    let weight = random(&[22, 20, 3, 3], 2)?;
    for method in [Method::Direct, Method::WinogradF2] {
        let new = || Ok::<_, candle_core::Error>(Conv2d::new(weight.clone(), None)?.by(method));
        let fresh = gradient(&|x| new()?.forward(x, FusedOps::default()), &x)?;
        let layer = new()?;
        for _ in 0..2 {
            layer.forward(&x.as_detached_tensor(), FusedOps::default())?;
            let found = gradient(&|x| layer.forward(x, FusedOps::default()), &x)?;
            assert_same(&format!("{method:?}"), &found, &fresh);
        }
    }
    let weight = random(&[26, 20], 3)?;
    for activation in [Activation::None, Activation::Geglu] {
        let new = || Linear::new(weight.clone(), None);
        let fresh = gradient(&|x| new()?.forward(x, FusedOps::activation(activation)), &x)?;
        let layer = new()?;
        layer.forward(&x.as_detached_tensor(), FusedOps::activation(activation))?;
        let found = gradient(&|x| layer.forward(x, FusedOps::activation(activation)), &x)?;
        assert_same(&format!("linear, {activation:?}"), &found, &fresh);
    }
    Ok(())
}

/// How work is cut depends on the number of threads, what comes out of it does not.
#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    let x = random(&[2, 21, 23, 36], 1)?;
    let (wide, one) = (random(&[1, 65, 63, 36], 2)?, random(&[36], 3)?);
    let tokens = x.flatten(1, 2)?;
    let convolution = |x: &Tensor, out: usize, method| {
        let weight = random(&[out, 36, 3, 3], 4)?.to_dtype(x.dtype())?;
        Conv2d::new(weight, None)?.by(method).forward(x, FusedOps::default())
    };
    let linear = |x: &Tensor, activation| {
        Linear::new(random(&[150, 36], 5)?.to_dtype(x.dtype())?, None)?.forward(x, FusedOps::activation(activation))
    };
    for (dtype, pairs) in ARITHMETICS {
        let (x, wide, tokens, one) =
            (x.to_dtype(dtype)?, wide.to_dtype(dtype)?, tokens.to_dtype(dtype)?, one.to_dtype(dtype)?);
        let mut operations: Vec<(String, Operation<'_>)> = Vec::new();
        for method in [Method::Direct, Method::WinogradF2, Method::WinogradF4] {
            for (image, out) in [(&x, 67), (&wide, 130), (&wide, 3)] {
                let name = format!("{method:?}, {:?} to {out}", image.dims());
                operations.push((name, Box::new(move || convolution(image, out, method))));
            }
        }
        for activation in [Activation::None, Activation::Geglu] {
            let tokens = &tokens;
            operations.push((format!("linear, {activation:?}"), Box::new(move || linear(tokens, activation))));
        }
        operations.push(("group norm".into(), Box::new(|| crate::group_norm(&x, &one, &one, 4, 1e-5, true))));
        operations.push(("layer norm".into(), Box::new(|| crate::layer_norm(&tokens, &one, &one, 1e-5))));
        let attention = || crate::attention(&tokens, &tokens, &tokens, 3, 1.3, false);
        operations.push(("attention".into(), Box::new(attention)));
        for (what, operation) in &operations {
            let with = |threads| {
                let pool = pool(threads);
                pool.broadcast(|_| FORCED_PAIRS.set(pairs));
                bits(&pool.install(operation)?)
            };
            let alone = with(1)?;
            for threads in [2, 5, 16] {
                let what = format!("{what}, {dtype:?}, pairs {pairs:?}, {threads} threads");
                assert_same(&what, &with(threads)?, &alone);
            }
        }
    }
    Ok(())
}

/// The same of gradients, of which the weights' are sums over everything.
#[test]
fn the_number_of_threads_changes_no_bit_of_a_gradient() -> Result<()> {
    let var = |shape: &[usize], seed| Var::from_tensor(&random(shape, seed)?);
    for (b, h, w, c, o) in [(3, 12, 12, 18, 17), (1, 23, 45, 18, 17), (1, 3, 9, 5, 7), (2, 33, 31, 20, 24)] {
        let vars = [
            var(&[b, h, w, c], 1)?,
            var(&[o, c, 3, 3], 2)?,
            var(&[o], 3)?,
            var(&[2 * o, o], 4)?,
            var(&[2 * o], 5)?,
            var(&[o], 6)?,
        ];
        let step = || -> Result<Vec<u32>> {
            let [x, kernel, bias, matrix, biases, scale] = &vars;
            let of = |var: &Var| var.as_tensor().clone();
            let y = Conv2d::new(of(kernel), Some(of(bias)))?.forward(x, FusedOps::default())?;
            let y = crate::group_norm(&y, scale, bias, 1, 1e-5, true)?;
            let y = crate::layer_norm(&y, scale, bias, 1e-5)?.flatten(1, 2)?;
            let y = Linear::new(of(matrix), Some(of(biases)))?.forward(&y, FusedOps::activation(Activation::Geglu))?;
            let y = crate::attention(&y, &y, &y, 1, 0.7, false)?;
            let weights = random(y.dims(), 9)?;
            let gradients = (y * weights)?.sum_all()?.backward()?;
            let all = vars.iter().map(|var| bits(gradients.get(var).expect("a gradient")));
            Ok(all.collect::<Result<Vec<_>>>()?.concat())
        };
        let alone = pool(1).install(step)?;
        for threads in [2, 5, 16] {
            assert_same(&format!("{b}x{h}x{w}, {threads} threads"), &pool(threads).install(step)?, &alone);
        }
    }
    Ok(())
}

/// What is not in use takes no memory: see `weights.rs`.
#[test]
fn forms_out_of_use_are_dropped() -> Result<()> {
    let layer = Conv2d::new(random(&[16, 16, 3, 3], 1)?, None)?;
    let x = Tensor::zeros((1, 8, 8, 16), DType::F32, &Device::Cpu)?;
    let run = |method, times| -> Result<usize> {
        let layer = layer.clone().by(method);
        for _ in 0..times {
            layer.forward(&x, FusedOps::default())?;
        }
        Ok(layer.bytes())
    };
    let given = 16 * 16 * 9 * 4;
    assert_eq!(layer.bytes(), given);
    assert_eq!(run(Method::WinogradF2, 1)?, given + given * 16 / 9);
    assert_eq!(run(Method::WinogradF4, 1)?, given + given * 16 / 9 + given * 4, "both are in use");
    assert_eq!(run(Method::Direct, 1)?, given + given * 16 / 9 + given * 4, "in the given weights' place");
    assert_eq!(run(Method::WinogradF4, weights::PATIENCE)?, given + given * 4);
    assert_eq!(run(Method::Direct, weights::PATIENCE)?, given);
    Ok(())
}

/// What an image adds to a layer's memory is known before it is convolved.
#[test]
fn the_memory_of_packed_weights_is_foretold() -> Result<()> {
    for (dtype, pairs) in ARITHMETICS {
        let weight = random(&[64, 64, 3, 3], 1)?.to_dtype(dtype)?;
        pool(1).install(|| {
            FORCED_PAIRS.set(pairs);
            let layer = Conv2d::new(weight.clone(), None)?;
            for size in [[1, 3, 5], [1, 9, 7], [1, 33, 31], [2, 65, 63], [1, 3, 5]] {
                let [batch, height, width] = size;
                let foretold = layer.bytes_to_pack((batch, height, width), dtype)?;
                let before = layer.bytes();
                layer.forward(&image(size, 64, dtype)?, FusedOps::default())?;
                // What was given may give way to a form, or be kept in fewer bits.
                let given = weight.elem_count() * dtype.size_in_bytes();
                let grown = layer.bytes() as i64 - before as i64;
                assert!(grown <= foretold as i64, "{dtype:?} {size:?}: {grown} bytes, {foretold} foretold");
                assert!(
                    foretold as i64 <= grown + given as i64,
                    "{dtype:?} {size:?}: {grown} bytes, {foretold} foretold"
                );
                assert_eq!(layer.bytes_to_pack((batch, height, width), dtype)?, 0, "{dtype:?} {size:?}: at hand");
            }
            Ok::<_, candle_core::Error>(())
        })?;
    }
    Ok(())
}

/// Weights of a file in 16 bits, computed with in f32, are kept in 16 bits, and give what they would in 32.
#[test]
fn weights_that_16_bits_hold_are_kept_in_16_bits() -> Result<()> {
    let x = image([1, 9, 7], 16, DType::F32)?;
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        let weight = random(&[16, 16, 3, 3], 1)?.to_dtype(dtype)?.to_dtype(DType::F32)?;
        let new = || Ok::<_, candle_core::Error>(Conv2d::new(weight.clone(), None)?.by(Method::WinogradF2));
        let layer = new()?;
        let run = |layer: &Conv2d| bits(&layer.forward(&x, FusedOps::default())?);
        assert_same(&format!("{dtype:?}"), &run(&layer)?, &run(&new()?)?);
        let given = 16 * 16 * 9;
        assert_eq!(layer.bytes(), given * 4 * 16 / 9 + given * dtype.size_in_bytes(), "{dtype:?}");
        // The other methods are packed from what is kept.
        for method in [Method::WinogradF4, Method::Direct] {
            let fresh = run(&new()?.by(method))?;
            assert_same(&format!("{dtype:?}, {method:?}"), &run(&layer.clone().by(method))?, &fresh);
        }
    }
    Ok(())
}
