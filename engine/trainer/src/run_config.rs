//! What a run is made of: sizes of the networks, schedules of the stages. One TOML file in the run's folder holds all of
//! it. Change the defaults here; a run keeps those that it was begun with.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::file_io;
use crate::optimizer::Rule;
use crate::timestep_sampling::TimestepSampling;
use crate::training::Schedule;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of a rectified flow in Diffusers layout that replaces the base flow; empty: the base flow is trained.
    pub model: String,
    /// File with one prompt per line, for pairs; empty: the scenes' captions.
    pub prompts: String,
    /// Minutes between two contact sheets of a flow in training; 0: none.
    pub contact_sheet_minutes: f64,
    /// The networks that are trained from nothing.
    pub sizes: Sizes,
    /// Pictures to latents and back.
    pub autoencoder: FromScenes,
    /// The decoder alone, on latents that stay.
    pub decoder: Decoder,
    /// Text encoder and U-Net together.
    pub base: Base,
    /// What names a scene's attributes; the measure of `evaluate`.
    pub classifier: FromScenes,
    /// The U-Net again, on pairs of the flow before.
    pub reflow: Reflow,
    /// A one-step student, on pairs of a flow.
    pub distill: Distill,
}

/// Sizes of the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Side of the pictures that encoder and classifier see, in pixels; [`Sizes::drawn`] is what the decoder paints.
    pub picture: u32,
    /// Tokens that the text encoder sees, marks included.
    pub tokens: usize,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Channels of the autoencoder on every level.
    pub autoencoder_width: usize,
    /// Residual blocks of the encoder's levels; every level halves the side but the first.
    pub encoder_blocks: Vec<usize>,
    /// Residual blocks of the decoder's levels, from the coarsest. Each level more than the encoder has doubles the side
    /// of what is drawn; it is learnt by the decoder alone, on latents that stay.
    pub decoder_blocks: Vec<usize>,
    /// Width of the text embedding.
    pub text_width: usize,
    /// Transformer blocks of the text encoder.
    pub text_layers: usize,
    /// Channels of the U-Net's three levels.
    pub unet_widths: Vec<usize>,
    /// Channels of the classifier's levels; each halves the side.
    pub classifier_widths: Vec<usize>,
    /// Values that the classifier sums a picture up in.
    pub classifier_features: usize,
}

/// A stage that learns from rendered scenes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromScenes {
    /// Different scenes to train on.
    pub pool: usize,
    /// How it learns.
    pub schedule: Schedule,
}

/// See [`Config::decoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// Different scenes to train on.
    pub pool: usize,
    /// Largest standard deviation of the noise on the latents, drawn anew for each sample from 0 on: a student never ends
    /// exactly where an encoder would, and the decoder is to draw an edge all the same.
    pub latent_noise: f64,
    /// How much it counts that a discriminator takes what is decoded for a render; 0: there is none.
    pub adversarial: f64,
    /// Share of the steps after which it counts. The discriminator learns from the first step.
    pub adversarial_from: f64,
    /// Folder of an exported pair whose student's latents it learns to draw sharply, too; empty: none.
    pub student: String,
    /// How many of them.
    pub student_latents: usize,
    /// How much it counts that their pictures are, seen from afar, those of the pair's own decoder.
    pub likeness: f64,
    /// How it learns.
    pub schedule: Schedule,
}

/// See [`Config::base`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Different scenes to train on.
    pub pool: usize,
    /// At which times between noise and picture it learns.
    #[serde(rename = "times")]
    pub timestep_sampling: TimestepSampling,
    /// How it learns.
    pub schedule: Schedule,
}

/// See [`Config::reflow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reflow {
    /// What is minimised.
    pub loss: Loss,
    /// At which times between noise and picture it is minimised.
    #[serde(rename = "times")]
    pub timestep_sampling: TimestepSampling,
    /// How it learns.
    pub schedule: Schedule,
}

/// See [`Config::distill`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// What is minimised first.
    pub loss: Loss,
    /// What is minimised then.
    pub second_loss: Loss,
    /// Share of the steps with the first loss.
    pub first_share: f64,
    /// How it learns.
    pub schedule: Schedule,
}

