//! Whole runs in small, from nothing to a pair that the engine opens. Change here together with the order of the stages.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::{DType, Device};
use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{OpenRequest, Settings, Source};
use instaflow_test_support::{
    Tolerance, assert_close_case, assert_error, assert_not_close, copy_folder, distance, fixture,
};

use super::{make_pairs, run_of, toy_run, train_base};
use crate::eval_target::EvalTarget;
use crate::file_io;
use crate::flow_model::{FlowModel, noise};
use crate::pair_data;
use crate::parameters::Tensors;
use crate::pictures;
use crate::run_config::{Config, Decoder, Loss, Reflow};
use crate::shards::{self, Shard};
use crate::stage::{STACKS, Stage, Student};
use crate::stages::evaluate::{self, EvalSize};
use crate::stages::pairs::{self, Amount, Solver};
use crate::stages::{adopt, base, contact_sheet, decoder, distill, export, plot, reflow};
use crate::training::Schedule;
use crate::training_run::Run;

const STACKED: Student = Student { from: 1, stacks: STACKS };
const SINGLE: Student = Student { from: 0, stacks: 1 };

/// All stages, a few steps each, and the engine draws with what came out.
#[test]
fn a_run_ends_in_a_pair_that_the_engine_opens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    let config = &run.config;
    let early = base::train(&run, &config.base).unwrap_err().to_string();
    assert!(early.contains("instaflow-trainer decoder"), "{early}");
    train_base(&run)?;
    let early = distill::train(&run, &config.distill, STACKED, 9).unwrap_err().to_string();
    assert!(early.contains("pairs-reflow-1"), "{early}");
    reflow::train(&run, &config.reflow, 0, 100)?;
    make_pairs(&run, Stage::Flow(1))?;
    distill::train(&run, &config.distill, STACKED, 100)?;
    distill::train(&run, &config.distill, SINGLE, 100)?;

    contact_sheet::write_targets(&run, &run.path("sheet.png"), 1)?;
    let drawn = image::open(run.path("sheet.png"))?;
    // The scene; both flows in 25 steps and one; two students.
    assert_eq!((drawn.width(), drawn.height()), (7 * 128 + 6 * 2, 128));
    for made in ["autoencoder/roundtrip.png", "base/sheets/0000004.png", "distill-base-single/sheets/0000004.png"] {
        assert!(run.path(made).exists(), "{made}");
    }
    for log in ["reflow-1/log.jsonl", "distill-reflow-1-stacked/log.jsonl", "distill-base-single/log.jsonl"] {
        assert!(file_io::read_text(&run.path(log))?.contains("{\"step\":4,\"held_out\":"), "{log}");
    }
    plot::write(&run, None)?;
    assert!(run.path("plots/reflow-1.png").exists() && run.path("plots/autoencoder.png").exists());
    assert_error(plot::write(&run, Some("nothing")), "no stage named nothing");

    let pair = folder.path().join("pair");
    export::write(&run, &pair, STACKED)?;
    check_pair(&run, &pair, STACKED)?;

    // Another run goes on where this pair ends.
    let next = toy_run(&folder.path().join("next"))?;
    adopt::adopt(&next, &pair)?;
    for (stage, before) in [(Stage::BASE, Stage::Flow(1)), (Stage::Decoder, Stage::Decoder)] {
        let (after, before) = (next.trained(stage)?, half(&run.trained(before)?)?);
        assert!(after.len() == before.len() && after.keys().eq(before.keys()));
        for (name, tensor) in &after {
            assert_close_case(name, tensor, &before[name], Tolerance::EXACT);
        }
    }
    base::train(&next, &config.base)?;
    assert!(adopt::adopt(&next, &pair).unwrap_err().to_string().contains("choose another --run"));

    // A decoder that enlarges has no place in the stage that would have to learn the new channels.
    let mut config = Config::toy();
    config.sizes.latent_channels += 2;
    let larger = run_of(&folder.path().join("larger"), config, None)?;
    copy_folder(&run.tokenizer_folder(), &larger.tokenizer_folder());
    assert!(adopt::adopt(&larger, &pair).unwrap_err().to_string().contains("decoder_blocks"));

    // One that paints still larger pictures learns its last levels anew, and keeps the others.
    let mut config = Config::toy();
    config.sizes.decoder_blocks.push(0);
    let finer = run_of(&folder.path().join("finer"), config, None)?;
    copy_folder(&run.tokenizer_folder(), &finer.tokenizer_folder());
    adopt::adopt(&finer, &pair)?;
    let (before, after) = (run.trained(Stage::Decoder)?, finer.trained(Stage::Decoder)?);
    assert!(after.len() > before.len() && after.keys().all(|name| !name.starts_with("discriminator")));
    let kept = "decoder.layers.6.conv.0.weight";
    assert_close_case(kept, &after[kept], &half(&before)?[kept], Tolerance::EXACT);
    decoder::train(&finer, &finer.config.decoder)?;
    assert_not_close(&finer.trained(Stage::Decoder)?[kept], &after[kept], Tolerance::EXACT);

    check_decoder_of_student_latents(&run, &folder, &pair)?;

    // Pairs of a flow that has learned on are another flow's.
    let mut longer = run.config.reflow.clone();
    longer.schedule.steps += 2;
    reflow::train(&run, &longer, 0, 100)?;
    let stale = |result: Result<()>| result.unwrap_err().to_string().contains("pairs --from reflow-1");
    assert!(stale(distill::train(&run, &run.config.distill, STACKED, 100)));
    assert!(stale(export::write(&run, &folder.path().join("stale"), STACKED)));
    Ok(())
}

