//! One layer's weights with one adapter: W ↦ W′. The formulas are those of kohya-ss' sd-scripts, LyCORIS (Yeh et al. 2023,
//! arXiv 2309.14859) and PEFT; where programs differ, the one whose files have that form counts. All shapes were checked
//! before (`fit.rs`).

use candle_core::{Result as TensorResult, Tensor, bail};
use instaflow_kernels::LowRank;

use super::file::{Adapter, Module, Part};
use super::fit::{self, Of};
use crate::Result;

/// `base` (O), (O, I) or (O, I, k, k) in f32 with `weight` times this difference.
pub(super) fn changed(
    adapter: &Adapter,
    key: &str,
    module: &Module,
    of: Of,
    base: &Tensor,
    weight: f64,
) -> Result<Tensor> {
    let part = |part| adapter.tensor(module, part);
    let whole = match of {
        Of::Bias => [Part::DiffBias, Part::NormBias],
        Of::Weight => [Part::Diff, Part::Norm],
    };
    for diff in whole {
        if let Some(diff) = part(diff)? {
            return Ok((base + (diff.reshape(base.shape())? * weight)?)?);
        }
    }
    if let Some(factors) = part(Part::Ia3)? {
        // Liu et al. 2022, arXiv 2205.05638, as LyCORIS has it: 0 is no change.
        let side = usize::from(!adapter.is_zero(module, Part::OnInput));
        let mut shape = vec![1; base.rank()];
        shape[side] = base.dim(side)?;
        return Ok(base.broadcast_mul(&factors.reshape(shape)?.affine(weight, 1.0)?)?);
    }
    if let Some(magnitude) = part(Part::Magnitude)? {
        // PEFT: the weight counts inside the norm, which is over a row (Liu et al. 2024, arXiv 2402.09353).
        let v = (base + difference(adapter, key, module, base, weight)?)?;
        let rows = base.dim(0)?;
        let flat = v.reshape((rows, ()))?;
        let factor = (magnitude.reshape((rows, 1))? / norm(&flat)?)?;
        return Ok(flat.broadcast_mul(&factor)?.reshape(base.shape())?);
    }
    if let Some(scale) = part(Part::DoraScale)? {
        // LyCORIS: the weight counts outside the norm, which is over a row or over a column, as the magnitudes' shape says.
        let v = (base + difference(adapter, key, module, base, 1.0)?)?;
        let (rows, columns) = (base.dim(0)?, base.dim(1)?);
        let by_row = scale.dims().first() == Some(&rows) && scale.elem_count() == rows;
        let (flat, count) = if by_row {
            (v.reshape((rows, ()))?, rows)
        } else {
            (v.transpose(0, 1)?.contiguous()?.reshape((columns, ()))?, columns)
        };
        let ratio = (scale.reshape((count, 1))? / norm(&flat)?)?;
        let scaled = flat.broadcast_mul(&ratio.affine(weight, 1.0 - weight)?)?;
        if by_row {
            return Ok(scaled.reshape(base.shape())?);
        }
        let mut turned = base.dims().to_vec();
        turned.swap(0, 1);
        return Ok(scaled.reshape(turned)?.transpose(0, 1)?.contiguous()?);
    }
    Ok((base + difference(adapter, key, module, base, weight)?)?)
}

/// What [`changed`] would add, if it is no more than the product of two matrices.
pub(super) fn low_rank(adapter: &Adapter, key: &str, module: &Module, of: Of, weight: f32) -> Result<Option<LowRank>> {
    let plain = |part: &Part| matches!(part, Part::Up | Part::Down | Part::Alpha | Part::DiffBias | Part::NormBias);
    if of != Of::Weight || !module.parts.keys().all(plain) {
        return Ok(None);
    }
    let (Some(up), Some(down)) = (adapter.tensor(module, Part::Up)?, adapter.tensor(module, Part::Down)?) else {
        return Ok(None);
    };
    let scale = adapter.scale(key, module, down.dims()[0])? * f64::from(weight);
    Ok(Some(LowRank { up: up.flatten_from(1)?, down: down.flatten_from(1)?, scale: scale as f32 }))
}

/// `weight` times ΔW, in the shape of `base`.
fn difference(adapter: &Adapter, key: &str, module: &Module, base: &Tensor, weight: f64) -> Result<Tensor> {
    let part = |part| adapter.tensor(module, part);
    let product = if let (Some(up), Some(down)) = (part(Part::Up)?, part(Part::Down)?) {
        let scale = adapter.scale(key, module, down.dims()[0])? * weight;
        factored(&(up * scale)?, part(Part::Mid)?.as_ref(), &down)?
    } else if let (Some(w1_a), Some(w1_b), Some(w2_a), Some(w2_b)) =
        (part(Part::Hada1A)?, part(Part::Hada1B)?, part(Part::Hada2A)?, part(Part::Hada2B)?)
    {
        let scale = adapter.scale(key, module, w1_b.dims()[0])? * weight;
        let factor = |t: Option<Tensor>, a: &Tensor, b: &Tensor| match t {
            Some(t) => tucker(&t, a, b),
            None => a.matmul(b),
        };
        let one = factor(part(Part::HadaT1)?, &(w1_a * scale)?, &w1_b)?;
        (one.flatten_all()? * factor(part(Part::HadaT2)?, &w2_a, &w2_b)?.flatten_all()?)?
    } else if let Some(a1) = part(Part::GloraA1)? {
        glora(adapter, key, module, a1, base, weight)?
    } else {
        let one = kronecker_factor(adapter, module, [Part::Lokr1, Part::Lokr1A, Part::Lokr1B], None)?;
        let two = kronecker_factor(adapter, module, [Part::Lokr2, Part::Lokr2A, Part::Lokr2B], Some(Part::LokrT2))?;
        let scale = match two.1.or(one.1) {
            Some(rank) => adapter.scale(key, module, rank)?,
            // Whole matrices are not scaled, whatever alpha says.
            None => 1.0,
        };
        kronecker(&(one.0 * (scale * weight))?, &two.0, base)?
    };
    Ok(product.reshape(base.shape())?)
}

