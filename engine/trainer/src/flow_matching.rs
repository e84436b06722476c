//! Flow matching: the straight path from a noise sample to its latents, and a flow's velocity at points on it (paper,
//! eq. 1). Change here what a flow is asked; what a stage minimises is in `stages/`.

use anyhow::Result;
use candle_core::Tensor;

use crate::flow_model::FlowModel;

/// How often a sample is trained without its caption, so that guidance has an unconditional velocity to lead away from.
pub const CAPTION_DROPOUT: f64 = 0.1;

/// The ends of straight paths.
pub struct Endpoints {
    /// (B, C, h, w).
    pub noise: Tensor,
    /// (B, C, h, w).
    pub latents: Tensor,
}

/// A flow's velocity at one point of each path.
pub struct Prediction {
    /// The points: (B, C, h, w).
    pub x: Tensor,
    /// What the flow predicts there.
    pub velocity: Tensor,
    /// What it should predict: the direction from the noise to the latents.
    pub target: Tensor,
}

impl Endpoints {
    /// The velocity at `times`, one for each sample.
    pub fn predict(&self, flow: &FlowModel, times: &[f64], context: &Tensor) -> Result<Prediction> {
        let t: Vec<f32> = times.iter().map(|&t| t as f32).collect();
        let t = Tensor::from_vec(t, (times.len(), 1, 1, 1), self.noise.device())?;
        let target = (&self.latents - &self.noise)?;
        let x = (&self.noise + target.broadcast_mul(&t)?)?;
        let velocity = flow.velocity(&x, times, context)?;
        Ok(Prediction { x, velocity, target })
    }
}

impl Prediction {
    /// Where the paths end if they go straight on from here: x + (1 − t)·v.
    pub fn extrapolated_latents(&self, times: &[f64]) -> Result<Tensor> {
        let left: Vec<f32> = times.iter().map(|&t| (1.0 - t) as f32).collect();
        let left = Tensor::from_vec(left, (times.len(), 1, 1, 1), self.x.device())?;
        Ok((&self.x + self.velocity.broadcast_mul(&left)?)?)
    }
}