/// A decoder that learns on a student's latents, too: it learns something else, and the same if it was stopped.
fn check_decoder_of_student_latents(run: &Run, folder: &tempfile::TempDir, pair: &Path) -> Result<()> {
    let decoder_of = |name: &str, student: &str, steps: Option<u64>| -> Result<Tensors> {
        let run_of = run_of(&folder.path().join(name), Config::toy(), steps)?;
        copy_folder(&run.tokenizer_folder(), &run_of.tokenizer_folder());
        adopt::adopt(&run_of, pair)?;
        let settings = Decoder { student: student.to_owned(), student_latents: 3, ..run.config.decoder.clone() };
        (0..2).try_for_each(|_| decoder::train(&run_of, &settings))?;
        let latents = run_of.path("decoder/student.safetensors");
        assert_eq!(latents.exists(), !student.is_empty());
        run_of.trained(Stage::Decoder)
    };
    let student = pair.display().to_string();
    let (without, whole) = (decoder_of("without", "", None)?, decoder_of("whole", &student, None)?);
    let stopped = decoder_of("stopped", &student, Some(3))?;
    let mut moved = 0;
    for (name, tensor) in &whole {
        assert_close_case(name, &stopped[name], tensor, Tolerance::EXACT);
        moved += usize::from(distance(tensor, &without[name])?.difference > 0.0);
        if name.starts_with("encoder.") {
            assert_close_case(name, tensor, &without[name], Tolerance::EXACT);
        }
    }
    assert!(moved > 10, "{moved} tensors");
    let missing = decoder_of("missing", "no/such/pair", None).unwrap_err();
    assert!(format!("{missing:#}").contains("no/such/pair"), "{missing:#}");
    Ok(())
}

/// What the engine draws is what the trainer's own networks draw with the weights rounded to f16.
fn check_pair(run: &Run, pair: &Path, student: Student) -> Result<()> {
    let source = Source::Folder(pair.to_owned());
    let models = Models::open(&OpenRequest { model: source, ..OpenRequest::default() }, &mut |_| ())?;
    let prompt = "a snowy mountain near a lake at sunset";
    let distilled = half(&run.trained(Stage::Student(student))?)?;
    let teacher = half(&run.trained(Stage::Flow(student.from))?)?;
    for (settings, weights, stacks) in [
        (Settings { seed: 7, ..Settings::student(prompt) }, distilled, student.stacks),
        (Settings { seed: 7, steps: 3, ..Settings::teacher(prompt) }, teacher, 1),
    ] {
        let drawn = models.draw(&settings, None, &mut |_| (), &Cancel::default())?.picture;
        assert_eq!((drawn.width, drawn.height), (run.architecture().picture, run.architecture().picture));
        let tokenizer = run.tokenizer()?;
        let flow = FlowModel::frozen(run, &weights, stacks)?;
        let (prompts, empty) = ([tokenizer.encode(prompt)], tokenizer.encode(""));
        let (steps, guidance) = (settings.steps as usize, f64::from(settings.guidance));
        let path = flow.sample(&noise(run, &[7])?, &prompts, &empty, steps, guidance)?;
        let ours = pictures::from_tensor(&run.decoder()?.decode(&path.latents, &Cancel::default())?)?;
        let decibels = pictures::psnr(&ours, &[drawn.rgb.to_vec()]);
        assert!(decibels > 45.0, "{:?}: {decibels} dB", settings.role);
    }
    Ok(())
}

