//! One layer's weights with one adapter: W ↦ W′. The formulas are those of kohya-ss' sd-scripts, LyCORIS (Yeh et al. 2023,
//! arXiv 2309.14859) and PEFT; where programs differ, the one whose files have that form counts.

use candle_core::{Result as TensorResult, Tensor};

use super::file::{Adapter, Module, Part};
use crate::Result;

/// `base` (O, I) or (O, I, k, k) in f32 with `weight` times this difference.
pub(super) fn changed(adapter: &Adapter, key: &str, module: &Module, base: &Tensor, weight: f64) -> Result<Tensor> {
    let part = |part| adapter.tensor(module, part);
    if let Some(diff) = part(Part::Diff)? {
        let diff = shaped(adapter, key, diff, base)?;
        return Ok((base + (diff * weight)?)?);
    }
    let difference = difference(adapter, key, module, base)?;
    if let Some(magnitude) = part(Part::Magnitude)? {
        // PEFT: the weight counts inside the norm, which is over a row (Liu et al. 2024, arXiv 2402.09353).
        let v = (base + (difference * weight)?)?;
        let rows = base.dim(0)?;
        if magnitude.elem_count() != rows {
            return Err(adapter.fault(misfit(key, base)));
        }
        let flat = v.reshape((rows, ()))?;
        let factor = (magnitude.reshape((rows, 1))? / norm(&flat)?)?;
        return Ok(flat.broadcast_mul(&factor)?.reshape(base.shape())?);
    }
    if let Some(scale) = part(Part::DoraScale)? {
        // LyCORIS: the weight counts outside the norm, which is over a row or over a column, as the magnitudes' shape says.
        let v = (base + difference)?;
        let (rows, columns) = (base.dim(0)?, base.dim(1)?);
        let by_row = scale.dims().first() == Some(&rows) && scale.elem_count() == rows;
        let (flat, count) = if by_row {
            (v.reshape((rows, ()))?, rows)
        } else {
            (v.transpose(0, 1)?.contiguous()?.reshape((columns, ()))?, columns)
        };
        if scale.elem_count() != count {
            return Err(adapter.fault(misfit(key, base)));
        }
        let ratio = (scale.reshape((count, 1))? / norm(&flat)?)?;
        let scaled = flat.broadcast_mul(&ratio.affine(weight, 1.0 - weight)?)?;
        if by_row {
            return Ok(scaled.reshape(base.shape())?);
        }
        let mut turned = base.dims().to_vec();
        turned.swap(0, 1);
        return Ok(scaled.reshape(turned)?.transpose(0, 1)?.contiguous()?);
    }
    Ok((base + (difference * weight)?)?)
}

