//! Euler steps along a velocity, from noise at t = 0 to an image at t = 1, as in the InstaFlow authors' pipeline. The
//! functions are pure: the noise and the velocity are passed in.

use candle_core::{DType, Tensor};

use crate::Result;

/// The time that the networks are given at noise. At time t of the flow they are given `(1 − t)` times this.
pub const NETWORK_TIME: f64 = 1000.0;

/// The state of a run after a step.
pub struct Progress<'a> {
    /// Steps done, from 1.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// The flow's prediction of the end point, `x + (1 − t)·v` with the x, t and v of this step.
    pub estimate: &'a Tensor,
}

/// The result of a run.
pub struct Path {
    /// The sampler's last x, shaped as the noise.
    pub latents: Tensor,
    /// Σ dt·‖(z_N − z_0) − v_i‖², summed over the latent's values and averaged over the batch: the estimate of S(Z)
    /// (paper, section 3) from one run of several steps. `None` for one step, for which it is 0 by definition.
    pub straightness: Option<f64>,
}

/// One step: the time at its beginning, and its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stride {
    /// 0 is noise, 1 is an image.
    pub t: f64,
    /// How far it leads.
    pub dt: f64,
}

/// `steps` steps of size 1/`steps` from noise to an image.
pub fn even(steps: usize) -> Vec<Stride> {
    (0..steps).map(|step| Stride { t: step as f64 / steps as f64, dt: 1.0 / steps as f64 }).collect()
}

/// Euler steps from `noise` (B, C, h, w).
///
/// `velocity(x, t)` gives v at the beginning of each, with guidance if that is wanted. `observer` is called after every
/// step.
pub fn sample(
    noise: &Tensor,
    strides: &[Stride],
    velocity: &mut dyn FnMut(&Tensor, f64) -> Result<Tensor>,
    observer: &mut dyn FnMut(Progress<'_>) -> Result<()>,
) -> Result<Path> {
    let steps = strides.len();
    let mut x = noise.clone();
    let mut velocities = Vec::with_capacity(if steps > 1 { steps } else { 0 });
    for (step, &Stride { t, dt }) in strides.iter().enumerate() {
        let v = velocity(&x, t)?;
        let estimate = (&x + (&v * (1.0 - t))?)?;
        x = (&x + (&v * dt)?)?;
        observer(Progress { done: step + 1, total: steps, estimate: &estimate })?;
        if steps > 1 {
            velocities.push(v);
        }
    }
    let straightness = if steps > 1 {
        let chord = (&x - noise)?.to_dtype(DType::F32)?;
        let mut sum = 0.0;
        for (v, stride) in velocities.iter().zip(strides) {
            let off = (&chord - v.to_dtype(DType::F32)?)?;
            sum += stride.dt * f64::from(off.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        Some(sum / noise.dim(0)? as f64)
    } else {
        None
    };
    Ok(Path { latents: x, straightness })
}

/// Classifier-free guidance: `v_neg + scale·(v_text − v_neg)`.
pub fn guided(conditional: &Tensor, unconditional: &Tensor, scale: f64) -> candle_core::Result<Tensor> {
    unconditional + ((conditional - unconditional)? * scale)?
}