/// Where a prompt leaves a side open, its pair is drawn for the side that the noise speaks for.
#[test]
fn pairs_are_drawn_for_the_side_that_their_noise_speaks_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = toy_run(folder.path())?;
    train_base(&run)?;
    let (rows, _) = pair_data::read(&run, Stage::BASE, 16)?;
    let (tokenizer, prompts) = (run.tokenizer()?, run.prompts()?);
    let flow = FlowModel::frozen(&run, &run.trained(Stage::BASE)?, 1)?;
    let mut open = 0;
    for place in 0..rows.count() {
        let row = rows.number(place);
        let noise = noise(&run, &[pair_data::seed(Stage::BASE, row)])?;
        let prompt = prompts.of(Stage::BASE.seed(), row);
        let asked = prompt.teacher_prompt(&noise.get(0)?.get(0)?.flatten_all()?.to_vec1()?, noise.dim(3)?).to_owned();
        open += usize::from(asked != prompt.text);
        let far = |text: &str| -> Result<f64> {
            let path = flow.sample(&noise, &[tokenizer.encode(text)], &tokenizer.encode(""), 1, 1.5)?;
            Ok(distance(path.latents, rows.latents(&[place], &Device::Cpu)?)?.difference)
        };
        let (asked_for, shorter) = (far(&asked)?, far(&prompt.text)?);
        // Kept in f16.
        assert!(asked_for < 0.01, "{asked}: {asked_for}");
        assert!(asked == prompt.text || shorter > 2.0 * asked_for, "{asked}: {asked_for} and {shorter}");
    }
    assert!(open > 0, "{open}");
    Ok(())
}

/// Weights as they are after a file in f16.
fn half(weights: &Tensors) -> Result<Tensors> {
    let round = |tensor: &candle_core::Tensor| tensor.to_dtype(DType::F16)?.to_dtype(DType::F32);
    weights.iter().map(|(name, tensor)| Ok((name.clone(), round(tensor)?))).collect()
}

/// The table over what is there, and the same numbers when it is asked for again.
#[test]
fn an_evaluation_measures_everything_and_can_be_repeated() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut config = Config::toy();
    config.contact_sheet_minutes = 0.0;
    config.classifier.pool = 64;
    config.classifier.schedule = Schedule {
        steps: 120,
        batch: 16,
        micro_batch: 8,
        warm_up: 4,
        rate: 4e-3,
        average: 0.9,
        ..config.classifier.schedule
    };
    toy_run(&folder.path().join("words"))?;
    let run = run_of(folder.path(), config, None)?;
    copy_folder(&folder.path().join("words/run/tokenizer"), &run.tokenizer_folder());
    let extent = EvalSize { count: 24, sweep: 0, varied: 2 };
    assert!(evaluate::write(&run, extent).is_err_and(|error| error.to_string().contains("classifier")));
    train_base(&run)?;
    distill::train(&run, &run.config.distill, SINGLE, 100)?;
    assert!(!run.path("base/sheets").exists(), "sheets were switched off");
    evaluate::write(&run, extent)?;
    let read =
        || -> Result<serde_json::Value> { Ok(serde_json::from_slice(&std::fs::read(run.path("evaluation.json"))?)?) };
    let first = read()?;
    let rows = first["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 5, "renders, round trips, base in 25 steps and 1, a student");
    let number = |row: usize, key: &str| rows[row][key].as_f64();
    let frechet = |row| number(row, "frechet").expect("a distance");
    assert!(frechet(0) < frechet(2), "renders are nearer to renders than an untrained flow's pictures");
    assert!(number(0, "accuracy") > number(2, "accuracy"));
    assert!(number(2, "straightness") > Some(0.0) && number(3, "straightness").is_none());
    assert!((2..5).all(|row| number(row, "transport") > Some(0.0) && number(row, "seconds") > Some(0.0)));
    assert!([0, 2, 3, 4].into_iter().all(|row| number(row, "diversity") > Some(0.0)));
    assert!((2..5).all(|row| number(row, "likeness").is_some() == (row > 2)), "compared with the 25 steps");
    assert!(first["round_trip"][0][1].as_f64() > Some(0.0));

    evaluate::write(&run, extent)?;
    let again = read()?;
    for (a, b) in rows.iter().zip(again["rows"].as_array().expect("rows")) {
        for key in ["name", "frechet", "heads", "diversity", "likeness", "straightness", "transport"] {
            assert_eq!(a[key], b[key], "{key} of {}", a["name"]);
        }
    }
    Ok(())
}

