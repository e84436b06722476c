//! The latents that a student draws, for a decoder that is to draw edges of them. A student of one step leaves open what its
//! loss averages over, so its latents are softer than any that an encoder makes. Change here which are drawn and what their
//! pictures are held to.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{DeviceChoice, OpenRequest, Precision, Settings, Source};
use instaflow_engine::vae::Autoencoder;

use crate::base_model::BaseModel;
use crate::file_io::{self, TensorFile};
use crate::pair_prompts::Prompts;
use crate::parameters::Tensors;
use crate::seeded_random::{Random, key};
use crate::stage::Stage;
use crate::training_run::Run;

const LATENTS: &str = "latents";

/// Latents of a pair's student, and the decoder that the pair has.
pub struct StudentLatents {
    /// (N, C, h, w).
    latents: Tensor,
    own: Autoencoder,
}

impl StudentLatents {
    /// `count` latents of the student of an exported pair, for captions that no other stage sees. They are drawn once and
    /// kept in the run's folder.
    pub fn open(run: &Run, pair: &Path, count: usize) -> Result<Self> {
        ensure!(count > 0, "decoder.student_latents takes 1 or more");
        let teacher = BaseModel::open(&pair.join("teacher"))?;
        let weights = teacher.autoencoder()?;
        let own = Autoencoder::new(run.frozen_builder(&weights, ""), &teacher.architecture().autoencoder)?;
        let path = run.path(&Stage::Decoder.name()).join("student.safetensors");
        let kept = TensorFile::open(&path)?.map(|file| file.get(LATENTS)).transpose()?.flatten();
        let latents = if let Some(kept) = kept.filter(|kept| kept.dims().first() == Some(&count)) {
            kept
        } else {
            let drawn = draw(pair, count)?;
            let tensors = Tensors::from([(LATENTS.to_owned(), drawn.clone())]);
            file_io::write_tensors(&path, file_io::saved(&tensors), file_io::Metadata::new())?;
            drawn
        };
        let (_, channels, height, width) = latents.dims4()?;
        let sizes = &run.config.sizes;
        let side = sizes.picture as usize / sizes.factor();
        ensure!(
            (channels, height, width) == (sizes.latent_channels, side, side),
            "{} draws latents of {channels}×{height}×{width}: take a pair whose latents are this run's",
            pair.display()
        );
        Ok(Self { latents: latents.to_device(&run.device)?, own })
    }

    /// Windows of half the side, of the samples of a step: (B, C, h/2, w/2).
    pub fn batch(&self, step: u64, range: Range<usize>) -> Result<Tensor> {
        let (count, _, height, width) = self.latents.dims4()?;
        let windows: Vec<Tensor> = range
            .map(|sample| {
                let mut random = Random::new(key(&[Stage::Decoder.seed(), step, sample as u64, 3]));
                let (row, y, x) = (random.below(count), random.below(height / 2 + 1), random.below(width / 2 + 1));
                self.latents.narrow(0, row, 1)?.narrow(2, y, height / 2)?.narrow(3, x, width / 2)
            })
            .collect::<candle_core::Result<_>>()?;
        Ok(Tensor::cat(&windows, 0)?.contiguous()?)
    }

    /// How far what is decoded of latents is from what the pair's own decoder makes of them: the mean absolute difference of
    /// their averages over quarters of a latent's pixels. What is smaller than that is free to become sharper.
    pub fn likeness(&self, latents: &Tensor, decoded: &Tensor) -> Result<Tensor> {
        let own = self.own.decode(latents, &Cancel::default())?.detach();
        let averaged = |picture: &Tensor| -> Result<Tensor> {
            let side = picture.dim(2)? / latents.dim(2)? / 2;
            Ok(if side > 1 { picture.avg_pool2d(side)? } else { picture.clone() })
        };
        Ok((averaged(decoded)? - averaged(&own)?)?.abs()?.mean_all()?)
    }
}

/// Draws `count` latents (N, C, h, w) with the student of a pair, on the CPU.
fn draw(pair: &Path, count: usize) -> Result<Tensor> {
    let request = OpenRequest {
        model: Source::Folder(pair.to_owned()),
        device: DeviceChoice::Cpu,
        precision: Some(Precision::F32),
        ..OpenRequest::default()
    };
    let models = Models::open(&request, &mut |_| {})?;
    eprintln!("decoder: {count} latents of the student of {}", pair.display());
    let seed = Stage::Decoder.seed();
    let one = |row: usize| -> Result<Tensor> {
        let prompt = Prompts::Scenes.of(seed, row).text;
        let settings = Settings { seed: key(&[seed, row as u64]), ..Settings::student(prompt) };
        let latents = models.draw(&settings, None, &mut |_| {}, &Cancel::default())?.latents;
        Ok(Tensor::from_vec(latents.values, latents.shape.as_slice(), &Device::Cpu)?)
    };
    let all: Vec<Tensor> = (0..count).map(one).collect::<Result<_>>().context("the student cannot draw")?;
    Ok(Tensor::cat(&all, 0)?)
}
