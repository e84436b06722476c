//! What is said of a scene.
//!
//! A caption names terrain and nearly always the time of day; the rest may be missing. It is a sentence ("a cabin near
//! a snowy mountain at sunset under clouds"), begins with the time ("sunset over a lake") or is a list ("lake, snow,
//! sunset"). Everything is lower case, as CLIP's tokenizer makes it; punctuation is `,` and `.` only. The words lie in `lexicon`.

use super::lexicon::{
    AMONG, BEAUTY, CLEAR, FRONT, LAKE_MOUNTAIN, MOUNTAIN_LAKE, OPENINGS, OVER, SUNNY, front_nouns, plural,
    season_adjectives, season_nouns, season_phrases, singular, sky_nouns, sky_phrases, time_nouns, time_phrases,
};
use super::random::Random;
use super::{Attributes, Season, SkyObject, Terrain, Time};

/// One caption.
pub(super) fn write(attributes: &Attributes, random: &mut Random) -> String {
    let form = random.weighted(&[(Form::Sentence, 0.70), (Form::TimeFirst, 0.14), (Form::List, 0.16)]);
    let mut text = match form {
        Form::Sentence => sentence(attributes, random),
        Form::TimeFirst => time_first(attributes, random),
        Form::List => list(attributes, random),
    };
    if random.chance(0.15) {
        text.push('.');
    }
    text
}

/// How a caption is built.
#[derive(Clone, Copy)]
enum Form {
    Sentence,
    TimeFirst,
    List,
}

/// "[a photo of] a cabin near a snowy mountain [at sunset] [with clouds]", the phrases in any order.
fn sentence(attributes: &Attributes, random: &mut Random) -> String {
    let mut parts = Vec::new();
    if random.chance(0.35) {
        parts.push(random.pick(OPENINGS).to_owned());
    }
    // Short captions leave out most, long ones little.
    let keep = random.pick(&[0.25, 0.9, 0.97]);
    let mut phrases = sky(attributes, random, keep);
    if random.chance(0.92) {
        phrases.push(random.pick(time_phrases(attributes.time)));
    }
    let adjective = named_season(attributes) && random.chance(0.8);
    if named_season(attributes) && !adjective && random.chance(0.4) {
        phrases.push(random.pick(season_phrases(attributes.season)));
    }
    let terrain = terrain(attributes, random, adjective);
    let nouns = front_nouns(attributes.foreground);
    if nouns.is_empty() || !random.chance(keep.max(0.5)) {
        parts.push(terrain);
    } else {
        let object = random.pick(nouns);
        match random.weighted(&[(0, 0.4), (1, 0.4), (2, 0.2)]) {
            0 => parts.push(format!("{object} {} {terrain}", random.pick(FRONT))),
            1 => parts.push(format!("{terrain} {} {object}", random.pick(AMONG))),
            _ => {
                parts.push(terrain);
                random.shuffle(&mut phrases);
                parts.extend(phrases.drain(..).map(str::to_owned));
                parts.push(format!("with {object}"));
            }
        }
    }
    random.shuffle(&mut phrases);
    let comma = random.chance(0.12);
    let tail = phrases.join(if comma { ", " } else { " " });
    let mut text = parts.join(" ");
    if !tail.is_empty() {
        text.push_str(if comma { ", " } else { " " });
        text.push_str(&tail);
    }
    text
}

/// "sunset over a lake with a sailboat".
fn time_first(attributes: &Attributes, random: &mut Random) -> String {
    let adjective = named_season(attributes) && random.chance(0.7);
    let water = matches!(attributes.terrain, Terrain::Sea | Terrain::Lake);
    let over = &OVER[..if water { OVER.len() - 1 } else { OVER.len() }];
    let mut parts = vec![random.pick(time_nouns(attributes.time)).to_owned(), random.pick(over).to_owned()];
    parts.push(terrain(attributes, random, adjective));
    let nouns = front_nouns(attributes.foreground);
    if !nouns.is_empty() && random.chance(0.8) {
        parts.push(format!("with {}", random.pick(nouns)));
    }
    parts.extend(sky(attributes, random, 0.75).into_iter().map(str::to_owned));
    parts.join(" ")
}