/// A Stable Diffusion-shaped flow takes the base's place: reflow, distillation, and a pair that the engine opens.
#[test]
fn a_model_folder_is_reflowed_and_distilled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let prompts = folder.path().join("prompts.txt");
    std::fs::write(&prompts, "a red fox in the snow\na bowl of fruit\n")?;
    let mut config = Config::toy();
    config.model = fixture("model").to_str().expect("a path in Unicode").to_owned();
    config.prompts = prompts.to_str().expect("a path in Unicode").to_owned();
    let run = run_of(folder.path(), config, None)?;

    // Its networks are those of the folder: what the engine draws with it, the trainer does, too.
    let models = OpenRequest { model: Source::Folder(fixture("model")), ..OpenRequest::default() };
    let models = Models::open(&models, &mut |_| ())?;
    let settings = Settings { seed: 3, steps: 2, guidance: 1.5, ..Settings::student("a bowl of fruit") };
    let drawn = models.draw(&settings, None, &mut |_| (), &Cancel::default())?.picture;
    let weights = run.trained(Stage::BASE)?;
    let target = EvalTarget { stage: Stage::BASE, steps: 2, guidance: f64::from(settings.guidance) };
    let ours = crate::eval_target::pictures(&run, &target, &weights, &["a bowl of fruit".into()], &[3], 1)?;
    let decibels = pictures::psnr(&ours, &[drawn.rgb.to_vec()]);
    assert!(decibels > 45.0, "{decibels} dB");

    make_pairs(&run, Stage::BASE)?;
    reflow::train(&run, &run.config.reflow, 0, 100)?;
    let after = run.trained(Stage::Flow(1))?;
    let changed = |prefix: &str| {
        let below = weights.iter().filter(|(name, _)| name.starts_with(prefix));
        below
            .filter(|(name, tensor)| {
                let change = distance(&after[*name], *tensor).unwrap_or_else(|mismatch| panic!("{name}: {mismatch}"));
                change.difference > 0.0
            })
            .count()
    };
    assert!(changed("unet.") > 100 && changed("text_encoder.") == 0);
    let refused = reflow::train(&run, &Reflow { loss: Loss::Perceptual, ..run.config.reflow.clone() }, 0, 9);
    assert!(refused.unwrap_err().to_string().contains("--lpips"));
    let refused = evaluate::write(&run, EvalSize { count: 2, sweep: 0, varied: 0 }).unwrap_err().to_string();
    assert!(refused.contains("choose another --run"), "{refused}");

    make_pairs(&run, Stage::Flow(1))?;
    let settings = crate::run_config::Distill { second_loss: Loss::PseudoHuber, ..run.config.distill.clone() };
    distill::train(&run, &settings, STACKED, 100)?;
    let pair = folder.path().join("pair");
    export::write(&run, &pair, STACKED)?;
    check_pair(&run, &pair, STACKED)
}

/// A mistake in the first command leaves no run behind that the right one would then be refused by.
#[test]
fn a_run_does_not_begin_with_a_model_that_is_not_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let with = |model: PathBuf| {
        let model = model.to_str().expect("a path in Unicode").to_owned();
        run_of(folder.path(), Config { model, ..Config::toy() }, None)
    };
    assert_error(with(folder.path().join("nowhere")), "nowhere");
    assert!(with(fixture("model")).is_ok());
    assert_error(run_of(folder.path(), Config::toy(), None), "started with another configuration");
    Ok(())
}

/// Pairs that were made in two shares are those of one run.
#[test]
fn pairs_in_shares_are_those_of_one_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut config = Config::toy();
    config.model = fixture("model").to_str().expect("a path in Unicode").to_owned();
    let run = run_of(folder.path(), config, None)?;
    let solver = Solver { steps: 1, guidance: 1.0 };
    let make = |shard: Shard, batch: usize| {
        pairs::make(&run, Stage::BASE, Amount { count: 2 * shards::ROWS, shard, batch }, solver)
    };
    let pairs = run.path("pairs-base");
    make(Shard::WHOLE, 32)?;
    let whole = run.path("whole");
    std::fs::rename(&pairs, &whole)?;
    for share in ["2/2", "1/2"] {
        make(share.parse().map_err(anyhow::Error::msg)?, 32)?;
    }
    for name in ["00000.safetensors", "00001.safetensors"] {
        assert!(std::fs::read(pairs.join(name))? == std::fs::read(whole.join(name))?, "{name}");
    }
    let (rows, _) = pair_data::read(&run, Stage::BASE, usize::MAX)?;
    assert_eq!(rows.count(), 2 * shards::ROWS);
    // What evaluation holds the students of these pairs against.
    assert_eq!(pair_data::guidance(&run, Stage::BASE)?, Some(solver.guidance));
    // The files hold different pairs.
    let latents = |row: usize| rows.latents(&[row], &Device::Cpu);
    assert_not_close(latents(0)?, latents(shards::ROWS)?, Tolerance::absolute(0.1));
    Ok(())
}
