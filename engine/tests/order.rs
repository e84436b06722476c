//! A picture depends on its model and settings alone: not on what was drawn before, in which size, in how many steps, or
//! in which lane of the engine.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{
    DeviceChoice, DrawEvent, DrawOutcome, Event, JobId, Lane, OpenEvent, OpenOutcome, OpenRequest, Picture, Precision,
    Request, Settings,
};
use instaflow_engine::worker::Engine;
use instaflow_engine::{Cancel, Result};
use instaflow_kernels::Conv2d;

/// What Pocket is asked for.
const PROMPT: &str = "a lake at sunset";

fn request(precision: Precision) -> OpenRequest {
    OpenRequest { device: DeviceChoice::Cpu, precision: Some(precision), ..OpenRequest::default() }
}

fn open(precision: Precision) -> Models {
    Models::open(&request(precision), &mut |_| {}).expect("Pocket opens")
}

fn settings() -> Vec<Settings> {
    let student = |size| Settings { size: Some(size), ..Settings::student(PROMPT) };
    let teacher = |size, guidance| Settings { size: Some(size), steps: 2, guidance, ..Settings::teacher(PROMPT) };
    vec![
        student((256, 256)),
        student((512, 512)),
        student((128, 128)),
        student((384, 256)),
        teacher((256, 256), 1.0),
        teacher((256, 256), 1.5),
        teacher((512, 512), 1.5),
    ]
}

fn draw(models: &Models, settings: &Settings) -> Result<Picture> {
    Ok(models.draw(settings, None, &mut |_| {}, &Cancel::default())?.picture)
}

/// What freshly opened models draw, each its only picture.
fn fresh(precision: Precision) -> Vec<Picture> {
    settings().iter().map(|settings| draw(&open(precision), settings).expect("it is drawn")).collect()
}

fn assert_same(found: &Picture, expected: &Picture, what: &str) {
    assert_eq!((found.width, found.height), (expected.width, expected.height), "{what}");
    let differ = found.rgb.iter().zip(expected.rgb.iter()).filter(|(a, b)| a != b).count();
    assert_eq!(differ, 0, "{what}: {differ} of {} bytes differ", expected.rgb.len());
}

/// Without this, the tests below would show nothing.
#[test]
fn convolutions_take_different_methods_at_these_sizes() {
    let config = include_str!("../../assets/pocket/student/unet/config.json");
    let config: serde_json::Value = serde_json::from_str(config).expect("JSON");
    let width = config["block_out_channels"][0].as_u64().expect("a number of channels") as usize;
    let trained = config["sample_size"].as_u64().expect("a side") as usize;
    let weight = Tensor::zeros((width, width, 3, 3), DType::F32, &Device::Cpu).expect("a tensor");
    let layer = Conv2d::new(weight, None).expect("a layer");
    for dtype in [DType::F32, DType::BF16] {
        let method = |side: usize| {
            let x = Tensor::zeros((1, side, side, width), dtype, &Device::Cpu).expect("a tensor");
            layer.method(&x).expect("a method")
        };
        // Pocket was trained at 256 pixels.
        let (small, large) = (method(trained), method(2 * trained));
        assert_ne!(small, large, "{dtype:?}: 256 and 512 pixels");
    }
}

#[test]
fn a_picture_does_not_depend_on_those_before_it() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (all, fresh) = (settings(), fresh(precision));
        let models = open(precision);
        // Each directly after every other: as many as a prime number, walked through in steps of every length.
        assert_eq!(all.len(), 7);
        let mut at = 0;
        for step in 1..all.len() {
            for _ in 0..all.len() {
                at = (at + step) % all.len();
                let found = draw(&models, &all[at]).expect("it is drawn");
                assert_same(&found, &fresh[at], &format!("{precision:?}: {:?} after another", all[at]));
            }
        }
    }
}

#[test]
fn a_picture_does_not_depend_on_its_lane() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (all, fresh) = (settings(), fresh(precision));
        let engine = Engine::spawn(|| {});
        engine.send(Request::Open(JobId(0), request(precision)));
        wait_until_open(&engine);
        let mut id = 0;
        let lanes = Lane::ALL;
        for turn in 0..all.len() {
            // All at once, each lane another picture: they are drawn in the order of the lanes, and give way to each other.
            let mut asked = Vec::new();
            for (place, lane) in lanes.into_iter().enumerate().rev() {
                id += 1;
                let at = (turn + place) % all.len();
                let settings = all[at].clone();
                engine.send(Request::Draw { id: JobId(id), lane, settings, asked: Instant::now() });
                asked.push((JobId(id), lane, at));
            }
            let mut left = asked.clone();
            while !left.is_empty() {
                let (id, outcome) = next_end(&engine);
                let place = left.iter().position(|(other, ..)| *other == id).expect("one that was asked for");
                let (_, lane, at) = left.swap_remove(place);
                let DrawOutcome::Drawn { picture, .. } = outcome else { panic!("{lane:?}: {outcome:?}") };
                assert_same(&picture, &fresh[at], &format!("{precision:?}, {lane:?}: {:?}", all[at]));
            }
        }
    }
}

fn wait_until_open(engine: &Engine) {
    loop {
        if let Event::Open(_, OpenEvent::End(outcome)) = next(engine) {
            assert!(matches!(outcome, OpenOutcome::Opened(_)), "{outcome:?}");
            return;
        }
    }
}

fn next_end(engine: &Engine) -> (JobId, DrawOutcome) {
    loop {
        if let Event::Draw(id, _, DrawEvent::End(outcome)) = next(engine) {
            return (id, outcome);
        }
    }
}

fn next(engine: &Engine) -> Event {
    engine.events().recv_timeout(Duration::from_mins(1)).expect("an event")
}