/// What reflow and distillation can minimise; the formulas are in `losses.rs` and `perceptual.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean squared error of latents.
    Squared,
    /// Pseudo-Huber loss of latents: less easily led by the worst samples.
    PseudoHuber,
    /// Distance of the decoded pictures: LPIPS with `--lpips`, else in the features of the scene classifier.
    Perceptual,
}

/// The file's name in a run's folder.
pub const FILE: &str = "config.toml";

const HEADER: &str = "# The sizes and schedules of this run; options on the command line go before them.
# Sizes stay as they are once a stage has begun. Schedules may change at any time: the next start follows them.

";

impl Config {
    /// What ships: three U-Nets of 6.3 M parameters (two of them the student), an autoencoder of 0.5 M and a text encoder
    /// of 0.7 M, so that the pair stays under 40 MiB in f16. The autoencoder has little at full resolution, where a layer
    /// costs 64 times what it costs at the latents'.
    pub fn pocket() -> Self {
        let pictures = Schedule {
            steps: 13_000,
            batch: 16,
            micro_batch: 8,
            rate: 1.5e-3,
            final_rate: 1e-5,
            warm_up: 200,
            decay: 0.0,
            average: 0.998,
            rule: Rule::Muon,
        };
        // Three times the rate gave a loss of 0.74 after 200 steps, where 1e-3 gave 0.85.
        let flow =
            Schedule { steps: 8_000, batch: 32, micro_batch: 16, rate: 3e-3, decay: 0.01, average: 0.999, ..pictures };
        let reflow = Schedule { steps: 1_500, rate: 1e-3, warm_up: 100, ..flow };
        let distill = Schedule { steps: 2_000, rate: 1e-3, warm_up: 100, ..flow };
        let decoder = Schedule { steps: 4_000, warm_up: 100, ..pictures };
        let classifier = Schedule { steps: 2_000, batch: 32, micro_batch: 16, rate: 1e-3, decay: 0.01, ..pictures };
        Self {
            model: String::new(),
            prompts: String::new(),
            contact_sheet_minutes: 10.0,
            sizes: Sizes {
                picture: 128,
                tokens: 48,
                latent_channels: 20,
                autoencoder_width: 32,
                encoder_blocks: vec![0, 0, 2, 3],
                decoder_blocks: vec![5, 4, 2, 0],
                text_width: 128,
                text_layers: 3,
                unet_widths: vec![64, 128, 144],
                classifier_widths: vec![24, 48, 96, 128, 160],
                classifier_features: 192,
            },
            autoencoder: FromScenes { pool: 12_000, schedule: pictures },
            decoder: Decoder {
                pool: 12_000,
                latent_noise: 0.3,
                adversarial: 0.05,
                adversarial_from: 0.4,
                student: String::new(),
                student_latents: 3_000,
                likeness: 2.0,
                schedule: decoder,
            },
            base: Base { pool: 30_000, timestep_sampling: TimestepSampling::Early, schedule: flow },
            classifier: FromScenes { pool: 40_000, schedule: classifier },
            reflow: Reflow { loss: Loss::Squared, timestep_sampling: TimestepSampling::Uniform, schedule: reflow },
            distill: Distill {
                loss: Loss::Squared,
                second_loss: Loss::Perceptual,
                first_share: 0.6,
                schedule: distill,
            },
        }
    }

    /// The same kind of networks, as small as they go, and a few steps: for tests.
    #[cfg(test)]
    pub fn toy() -> Self {
        let mut config = Self::pocket();
        config.sizes = Sizes {
            picture: 64,
            autoencoder_width: 8,
            encoder_blocks: vec![0, 1, 0, 0],
            decoder_blocks: vec![0, 0, 1, 0, 0],
            text_width: 16,
            text_layers: 1,
            unet_widths: vec![16, 16, 32],
            classifier_widths: vec![8, 8, 8, 8],
            classifier_features: 12,
            ..config.sizes
        };
        for pool in
            [&mut config.autoencoder.pool, &mut config.decoder.pool, &mut config.classifier.pool, &mut config.base.pool]
        {
            *pool = 8;
        }
        for schedule in [
            &mut config.autoencoder.schedule,
            &mut config.decoder.schedule,
            &mut config.classifier.schedule,
            &mut config.base.schedule,
            &mut config.reflow.schedule,
            &mut config.distill.schedule,
        ] {
            *schedule = Schedule { steps: 4, batch: 4, micro_batch: 2, ..*schedule };
        }
        config
    }