/// `up` (O, r, …)·`down` (r, I, …), or with a core `mid` (r, s, k, k) between them.
fn factored(up: &Tensor, mid: Option<&Tensor>, down: &Tensor) -> TensorResult<Tensor> {
    let (up, down) = (up.flatten_from(1)?, down.flatten_from(1)?);
    match mid {
        Some(mid) => tucker(mid, &up.t()?.contiguous()?, &down),
        None => up.matmul(&down),
    }
}

/// Σ t[i, j, …]·b[j, r]·a[i, p] as (p, r, …): `t` (i, j, …), `a` (i, p), `b` (j, r).
fn tucker(t: &Tensor, a: &Tensor, b: &Tensor) -> TensorResult<Tensor> {
    let (i, j) = (t.dim(0)?, t.dim(1)?);
    let (p, r) = (a.dim(1)?, b.dim(1)?);
    let taps = t.elem_count() / (i * j).max(1);
    let half = a.t()?.contiguous()?.matmul(&t.reshape((i, j * taps))?)?; // (p, j·taps)
    let half = half.reshape((p, j, taps))?.permute((0, 2, 1))?.contiguous()?.reshape((p * taps, j))?;
    half.matmul(b)?.reshape((p, taps, r))?.permute((0, 2, 1))?.contiguous()
}

/// Generalized LoRA (Chavan et al. 2023, arXiv 2306.07967): B + W·A, each of two factors.
fn glora(adapter: &Adapter, key: &str, module: &Module, a1: Tensor, base: &Tensor, weight: f64) -> Result<Tensor> {
    let part = |part| adapter.tensor(module, part);
    let (Some(a2), Some(b1), Some(b2)) = (part(Part::GloraA2)?, part(Part::GloraB1)?, part(Part::GloraB2)?) else {
        return Err(adapter.fault(format!("is incomplete under {key}: fetch it again")));
    };
    let old = fit::is_old_glora(adapter, module, base.dims());
    let (a1, a2, b1, b2) = if old { (a2, a1, b2, b1) } else { (a1, a2, b1, b2) };
    let scale = adapter.scale(key, module, b2.dims()[0])? * weight;
    let b = factored(&b1, part(Part::GloraMid)?.as_ref(), &b2)?.reshape(base.shape())?;
    // (O, I, taps) · (I, r) · (r, I) over I.
    let (rows, inputs) = (base.dim(0)?, base.dim(1)?);
    let w = base.reshape((rows, inputs, ()))?.transpose(1, 2)?.contiguous()?;
    let taps = w.dim(1)?;
    let wa = w.reshape((rows * taps, inputs))?.matmul(&a1.flatten_from(1)?)?.matmul(&a2.flatten_from(1)?)?;
    let wa = wa.reshape((rows, taps, inputs))?.transpose(1, 2)?.contiguous()?.reshape(base.shape())?;
    Ok(((b + wa)? * scale)?)
}

/// A factor of a Kronecker product, whole or as a product itself, and its rank then.
fn kronecker_factor(
    adapter: &Adapter,
    module: &Module,
    [whole, a, b]: [Part; 3],
    t: Option<Part>,
) -> Result<(Tensor, Option<usize>)> {
    if let Some(whole) = adapter.tensor(module, whole)? {
        return Ok((whole, None));
    }
    let (Some(a), Some(b)) = (adapter.tensor(module, a)?, adapter.tensor(module, b)?) else {
        return Err(adapter.fault("lacks a factor of a Kronecker product: fetch it again"));
    };
    let rank = b.dim(0)?;
    let product = match t.map(|t| adapter.tensor(module, t)).transpose()?.flatten() {
        Some(t) => tucker(&t, &a, &b)?,
        None => a.matmul(&b.flatten_from(1)?)?,
    };
    Ok((product, Some(rank)))
}

/// `one` (a, b) ⊗ `two` (c, d, …) as (a·c, b·d, …), where `base` (a·c, b·d, …) says how many taps `two` has.
fn kronecker(one: &Tensor, two: &Tensor, base: &Tensor) -> TensorResult<Tensor> {
    let (a, b) = one.flatten_from(1)?.dims2()?;
    let taps: usize = base.dims()[2..].iter().product();
    let c = two.dim(0)?;
    let d = two.elem_count() / (c * taps).max(1);
    if a * b * c * d * taps != base.elem_count() {
        bail!("a Kronecker product of another size");
    }
    let one = one.reshape((a, 1, b, 1, 1))?;
    let two = two.reshape((1, c, 1, d, taps))?;
    one.broadcast_mul(&two)?.reshape((a * c, b * d, taps))
}

/// Length of every row of `x` (rows, n) as (rows, 1).
fn norm(x: &Tensor) -> TensorResult<Tensor> {
    x.sqr()?.sum_keepdim(1)?.sqrt()
}
