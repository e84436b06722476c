//! Begins a run with the networks of a pair that an earlier run exported: training adds up where only what ships was
//! kept. Change here what is taken over.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use instaflow_engine::vae::AutoencoderTiny;

use crate::flow::Flow;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::run::Run;
use crate::stage::Stage;
use crate::stages::decoder;
use crate::told::Told;
use crate::training;

/// Takes the autoencoder of `folder/teacher`, whose latents stay as they are, and its flow as the start of the base
/// flow. Both begin their schedules anew, with an optimizer that remembers nothing.
pub fn take(run: &Run, folder: &Path) -> Result<()> {
    run.check_scenes("adopting a pair")?;
    let stages = [Stage::Decoder, Stage::BASE];
    for stage in stages {
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
    let (autoencoder, flow) = (model.autoencoder()?, model.flow()?);
    let other_sizes = || format!("{} has other sizes than this run's config.toml", teacher.display());
    let config = run.architecture().autoencoder()?;
    AutoencoderTiny::new(run.frozen(&autoencoder, ""), &config).with_context(other_sizes)?;
    Flow::frozen(run, &flow, 1).with_context(other_sizes)?;
    let autoencoder = Parameters::given(autoencoder, decoder::learns, &Device::Cpu)?;
    // What the text encoder is asked in training does not ship: its heads are new.
    let flow = Parameters::given(flow, |_| true, &Device::Cpu)?.or_seeded(Stage::BASE.seed());
    Told::new(&flow.builder(), run.config.sizes.text_width)?;
    for (stage, start) in stages.into_iter().zip([autoencoder, flow]) {
        training::begin(&run.checkpoint(stage), &start)?;
    }
    Ok(())
}