    /// Reads a file. What it leaves out is Pocket's; a key that it has and no config knows is named.
    pub fn read(path: &Path) -> Result<Self> {
        let text = file_io::read_text(path)?;
        Self::parse(&text).with_context(|| format!("{} is no configuration", path.display()))
    }

    /// Writes the file of a run.
    pub fn write(&self, path: &Path) -> Result<()> {
        file_io::write(path, format!("{HEADER}{}", toml::to_string(self)?).as_bytes())
    }

    fn parse(text: &str) -> Result<Self> {
        let given: Table = text.parse()?;
        let mut whole = Table::try_from(Self::pocket())?;
        merge(&mut whole, given, "")?;
        let config: Self = Value::Table(whole).try_into()?;
        config.validate()?;
        Ok(config)
    }

    /// Refuses settings that cannot train, in one sentence.
    pub fn validate(&self) -> Result<()> {
        let schedules = [
            ("autoencoder", &self.autoencoder.schedule),
            ("decoder", &self.decoder.schedule),
            ("base", &self.base.schedule),
            ("classifier", &self.classifier.schedule),
            ("reflow", &self.reflow.schedule),
            ("distill", &self.distill.schedule),
        ];
        for (stage, schedule) in schedules {
            schedule.validate().with_context(|| format!("{stage}.schedule"))?;
        }
        let minutes = self.contact_sheet_minutes;
        ensure!(minutes.is_finite() && minutes >= 0.0, "contact_sheet_minutes takes a number, 0 or more");
        ensure!((0.0..=1.0).contains(&self.distill.first_share), "distill.first_share takes a number from 0 to 1");
        let Decoder { latent_noise, adversarial, adversarial_from, likeness, .. } = self.decoder;
        for (name, value) in [("latent_noise", latent_noise), ("adversarial", adversarial), ("likeness", likeness)] {
            ensure!(value.is_finite() && value >= 0.0, "decoder.{name} takes a number, 0 or more");
        }
        ensure!((0.0..=1.0).contains(&adversarial_from), "decoder.adversarial_from takes a number from 0 to 1");
        self.sizes.validate().context("sizes")
    }
}

impl Sizes {
    /// Pixels of a latent's side, as the encoder sees them.
    pub fn factor(&self) -> usize {
        1 << (self.encoder_blocks.len() - 1)
    }

    /// By how much what is drawn is larger than what the encoder sees.
    pub fn enlargement(&self) -> u32 {
        1 << (self.decoder_blocks.len() - self.encoder_blocks.len())
    }

    /// Side of the pictures that are drawn, in pixels.
    pub fn drawn(&self) -> u32 {
        self.picture * self.enlargement()
    }

    /// The same without the levels that enlarge: encoder and decoder as they are trained together.
    #[must_use]
    pub fn as_seen(&self) -> Self {
        let levels = self.encoder_blocks.len();
        Self { decoder_blocks: self.decoder_blocks[..levels].to_vec(), ..self.clone() }
    }