/// "lake, snow, sunset, sailboat": words in any order, between commas.
fn list(attributes: &Attributes, random: &mut Random) -> String {
    let adjective = named_season(attributes) && random.chance(0.7);
    let mut rest: Vec<String> = Vec::new();
    if random.chance(0.9) {
        let noun = if random.chance(0.5) { time_nouns(attributes.time) } else { time_phrases(attributes.time) };
        rest.push(random.pick(noun).to_owned());
    }
    for &object in &attributes.sky {
        if random.chance(0.85) {
            rest.push(random.pick(sky_nouns(object)).to_owned());
        }
    }
    let nouns = front_nouns(attributes.foreground);
    if !nouns.is_empty() && random.chance(0.9) {
        rest.push(random.pick(nouns).to_owned());
    }
    if named_season(attributes) && !adjective && random.chance(0.7) {
        rest.push(random.pick(season_nouns(attributes.season)).to_owned());
    }
    rest.push(terrain(attributes, random, adjective));
    random.shuffle(&mut rest);
    rest.join(", ")
}

/// Phrases for what hangs in the sky, each with probability `keep`; sometimes that no cloud does.
fn sky(attributes: &Attributes, random: &mut Random, keep: f32) -> Vec<&'static str> {
    let mut phrases = Vec::new();
    for &object in &attributes.sky {
        if random.chance(keep) {
            let sunny = object == SkyObject::Sun && attributes.time == Time::Noon && random.chance(0.3);
            phrases.push(random.pick(if sunny { SUNNY } else { sky_phrases(object) }));
        }
    }
    if attributes.sky.is_empty() && random.chance(0.12) {
        phrases.push(random.pick(CLEAR));
    }
    random.shuffle(&mut phrases);
    phrases
}

/// Whether the ground's colour is worth a word: the desert's and the sea's never changes.
fn named_season(attributes: &Attributes) -> bool {
    match attributes.terrain {
        Terrain::Sea => false,
        Terrain::City => attributes.season == Season::Snow,
        _ => true,
    }
}

/// "a beautiful snowy mountain"; a lake comes with its mountains as often as not.
fn terrain(attributes: &Attributes, random: &mut Random, adjective: bool) -> String {
    let terrain = attributes.terrain;
    let season = if adjective { random.pick(season_adjectives(attributes.season)) } else { "" };
    if terrain == Terrain::Lake && random.chance(0.5) {
        let plain_lake = noun_phrase(random, "", "lake", true);
        let mountain = random.pick(&["mountain", "mountains"]);
        let mountains = noun_phrase(random, season, mountain, mountain == "mountain");
        return if random.chance(0.65) {
            format!("{mountains} {} {plain_lake}", random.pick(MOUNTAIN_LAKE))
        } else {
            format!("{plain_lake} {} {mountains}", random.pick(LAKE_MOUNTAIN))
        };
    }
    let many = !plural(terrain).is_empty() && random.chance(0.45);
    let noun = random.pick(if many { plural(terrain) } else { singular(terrain) });
    noun_phrase(random, season, noun, !many)
}

/// Article, adjectives in either order, noun.
fn noun_phrase(random: &mut Random, season: &str, noun: &str, singular: bool) -> String {
    let beauty = if random.chance(0.3) { random.pick(BEAUTY) } else { "" };
    let (first, second) = if random.chance(0.8) { (beauty, season) } else { (season, beauty) };
    let words: Vec<&str> = [first, second, noun].into_iter().filter(|word| !word.is_empty()).collect();
    let rest = words.join(" ");
    let article = match (singular, random.unit()) {
        (true, chance) if chance < 0.72 => {
            if rest.starts_with(['a', 'e', 'i', 'o', 'u']) {
                "an "
            } else {
                "a "
            }
        }
        (true, chance) if chance < 0.87 => "the ",
        (false, chance) if chance < 0.12 => "the ",
        _ => "",
    };
    format!("{article}{rest}")
}
