//! Begins a run with the networks of a pair that an earlier run exported: training adds up where only what ships was
//! kept. Change here what is taken over.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use instaflow_engine::vae::AutoencoderTiny;

use crate::flow::Flow;
use crate::model::Model;
use crate::parameters::{Parameters, Tensors};
use crate::run::Run;
use crate::stage::Stage;
use crate::stages::decoder;
use crate::told::Told;
use crate::training;

/// Takes the autoencoder of `folder/teacher` and its flow as the start of the base flow; both begin their schedules anew,
/// with an optimizer that remembers nothing. The latents stay as they are, unless this run's `latent_channels` or
/// `autoencoder_width` are larger: then the autoencoder has to learn what to do with the new ones, and its own stage is
/// the next one.
pub fn take(run: &Run, folder: &Path) -> Result<()> {
    run.check_scenes("adopting a pair")?;
    for stage in [Stage::Autoencoder, Stage::Decoder, Stage::BASE] {
        let path = run.checkpoint(stage);
        ensure!(!path.exists(), "{} is there already: choose another --run", path.display());
    }
    let teacher = folder.join("teacher");
    let model = Model::open(&teacher)?;
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
    let given = model.autoencoder()?;
    let autoencoder = widened(&given, &fresh, &["encoder.", "decoder."])?;
    let grown = given.iter().any(|(name, tensor)| tensor.shape() != autoencoder[name].shape());
    let fresh = Parameters::seeded(Stage::BASE.seed(), &Device::Cpu);
    Flow::new(run, &fresh.builder(), 1)?;
    let flow = widened(&model.flow()?, &fresh, &["unet.conv_in.", "unet.conv_out."])?;
    let other_sizes = || format!("{} has other sizes than this run's config.toml", teacher.display());
    AutoencoderTiny::new(run.frozen(&autoencoder, ""), &config).with_context(other_sizes)?;
    Flow::frozen(run, &flow, 1).with_context(other_sizes)?;
    let (stage, autoencoder) = if grown {
        (Stage::Autoencoder, Parameters::given(autoencoder, |_| true, &Device::Cpu)?)
    } else {
        (Stage::Decoder, Parameters::given(autoencoder, decoder::learns, &Device::Cpu)?)
    };
    // What the text encoder is asked in training does not ship: its heads are new.
    let flow = Parameters::given(flow, |_| true, &Device::Cpu)?.or_seeded(Stage::BASE.seed());
    Told::new(&flow.builder(), run.config.sizes.text_width)?;
    training::begin(&run.checkpoint(stage), &autoencoder)?;
    training::begin(&run.checkpoint(Stage::BASE), &flow)
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
