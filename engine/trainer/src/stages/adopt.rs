//! Begins a run with the networks of a pair that an earlier run exported, so that training continues from what ships.
//! Change here what is taken over.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use instaflow_engine::vae::AutoencoderTiny;

use crate::base_model::BaseModel;
use crate::caption_probe::CaptionProbe;
use crate::flow_model::FlowModel;
use crate::parameters::{Parameters, Tensors};
use crate::stage::Stage;
use crate::stages::decoder;
use crate::training;
use crate::training_run::Run;

/// Takes the autoencoder of `folder/teacher` and its flow as the start of the base flow; both begin their schedules anew,
/// with an optimizer that remembers nothing. The latents stay as they are, unless this run's `latent_channels` or
/// `autoencoder_width` are larger: then the autoencoder has to learn what to do with the new ones, and its own stage is
/// the next one.
pub fn adopt(run: &Run, folder: &Path) -> Result<()> {
    run.require_scenes("adopting a pair")?;
    for stage in [Stage::Autoencoder, Stage::Decoder, Stage::BASE] {
        let path = run.checkpoint(stage);
        ensure!(!path.exists(), "{} is there already: choose another --run", path.display());
    }
    let teacher = folder.join("teacher");
    let model = BaseModel::open(&teacher)?;
    let vocabulary = |folder: &Path| {
        let path = folder.join("vocab.json");
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    ensure!(
        vocabulary(&model.tokenizer_folder())? == vocabulary(&run.tokenizer_folder())?,
        "{} has another vocabulary than the scenes have now: its text encoder cannot go on",
        teacher.display()
    );
    let config = run.architecture().autoencoder()?;
    let fresh = Parameters::seeded(Stage::Autoencoder.seed(), &Device::Cpu);
    AutoencoderTiny::new(fresh.builder(), &config)?;
    let mut given = model.autoencoder()?;
    let other_sizes = || format!("{} has other sizes than this run's config.toml", teacher.display());
    let before = model.architecture().autoencoder()?;
    ensure!(
        before.num_encoder_blocks == config.num_encoder_blocks
            && grows(&before.num_decoder_blocks, &config.num_decoder_blocks),
        other_sizes()
    );
    if before.num_decoder_blocks != config.num_decoder_blocks {
        decoder::without_last_layer(&mut given)?;
    }
    let autoencoder = widened(&given, &fresh, &["encoder.", "decoder."])?;
    let grown = given.iter().any(|(name, tensor)| tensor.shape() != autoencoder[name].shape());
    let fresh = Parameters::seeded(Stage::BASE.seed(), &Device::Cpu);
    FlowModel::new(run, &fresh.builder(), 1)?;
    let flow = widened(&model.flow()?, &fresh, &["unet.conv_in.", "unet.conv_out."])?;
    FlowModel::frozen(run, &flow, 1).with_context(other_sizes)?;
    ensure!(
        !grown || run.config.sizes.enlargement() == 1,
        "an autoencoder can be widened only where decoder_blocks has as many numbers as encoder_blocks: train it, then add \
         the levels that enlarge"
    );
    let (stage, autoencoder) = if grown {
        (Stage::Autoencoder, Parameters::given(autoencoder, |_| true, &Device::Cpu)?)
    } else {
        let given = Parameters::given(autoencoder, decoder::learns, &Device::Cpu)?.or_seeded(Stage::Decoder.seed());
        decoder::discriminator(&run.config.decoder, &given)?;
        (Stage::Decoder, given)
    };
    AutoencoderTiny::new(autoencoder.builder(), &config).with_context(other_sizes)?;
    // What the text encoder is asked in training does not ship: its heads are new.
    let flow = Parameters::given(flow, |_| true, &Device::Cpu)?.or_seeded(Stage::BASE.seed());
    CaptionProbe::new(&flow.builder(), run.config.sizes.text_width)?;
    // The flow first: without an autoencoder nothing goes on from it, were this to end in between.
    training::begin(&run.checkpoint(Stage::BASE), &flow)?;
    training::begin(&run.checkpoint(stage), &autoencoder)
}

/// Whether a decoder with `after` blocks in its levels begins as one with `before` does: it may have more blocks in the last
/// level that both have, and more levels after it.
fn grows(before: &[usize], after: &[usize]) -> bool {
    before.split_last().is_some_and(|(last, levels)| {
        after.starts_with(levels) && after.get(levels.len()).is_some_and(|blocks| blocks >= last)
    })
}

/// Gives convolutions below `prefixes` the channels that fresh ones have: outputs beyond the given ones begin as fresh
/// outputs do, inputs beyond them unheard, so that whatever listens to the old ones goes on undisturbed.
fn widened(given: &Tensors, fresh: &Parameters, prefixes: &[&str]) -> Result<Tensors> {
    let mut all = given.clone();
    for (name, fresh) in fresh.trained() {
        let Some(tensor) = all.get_mut(&name).filter(|_| prefixes.iter().any(|prefix| name.starts_with(prefix))) else {
            continue;
        };
        if tensor.rank() > 1 && fresh.dim(1)? > tensor.dim(1)? {
            let mut unheard = tensor.dims().to_vec();
            unheard[1] = fresh.dim(1)? - tensor.dim(1)?;
            *tensor = Tensor::cat(&[&*tensor, &Tensor::zeros(unheard, tensor.dtype(), tensor.device())?], 1)?;
        }
        let (outputs, before) = (fresh.dim(0)?, tensor.dim(0)?);
        if outputs > before {
            *tensor = Tensor::cat(&[&*tensor, &fresh.narrow(0, before, outputs - before)?], 0)?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::run_config::{Config, Sizes};
    use crate::tests::values;
    use candle_core::DType;
    use candle_nn::VarBuilder;
    use instaflow_engine::Cancel;
    use instaflow_engine::unet::UNet;
    use instaflow_test_support::{Tolerance, assert_close};

    fn built(weights: Tensors) -> VarBuilder<'static> {
        VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, &Device::Cpu)
    }

    #[test]
    fn a_decoder_grows_only_where_it_ends() {
        for (before, after, expected) in [
            (vec![5, 4, 2, 0], vec![5, 4, 2, 0], true),
            (vec![5, 4, 2, 0], vec![5, 4, 2, 1, 0], true),
            (vec![5, 4, 2, 0], vec![5, 4, 2, 0, 0, 1], true),
            (vec![5, 4, 2, 1], vec![5, 4, 2, 0, 1], false),
            (vec![5, 4, 2, 0], vec![5, 5, 2, 0, 0], false),
            (vec![5, 4, 2, 0], vec![5, 4, 2], false),
        ] {
            assert_eq!(grows(&before, &after), expected, "{before:?} to {after:?}");
        }
    }

    const TOLERANCE: Tolerance = Tolerance::of_largest(1e-5);

    /// Of the old channels, wider networks say what the narrow ones say, whatever is in the new ones.
    #[test]
    fn widening_changes_nothing_that_was_there() -> Result<()> {
        let narrow = Sizes { latent_channels: 12, ..Config::toy().sizes.as_seen() };
        let wide = Sizes { latent_channels: 17, autoencoder_width: 13, ..narrow.clone() };
        let fresh = |seed: u64| Parameters::seeded(seed, &Device::Cpu);
        let random = |shape: (usize, usize, usize, usize)| Tensor::randn(0f32, 1.0, shape, &Device::Cpu);

        let [old, new] = [&narrow, &wide].map(|sizes| Architecture::of(sizes).autoencoder());
        let (old, new, from, to) = (old?, new?, fresh(1), fresh(2));
        let before = AutoencoderTiny::new(from.builder(), &old)?;
        AutoencoderTiny::new(to.builder(), &new)?;
        let weights = widened(&values(&from), &to, &["encoder.", "decoder."])?;
        assert_eq!(weights["decoder.layers.0.weight"].dims(), [13, 17, 3, 3]);
        let after = AutoencoderTiny::new(built(weights), &new)?;
        let pictures = random((1, 3, 64, 64))?.tanh()?;
        let (latents, wider) = (before.encode(&pictures)?, after.encode(&pictures)?);
        assert_close(wider.narrow(1, 0, 12)?, &latents, TOLERANCE);
        assert_close(after.decode(&wider)?, before.decode(&latents)?, TOLERANCE);

        let unet = |sizes: &Sizes| Architecture::of(sizes).unet(1);
        let (old, new, from, to) = (unet(&narrow)?, unet(&wide)?, fresh(3), fresh(4));
        let before = UNet::new(from.builder().pp("unet"), &old)?;
        UNet::new(to.builder().pp("unet"), &new)?;
        let weights = widened(&values(&from), &to, &["unet.conv_in.", "unet.conv_out."])?;
        let after = UNet::new(built(weights).pp("unet"), &new)?;
        let (x, context) = (random((1, 17, 8, 8))?, random((1, 5, 1, narrow.text_width))?.squeeze(2)?);
        let times = Tensor::new(&[300f32], &Device::Cpu)?;
        let never = Cancel::default();
        let says = before.forward(&x.narrow(1, 0, 12)?.contiguous()?, &times, &context, &never)?;
        let wider = after.forward(&x, &times, &context, &never)?.narrow(1, 0, 12)?;
        assert_close(wider, says, TOLERANCE);
        Ok(())
    }
}