    fn validate(&self) -> Result<()> {
        let levels = self.encoder_blocks.len();
        ensure!((2..=6).contains(&levels), "encoder_blocks takes a number for each of 2 to 6 levels");
        ensure!(
            (levels..=levels + 2).contains(&self.decoder_blocks.len()),
            "decoder_blocks takes as many numbers as encoder_blocks, and up to 2 more to draw larger pictures"
        );
        ensure!(self.unet_widths.len() == 3, "unet_widths takes 3 numbers");
        ensure!(self.unet_widths.iter().all(|width| width.is_multiple_of(16)), "unet_widths takes multiples of 16");
        let classifier = self.classifier_widths.len() as u32;
        ensure!((1..=8).contains(&classifier), "classifier_widths takes 1 to 8 numbers");
        let numbers = [self.latent_channels, self.autoencoder_width, self.text_width, self.classifier_features];
        let widths = self.unet_widths.iter().chain(&self.classifier_widths).chain(&numbers);
        ensure!(widths.copied().all(|width| (1..=4096).contains(&width)), "widths are from 1 to 4096");
        ensure!(self.text_width.is_multiple_of(4), "text_width takes a multiple of 4");
        ensure!((1..=64).contains(&self.text_layers), "text_layers takes 1 to 64");
        ensure!((3..=1024).contains(&self.tokens), "tokens takes 3 to 1024");
        // The U-Net halves the latent twice, which the autoencoder made of the picture.
        let multiple = (4 << (levels - 1)).max(1 << classifier);
        ensure!(
            (multiple..=1024).contains(&self.picture) && self.picture.is_multiple_of(multiple),
            "picture takes a multiple of {multiple} up to 1024, so that all levels can halve it"
        );
        Ok(())
    }
}

/// Replaces values by those that were given.
fn merge(whole: &mut Table, given: Table, above: &str) -> Result<()> {
    for (key, value) in given {
        let name = format!("{above}{key}");
        match (whole.get_mut(&key), value) {
            (None, _) => {
                let known: Vec<&str> = whole.keys().map(String::as_str).collect();
                bail!("the key {name} is unknown (known here: {})", known.join(", "));
            }
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value, &format!("{name}."))?,
            // 1 is accepted for 1.0.
            (Some(place @ Value::Float(_)), Value::Integer(value)) => *place = Value::Float(value as f64),
            (Some(place), value) => {
                ensure!(
                    place.same_type(&value),
                    "{name} must be {}, not {}",
                    with_article(place.type_str()),
                    with_article(value.type_str())
                );
                *place = value;
            }
        }
    }
    Ok(())
}

/// The name of a type with "a" or "an" before it.
fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_is_read_as_the_same() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(FILE);
        for config in [Config::pocket(), Config::toy()] {
            config.write(&path)?;
            assert_eq!(Config::read(&path)?, config);
        }
        Ok(())
    }

    #[test]
    fn what_is_left_out_is_pockets() -> Result<()> {
        let text = "[reflow]\ntimes = \"u-shaped\"\n[reflow.schedule]\nsteps = 7\nrate = 1\n";
        let mut expected = Config::pocket();
        expected.reflow.timestep_sampling = TimestepSampling::UShaped;
        (expected.reflow.schedule.steps, expected.reflow.schedule.rate) = (7, 1.0);
        assert_eq!(Config::parse(text)?, expected);
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("[base.schedule]\nstep = 3", "base.schedule.step is unknown"),
            ("colour = 1", "colour is unknown"),
            ("[base]\npool = \"many\"", "base.pool must be an integer, not a string"),
            ("sizes = [1]", "sizes must be a table, not an array"),
            ("model = 1.5", "model must be a string, not a float"),
            ("[base.schedule]\nbatch = 0", "batch and micro_batch take 1 or more"),
            ("[base.schedule]\nrate = nan", "rate takes a number above 0"),
            ("[base.schedule]\nsteps = -1", "steps"),
            ("[reflow]\nloss = \"cubic\"", "cubic"),
            ("[decoder]\nlatent_noise = -1", "decoder.latent_noise takes a number, 0 or more"),
            ("[decoder]\nadversarial_from = 2", "decoder.adversarial_from takes a number from 0 to 1"),
            ("[sizes]\npicture = 100", "picture takes a multiple of 32"),
            ("[sizes]\nunet_widths = [16, 16]", "3 numbers"),
            ("[sizes]\ndecoder_blocks = [1, 1, 1]", "as many numbers as encoder_blocks"),
            ("[sizes\n", "line 1"),
        ] {
            let error = format!("{:#}", Config::parse(text).expect_err(text));
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
