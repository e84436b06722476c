//! A run that was stopped gives the numbers of one that was not: every stage, every loss, every kind of student. Change
//! here only together with what a run consists of.

use anyhow::{Context, Result};

use super::{LOSSES, make_pairs, run_of, toy_run};
use crate::file_io::TensorFile;
use crate::run_config::{Config, Distill, FromScenes, Loss, Reflow};
use crate::stage::{STACKS, Stage, Student};
use crate::stages::{autoencoder, base, classifier, decoder, distill, reflow};
use crate::timestep_sampling::TimestepSampling;
use crate::training::Schedule;
use crate::training_run::Run;

/// Everything that is saved of a stage: values, moments, averages.
fn saved(run: &Run, stage: Stage) -> Result<Vec<(String, Vec<f32>)>> {
    let file = TensorFile::open(&run.checkpoint(stage))?.with_context(|| format!("no {}", stage.name()))?;
    assert_eq!(file.metadata()["steps"], "4", "{}", stage.name());
    let tensors = file.below("")?;
    tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?))).collect()
}

/// Trains everything up to the base flow, each stage started so often.
fn train_base(run: &Run, starts: usize) -> Result<()> {
    type Train = fn(&Run, &Schedule, usize) -> Result<()>;
    let config = &run.config;
    let of_scenes = |train: Train, settings: &FromScenes| {
        (0..starts).try_for_each(|_| train(run, &settings.schedule, settings.pool))
    };
    of_scenes(autoencoder::train, &config.autoencoder)?;
    (0..starts).try_for_each(|_| decoder::train(run, &config.decoder))?;
    of_scenes(classifier::train, &config.classifier)?;
    (0..starts).try_for_each(|_| base::train(run, &config.base))?;
    make_pairs(run, Stage::BASE)
}

#[test]
fn every_stage_goes_on_as_if_it_had_not_stopped() -> Result<()> {
    let (whole, broken) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let unbroken = toy_run(whole.path())?;
    toy_run(broken.path())?;
    let stopped = run_of(broken.path(), Config::toy(), Some(3))?;
    train_base(&unbroken, 1)?;
    train_base(&stopped, 2)?;
    for stage in [Stage::Autoencoder, Stage::Decoder, Stage::Classifier, Stage::BASE] {
        assert!(saved(&unbroken, stage)? == saved(&stopped, stage)?, "{}", stage.name());
    }

    let mut seen = Vec::new();
    for (loss, timestep_sampling) in
        LOSSES.into_iter().zip([TimestepSampling::Uniform, TimestepSampling::UShaped, TimestepSampling::UShaped])
    {
        let settings = Reflow { loss, timestep_sampling, ..unbroken.config.reflow.clone() };
        for run in [&unbroken, &stopped] {
            let folder = run.path(&Stage::Flow(1).name());
            if folder.exists() {
                std::fs::remove_dir_all(folder)?;
            }
        }
        reflow::train(&unbroken, &settings, 0, usize::MAX)?;
        for _ in 0..2 {
            reflow::train(&stopped, &settings, 0, usize::MAX)?;
        }
        let state = saved(&unbroken, Stage::Flow(1))?;
        assert!(state == saved(&stopped, Stage::Flow(1))?, "reflow, {loss:?}");
        assert!(!seen.contains(&state), "the loss {loss:?} makes no difference");
        seen.push(state);
    }

    for (loss, second_loss, stacks) in
        [(Loss::Squared, Loss::Perceptual, STACKS), (Loss::Squared, Loss::PseudoHuber, 1)]
    {
        let settings = Distill { loss, second_loss, ..unbroken.config.distill.clone() };
        let student = Student { from: 0, stacks };
        distill::train(&unbroken, &settings, student, usize::MAX)?;
        for _ in 0..2 {
            distill::train(&stopped, &settings, student, usize::MAX)?;
        }
        let stage = Stage::Student(student);
        assert!(saved(&unbroken, stage)? == saved(&stopped, stage)?, "{}", stage.name());
    }
    Ok(())
}
