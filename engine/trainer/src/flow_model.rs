//! A rectified flow conditioned on text: text encoder and U-Net together. Change here how they are put together; the
//! networks are the engine's.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use instaflow_engine::Cancel;
use instaflow_engine::flow::euler::{self, Path};
use instaflow_engine::flow::noise::randn;
use instaflow_engine::text::TextEncoder;
use instaflow_engine::unet::UNet;
use rayon::prelude::*;

use crate::architecture::{TEXT, UNET};
use crate::parameters::{Tensors, weights_fingerprint};
use crate::training_run::Run;

/// The two networks.
pub struct FlowModel {
    text: TextEncoder,
    unet: UNet,
    device: Device,
    never_cancelled: Cancel,
}

impl FlowModel {
    /// From weights named `text_encoder.…` and `unet.…`; the U-Net is single, or `stacks` in series.
    pub fn new(run: &Run, weights: &VarBuilder, stacks: usize) -> Result<Self> {
        let networks = run.full_architecture()?;
        let text = TextEncoder::new(weights.pp("text_encoder"), &networks.text_encoder()?)?;
        let unet = UNet::new(weights.pp("unet"), &networks.unet(stacks)?)?;
        Ok(Self { text, unet, device: run.device.clone(), never_cancelled: Cancel::default() })
    }

    /// A flow whose weights do not learn.
    pub fn frozen(run: &Run, weights: &Tensors, stacks: usize) -> Result<Self> {
        Self::new(run, &run.frozen_builder(weights, ""), stacks)
    }

    /// The text embedding of prompts: (B, L, D).
    pub fn context(&self, prompts: &[Vec<u32>]) -> Result<Tensor> {
        let length = prompts.first().map_or(0, Vec::len);
        let ids = Tensor::from_vec(prompts.concat(), (prompts.len(), length), &self.device)?;
        Ok(self.text.forward(&ids)?)
    }

    /// The velocity at `x` (B, C, h, w), each sample at its own time: 0 is noise, 1 the picture.
    pub fn velocity(&self, x: &Tensor, times: &[f64], context: &Tensor) -> Result<Tensor> {
        let steps: Vec<f32> = times.iter().map(|t| (1000.0 * (1.0 - t)) as f32).collect();
        let steps = Tensor::from_vec(steps, times.len(), &self.device)?;
        Ok(self.unet.forward(x, &steps, context, &self.never_cancelled)?)
    }

    /// Euler steps from noise (B, C, h, w) to latents. The `empty` prompt is used if guidance is above 1.
    pub fn sample(
        &self,
        noise: &Tensor,
        prompts: &[Vec<u32>],
        empty: &[u32],
        steps: usize,
        guidance: f64,
    ) -> Result<Path> {
        let count = prompts.len();
        let guided = guidance > 1.0;
        let unconditional = if guided { vec![empty.to_vec(); count] } else { Vec::new() };
        let context = self.context(&[unconditional, prompts.to_vec()].concat())?;
        let mut velocity = |x: &Tensor, t: f64| -> instaflow_engine::Result<Tensor> {
            let x = if guided { Tensor::cat(&[x, x], 0)? } else { x.clone() };
            let rows = x.dim(0)?;
            let time = Tensor::full((1000.0 * (1.0 - t)) as f32, rows, &self.device)?;
            let v = self.unet.forward(&x, &time, &context, &self.never_cancelled)?;
            if guided {
                Ok(euler::guided(&v.narrow(0, count, count)?, &v.narrow(0, 0, count)?, guidance)?)
            } else {
                Ok(v)
            }
        };
        Ok(euler::sample(noise, &euler::even(steps), &mut velocity, &mut |_| Ok(()))?)
    }
}

/// Whether a weight of a flow belongs to the U-Net, which is all that learns while the text encoder is frozen.
pub fn is_unet(name: &str) -> bool {
    name.starts_with(UNET)
}

/// A short name for exactly these weights of a flow.
pub fn flow_fingerprint(weights: &Tensors) -> Result<String> {
    Ok(weights_fingerprint(weights, TEXT)? + &weights_fingerprint(weights, UNET)?)
}

/// The noise of these seeds, as the program draws it, on the run's device: (B, C, h, w).
pub fn noise(run: &Run, seeds: &[u64]) -> Result<Tensor> {
    modified_noise(run, seeds, |_, _| ())
}

/// The same noise after `change`, which gets each sample's place in the batch and its C rows of h·w values.
pub fn modified_noise(run: &Run, seeds: &[u64], change: impl Fn(usize, &mut [f32]) + Sync) -> Result<Tensor> {
    let (channels, side) = run.architecture().latent();
    let shape = [1, channels, side, side];
    let sample = |(place, &seed): (usize, &u64)| {
        let mut values = randn(seed, &shape);
        change(place, &mut values);
        values
    };
    let values: Vec<Vec<f32>> = seeds.par_iter().enumerate().map(sample).collect();
    run.tensor(values.concat(), (seeds.len(), channels, side, side))
}
