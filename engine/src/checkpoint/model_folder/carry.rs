//! Carries a fine-tune of a diffusion model over to a flow of the same shape, by InstaFlow's own recipe (the authors'
//! `rf_lora.py`): the difference that the tuning made to the U-Net is added, and the fine-tune's other parts are taken.

use std::sync::Arc;

use super::{ModelFolder, open_part};
use crate::checkpoint::files::Files;
use crate::protocol::Prediction;
use crate::{Error, Result};

/// The classes of the U-Nets.
const UNETS: [&str; 2] = ["UNet2DConditionModel", "StackedUNet2DConditionModel"];

impl ModelFolder {
    /// Adds `weight`·(fine-tune − base) to the U-Net, and takes the text encoder, the tokenizer and the decoder of the
    /// fine-tune, as far as it has them. Nothing is loaded; shapes are checked before the first tensor is.
    pub(in crate::checkpoint) fn carry(&mut self, finetune: &Files, base: &Files, weight: f32) -> Result<()> {
        if !weight.is_finite() {
            return Err(Error::Setting(format!("a fine-tune cannot be carried over with a weight of {weight}")));
        }
        for files in [finetune, base] {
            if !files.folder("unet").exists() {
                let message =
                    "holds no U-Net: a fine-tune is carried over as the difference of its U-Net to its base's";
                return Err(files.fault("", message));
            }
        }
        // What it predicts plays no part, so nobody is asked; the model stays what it is.
        let tuned = Self::open(finetune, Some(self), Some(Prediction::Flow))?;
        let base = open_part(&base.folder("unet"), &UNETS)?;
        self.unet = Arc::new(self.unet.carrying(&tuned.unet, &base, weight));
        self.name = format!("{} + {}", self.name, tuned.name);
        (self.latent_channels, self.latent_factor) = (tuned.latent_channels, tuned.latent_factor);
        (self.text_encoder, self.tokenizer) = (tuned.text_encoder, tuned.tokenizer);
        (self.vae, self.vae_tiny) = (tuned.vae, tuned.vae_tiny);
        self.check_channels()
    }
}
