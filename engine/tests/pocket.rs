//! The pair inside the binary: that it is there, is what it says it is, and draws what it is asked for.
#![cfg(feature = "embed-pocket")]

use instaflow_engine::Cancel;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{OpenRequest, Picture, Settings};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn open() -> Result<Models> {
    Ok(Models::open(&OpenRequest::default(), &mut |_| {})?)
}

fn draw(models: &Models, settings: Settings) -> Result<Picture> {
    Ok(models.draw(&settings, None, &mut |_| {}, &Cancel::default())?.picture)
}

/// Mean of one colour (0 red, 1 green, 2 blue) over the rows `from .. to` of the height, both in 0 … 1.
fn mean(picture: &Picture, colour: usize, from: f64, to: f64) -> f64 {
    let rows = |part: f64| (part * f64::from(picture.height)) as usize * picture.width as usize * 3;
    let values: Vec<u8> = picture.rgb[rows(from)..rows(to)].iter().skip(colour).step_by(3).copied().collect();
    values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64
}

/// Root of the mean square of the differences, in grey levels.
fn distance(a: &Picture, b: &Picture) -> f64 {
    let squares: f64 = a.rgb.iter().zip(b.rgb.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (squares / a.rgb.len() as f64).sqrt()
}

/// Its former decoder draws the same latents in half the size.
#[test]
fn the_decoder_of_128_pixels_draws_the_same_picture() -> Result {
    let former = concat!(env!("CARGO_MANIFEST_DIR"), "/trainer/decoder-128");
    let small = Models::open(&OpenRequest { vae: Some(former.into()), ..OpenRequest::default() }, &mut |_| {})?;
    let settings = Settings::student("a red sailboat on the sea at sunset");
    let (small, large) = (draw(&small, settings.clone())?, draw(&open()?, settings)?);
    assert_eq!(((small.width, small.height), (large.width, large.height)), ((128, 128), (256, 256)));
    let at = |x: usize, y: usize, colour: usize| u16::from(large.rgb[(y * 256 + x) * 3 + colour]);
    let mean = |index: usize| {
        let (x, y, colour) = (2 * (index / 3 % 128), 2 * (index / 3 / 128), index % 3);
        let sum = at(x, y, colour) + at(x + 1, y, colour) + at(x, y + 1, colour) + at(x + 1, y + 1, colour);
        (sum / 4) as u8
    };
    let halved = Picture::new(128, 128, (0..128 * 128 * 3).map(mean).collect(), small.settings.clone());
    let apart = distance(&halved, &small);
    assert!(apart < 12.0, "{apart:.1} grey levels");
    println!("{apart:.1} grey levels");
    Ok(())
}

const SEEDS: std::ops::Range<u64> = 0..4;

#[test]
fn it_is_a_stacked_student_and_its_teacher() -> Result {
    let summary = open()?.summary();
    let (student, teacher) = (summary.student.expect("a student"), summary.teacher.expect("a teacher"));
    assert_eq!((student.name.as_str(), student.num_stacks, teacher.num_stacks), ("Pocket", 2, 1));
    assert_eq!((student.size, teacher.size), ((256, 256), (256, 256)));
    Ok(())
}

#[test]
fn the_time_of_day_and_the_land_steer_the_picture() -> Result {
    let models = open()?;
    for seed in SEEDS {
        let of = |prompt: &str| draw(&models, Settings { seed, ..Settings::student(prompt) });
        let (noon, night) = (of("green hills at noon")?, of("green hills at night")?);
        for colour in 0..3 {
            let (day, dark) = (mean(&noon, colour, 0.0, 1.0), mean(&night, colour, 0.0, 1.0));
            assert!(day > dark + 25.0, "seed {seed}: noon {day:.0}, night {dark:.0} in colour {colour}");
        }
        let sunset = of("green hills at sunset")?;
        let warmth = |picture: &Picture| mean(picture, 0, 0.0, 0.4) - mean(picture, 2, 0.0, 0.4);
        assert!(warmth(&sunset) > warmth(&noon) + 50.0, "seed {seed}: the sky at sunset is not red");
        let (dunes, sea) = (of("sand dunes at noon")?, of("the sea at noon")?);
        // Below the horizon, and above the beach that a sea may have in front.
        let ground = |picture: &Picture| mean(picture, 0, 0.62, 0.74) - mean(picture, 2, 0.62, 0.74);
        assert!(ground(&dunes) > ground(&sea) + 50.0, "seed {seed}: dunes and sea have the same ground");
    }
    Ok(())
}

/// Of prompts that leave a side or the sky open: there alone can a seed make another picture. One seed of all may lie so
/// near the border between two skies that the one step takes another one than the twenty-five.
#[test]
fn seeds_vary_the_picture_and_the_teacher_agrees_with_the_student() -> Result {
    let models = open()?;
    let mut strays = Vec::new();
    for prompt in ["a snowy mountain near a lake at sunset", "a red sailboat on the sea at sunset"] {
        let pairs: Vec<(Picture, Picture)> = SEEDS
            .map(|seed| {
                let student = draw(&models, Settings { seed, ..Settings::student(prompt) })?;
                Ok((student, draw(&models, Settings { seed, ..Settings::teacher(prompt) })?))
            })
            .collect::<Result<_>>()?;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (index, (student, teacher)) in pairs.iter().enumerate() {
            own.push(distance(student, teacher));
            for (other, (another, stranger)) in pairs.iter().enumerate().filter(|(other, _)| *other != index) {
                others.push(distance(student, stranger));
                if own[index] >= 0.7 * distance(student, stranger) {
                    strays.push((prompt, index));
                }
                assert!(distance(student, another) > 5.0, "{prompt}: seeds {index} and {other} give the same picture");
            }
        }
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let (own, others) = (mean(&own), mean(&others));
        assert!(own < 0.5 * others, "{prompt}: {own:.1} from its teacher, {others:.1} from those of other seeds");
    }
    strays.dedup();
    assert!(strays.len() <= 1, "as near to other seeds' teachers: {strays:?}");
    Ok(())
}