/// ΔW in the shape of `base`, scaled, for a weight of 1.
fn difference(adapter: &Adapter, key: &str, module: &Module, base: &Tensor) -> Result<Tensor> {
    let part = |part| adapter.tensor(module, part);
    let lacks =
        |what: &str| adapter.fault(format!("has {what} for {key}, but not all that belongs to it: fetch it again"));
    if let Some(up) = part(Part::Up)? {
        let down = part(Part::Down)?.ok_or_else(|| lacks("lora_up"))?;
        let rank = down.dims()[0];
        let scale = adapter.scale(key, module, rank)?;
        let product = match part(Part::Mid)? {
            Some(mid) => tucker(&mid, &up.flatten_from(1)?.t()?.contiguous()?, &down.flatten_from(1)?),
            None => up.flatten_from(1).and_then(|up| up.matmul(&down.flatten_from(1)?)),
        };
        let product = product.map_err(|_| adapter.fault(misfit(key, base)))?;
        return shaped(adapter, key, (product * scale)?, base);
    }
    if let Some(w1_a) = part(Part::Hada1A)? {
        let all = [part(Part::Hada1B)?, part(Part::Hada2A)?, part(Part::Hada2B)?];
        let [Some(w1_b), Some(w2_a), Some(w2_b)] = all else { return Err(lacks("hada_w1_a")) };
        let scale = adapter.scale(key, module, w1_b.dims()[0])?;
        let factor = |t: Option<Tensor>, a: &Tensor, b: &Tensor| match t {
            Some(t) => tucker(&t, a, b),
            None => a.matmul(b),
        };
        let (t1, t2) = (part(Part::HadaT1)?, part(Part::HadaT2)?);
        let product = factor(t1, &w1_a, &w1_b)
            .and_then(|one| one * factor(t2, &w2_a, &w2_b)?)
            .map_err(|_| adapter.fault(misfit(key, base)))?;
        return shaped(adapter, key, (product * scale)?, base);
    }
    let (one, rank1) = kronecker_factor(adapter, module, [Part::Lokr1, Part::Lokr1A, Part::Lokr1B], None)
        .map_err(|_| adapter.fault(misfit(key, base)))?
        .ok_or_else(|| lacks("some tensors"))?;
    let (two, rank2) = kronecker_factor(adapter, module, [Part::Lokr2, Part::Lokr2A, Part::Lokr2B], Some(Part::LokrT2))
        .map_err(|_| adapter.fault(misfit(key, base)))?
        .ok_or_else(|| lacks("lokr_w1"))?;
    let scale = match rank2.or(rank1) {
        Some(rank) => adapter.scale(key, module, rank)?,
        // Whole matrices are not scaled, whatever alpha says.
        None => 1.0,
    };
    if one.elem_count().checked_mul(two.elem_count()) != Some(base.elem_count()) || one.rank() != 2 {
        return Err(adapter.fault(misfit(key, base)));
    }
    let product = kronecker(&one, &two, base).map_err(|_| adapter.fault(misfit(key, base)))?;
    shaped(adapter, key, (product * scale)?, base)
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

/// A factor of a Kronecker product, whole or as a product itself, and its rank then.
fn kronecker_factor(
    adapter: &Adapter,
    module: &Module,
    [whole, a, b]: [Part; 3],
    t: Option<Part>,
) -> Result<Option<(Tensor, Option<usize>)>> {
    if let Some(whole) = adapter.tensor(module, whole)? {
        return Ok(Some((whole, None)));
    }
    let (Some(a), Some(b)) = (adapter.tensor(module, a)?, adapter.tensor(module, b)?) else { return Ok(None) };
    let rank = b.dim(0)?;
    let product = match t.map(|t| adapter.tensor(module, t)).transpose()?.flatten() {
        Some(t) => tucker(&t, &a, &b)?,
        None => a.matmul(&b.flatten_from(1)?)?,
    };
    Ok(Some((product, Some(rank))))
}

/// `one` (a, b) ⊗ `two` (c, d, …) as (a·c, b·d, …), where `base` (a·c, b·d, …) says how many taps `two` has.
fn kronecker(one: &Tensor, two: &Tensor, base: &Tensor) -> TensorResult<Tensor> {
    let (a, b) = one.dims2()?;
    let taps: usize = base.dims()[2..].iter().product();
    let c = two.dim(0)?;
    let d = two.elem_count() / (c * taps).max(1);
    let one = one.reshape((a, 1, b, 1, 1))?;
    let two = two.reshape((1, c, 1, d, taps))?;
    one.broadcast_mul(&two)?.reshape((a * c, b * d, taps))
}

/// Length of every row of `x` (rows, n) as (rows, 1).
fn norm(x: &Tensor) -> TensorResult<Tensor> {
    x.sqr()?.sum_keepdim(1)?.sqrt()
}

/// A difference in the shape of the weights that it is for.
fn shaped(adapter: &Adapter, key: &str, difference: Tensor, base: &Tensor) -> Result<Tensor> {
    if difference.elem_count() != base.elem_count() || difference.dims().first() != base.dims().first() {
        return Err(adapter.fault(misfit(key, base)));
    }
    Ok(difference.reshape(base.shape())?)
}

fn misfit(key: &str, base: &Tensor) -> String {
    format!(
        "does not fit this model: its {key} has another shape than the layer's {:?}, so it was made for another base model",
        base.dims()
    )
}
