//! Captions of a scene, and which of its attributes they mention. Change here how captions are built; their words are in
//! `lexicon`.
//!
//! A caption is a sentence ("a red cabin near a snowy mountain at sunset under clouds"), begins with the time ("sunset
//! over a lake with a sailboat"), is a list ("lake, snow, sunset") or a few words ("a yellow tent"). One in three leaves
//! nothing out, because what is always mentioned is learnt soonest. A style other than a photograph and the object are
//! never left out: then a prompt without them means a photograph without an object. Everything is lower case, as in
//! CLIP's tokenizer; punctuation is `,`, `.` and the hyphen of "hot-air".

use super::attributes::{Attributes, Distance, HEADS, Hue, Land, Light, Object, Season, Side, Style, Time, Weather};
use super::lexicon::{
    AMONG, BEACH, BEAUTY, LAKE_MOUNTAIN, MOUNTAIN_LAKE, OVER, PLAIN_OPENINGS, STAR_NOUNS, STARS, distance_adjectives,
    distance_phrases, hue_adjectives, light_adjectives, light_nouns, light_phrases, object_nouns, openings, plural,
    relations, season_adjectives, season_phrases, side_phrases, singular, style_nouns, time_nouns, time_phrases,
    weather_adjectives, weather_nouns, weather_phrases, words,
};
use super::scene_random::SceneRandom;

/// A caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// The words.
    pub text: String,
    /// For each of [`HEADS`] whether the words name its class; the others are open. If no object is named, its class is
    /// "absent".
    pub mentioned: [bool; HEADS.len()],
    /// Where in the text, in bytes, the object's side could be added; `None` if it is there already, or has no meaning.
    pub side_left_open: Option<usize>,
}

impl Caption {
    /// For each of [`HEADS`] the class that the words name, for a scene with these attributes.
    pub fn labels(&self, attributes: &Attributes) -> [Option<u32>; HEADS.len()] {
        let classes = attributes.classes();
        std::array::from_fn(|head| self.mentioned[head].then_some(classes[head] as u32))
    }
}

/// How much of a scene a caption mentions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// A random part.
    Sampled,
    /// Everything that has a word, in a sentence.
    Full,
}

/// One caption.
pub(super) fn write(attributes: &Attributes, detail: Detail, random: &mut SceneRandom) -> Caption {
    let drawn = random.weighted(&[
        (Form::Full, 0.35),
        (Form::Sentence, 0.35),
        (Form::TimeFirst, 0.09),
        (Form::List, 0.11),
        (Form::Short, 0.10),
    ]);
    let form = if detail == Detail::Full { Form::Full } else { drawn };
    // Short captions leave out most, long ones little.
    let keep = random.pick(&[0.35, 0.80, 0.95]);
    let all = matches!(form, Form::Full);
    let mentioned = std::array::from_fn(|head| head == OBJECT);
    let mut writer = Writer { attributes, random, keep, all, mentioned };
    let mut text = match form {
        Form::Full | Form::Sentence => writer.sentence(),
        Form::TimeFirst => writer.time_first(),
        Form::List => writer.list(),
        Form::Short => writer.short(),
    };
    let mentioned = writer.mentioned;
    if random.chance(0.15) {
        text.push('.');
    }
    let side_left_open = text.find(OPEN);
    text.retain(|letter| letter != OPEN);
    Caption { text, mentioned, side_left_open }
}

/// Marks the place after an object whose side is not mentioned, while a caption is being built.
const OPEN: char = '\u{1}';

/// How a caption is built.
#[derive(Clone, Copy)]
enum Form {
    /// A sentence that mentions everything.
    Full,
    Sentence,
    TimeFirst,
    List,
    Short,
}

// Places in `HEADS`.
const STYLE: usize = 0;
const TIME: usize = 1;
const WEATHER: usize = 2;
const LAND: usize = 3;
const SEASON: usize = 4;
const LIGHT: usize = 5;
const STAR: usize = 6;
pub(super) const OBJECT: usize = 7;
const COLOUR: usize = 8;
pub(super) const SIDE: usize = 9;
const DISTANCE: usize = 10;

struct Writer<'a, 'r> {
    attributes: &'a Attributes,
    random: &'r mut SceneRandom,
    /// The probability that a part is mentioned.
    keep: f32,
    /// Whether every part is mentioned.
    all: bool,
    mentioned: [bool; HEADS.len()],
}

impl Writer<'_, '_> {
    /// Whether a part with this probability is included.
    fn includes(&mut self, probability: f32) -> bool {
        self.all || self.random.chance(probability)
    }

    /// "[a photo of] a cabin near a snowy mountain [at sunset] [with clouds]", the phrases in any order.
    fn sentence(&mut self) -> String {
        let mut parts = self.opening();
        let object = self.object();
        let land = self.land();
        let mut phrases = self.phrases(0.92);
        match object {
            None => parts.push(land),
            Some(object) => match self.random.weighted(&[(0, 0.45), (1, 0.38), (2, 0.17)]) {
                0 => {
                    let relation = self.random.pick(relations(self.attributes.object, self.attributes.land));
                    parts.push(format!("{object} {relation} {land}"));
                }
                1 => parts.push(format!("{land} {} {object}", self.random.pick(AMONG))),
                _ => {
                    parts.push(land);
                    parts.append(&mut phrases);
                    parts.push(format!("with {object}"));
                }
            },
        }
        let comma = self.random.chance(0.12);
        let tail = phrases.join(if comma { ", " } else { " " });
        let mut text = parts.join(" ");
        if !tail.is_empty() {
            text.push_str(if comma { ", " } else { " " });
            text.push_str(&tail);
        }
        text
    }

    /// "sunset over a lake with a sailboat".
    fn time_first(&mut self) -> String {
        let mut parts = self.opening();
        self.mentioned[TIME] = true;
        parts.push(self.random.pick(time_nouns(self.attributes.time)).to_owned());
        parts.push(self.random.pick(OVER).to_owned());
        parts.push(self.land());
        parts.extend(self.object().map(|object| format!("with {object}")));
        parts.extend(self.night(time_phrases));
        parts.extend(self.phrases(0.0));
        parts.join(" ")
    }

    /// "lake, snow, sunset, sailboat": words in any order, between commas.
    fn list(&mut self) -> String {
        let mut parts = vec![self.land()];
        let style = self.attributes.style;
        if style != Style::Photograph || self.random.chance(0.25) {
            self.mentioned[STYLE] = true;
            parts.push(self.random.pick(style_nouns(style)).to_owned());
        }
        if self.random.chance(0.9) {
            parts.extend(self.time(time_nouns));
        }
        parts.extend(self.sky(weather_nouns, light_nouns, STAR_NOUNS));
        parts.extend(self.object());
        parts.extend(self.season());
        self.random.shuffle(&mut parts);
        parts.join(", ")
    }

    /// "a yellow tent", "snowy mountains with a cabin at night": what is there, with or without the time.
    fn short(&mut self) -> String {
        let mut parts = self.opening();
        let object = self.object();
        parts.push(match object {
            None => self.land(),
            Some(object) if self.random.chance(0.5) => object,
            Some(object) => format!("{} with {object}", self.land()),
        });
        if self.random.chance(0.5) {
            parts.extend(self.time(time_phrases));
        }
        parts.join(" ")
    }

    /// "a watercolor of", or nothing.
    fn opening(&mut self) -> Vec<String> {
        let style = self.attributes.style;
        let (said, openings) = match style {
            Style::Photograph if !self.includes(0.30) => (false, PLAIN_OPENINGS),
            _ => (true, openings(style)),
        };
        if !said && self.random.chance(0.75) {
            return Vec::new();
        }
        self.mentioned[STYLE] = said;
        vec![self.random.pick(openings).to_owned()]
    }

    /// Time (as likely as `time`), season, weather, light and stars, in any order, each at the end of a sentence.
    fn phrases(&mut self, time: f32) -> Vec<String> {
        let mut phrases = self.sky(weather_phrases, light_phrases, STARS);
        if self.includes(time.min(self.keep + 0.25)) {
            phrases.extend(self.time(time_phrases));
        }
        phrases.extend(self.season());
        self.random.shuffle(&mut phrases);
        phrases
    }

    /// The time in the words given, and the night of an aurora.
    fn time(&mut self, words: fn(Time) -> &'static [&'static str]) -> Vec<String> {
        self.mentioned[TIME] = true;
        let time = self.random.pick(words(self.attributes.time)).to_owned();
        std::iter::once(time).chain(self.night(words)).collect()
    }

    /// Now and then, that an aurora is seen at night: it is a time of its own here, but people name both.
    fn night(&mut self, words: fn(Time) -> &'static [&'static str]) -> Option<String> {
        let named = self.attributes.time == Time::Aurora && !self.all && self.random.chance(0.3);
        named.then(|| self.random.pick(words(Time::Night)).to_owned())
    }

    /// Weather, light and stars in the words given.
    fn sky(
        &mut self,
        weather: fn(Weather) -> &'static [&'static str],
        light: fn(Light) -> &'static [&'static str],
        stars: &'static [&'static str],
    ) -> Vec<String> {
        let attributes = self.attributes;
        let mut parts = Vec::new();
        // A clear sky is mentioned now and then, and almost never if stars or sun imply it.
        let plain = attributes.weather == Weather::Clear;
        let bare = attributes.light == Light::Absent && !attributes.stars;
        let said = if plain { if bare { 0.3 } else { 0.06 } } else { self.keep.max(0.7) };
        if !self.mentioned[WEATHER] && self.includes(said) {
            self.mentioned[WEATHER] = true;
            parts.push(self.random.pick(weather(attributes.weather)).to_owned());
        }
        if !self.mentioned[LIGHT] && attributes.light != Light::Absent && self.includes(self.keep) {
            self.mentioned[LIGHT] = true;
            parts.push(self.random.pick(light(attributes.light)).to_owned());
        }
        if attributes.stars && self.includes(self.keep) {
            self.mentioned[STAR] = true;
            parts.push(self.random.pick(stars).to_owned());
        }
        parts
    }

    /// The season, unless it has been mentioned.
    fn season(&mut self) -> Option<String> {
        let season = self.attributes.season;
        if season == Season::Absent || self.mentioned[SEASON] || !self.includes(0.6 * self.keep) {
            return None;
        }
        self.mentioned[SEASON] = true;
        Some(self.random.pick(season_phrases(season)).to_owned())
    }

    /// "a distant red sailboat on the left"; nothing if there is no object.
    fn object(&mut self) -> Option<String> {
        let attributes = self.attributes;
        if attributes.object == Object::Absent {
            return None;
        }
        self.mentioned[OBJECT] = true;
        let noun = self.random.pick(object_nouns(attributes.object));
        let mut adjectives = Vec::new();
        let mut after = Vec::new();
        if attributes.distance != Distance::Absent && self.includes(0.45 * self.keep) {
            self.mentioned[DISTANCE] = true;
            if self.random.chance(0.5) {
                adjectives.push(self.random.pick(distance_adjectives(attributes.distance)));
            } else {
                after.push(self.random.pick(distance_phrases(attributes.distance)));
            }
        }
        if attributes.colour != Hue::Absent && self.includes(self.keep.max(0.6)) {
            self.mentioned[COLOUR] = true;
            adjectives.push(self.random.pick(hue_adjectives(attributes.colour)));
        }
        if attributes.side != Side::Absent && self.includes(0.55 * self.keep) {
            self.mentioned[SIDE] = true;
            after.push(self.random.pick(side_phrases(attributes.side)));
        }
        self.random.shuffle(&mut after);
        adjectives.push(noun.text);
        let mut noun_phrase =
            with_article(&adjectives.join(" "), noun.plural, if noun.plural { 0.0 } else { 0.85 }, self.random);
        if attributes.side != Side::Absent && !self.mentioned[SIDE] {
            noun_phrase.push(OPEN);
        }
        after.insert(0, &noun_phrase);
        Some(after.join(" "))
    }

    /// "a beautiful snowy mountain"; half of the lakes are named with their mountains.
    fn land(&mut self) -> String {
        let land = self.attributes.land;
        self.mentioned[LAND] = true;
        let adjectives = self.adjectives();
        if land == Land::Lake && self.random.chance(0.5) {
            let lake = self.noun_phrase("", "lake", false);
            let many = self.random.chance(0.5);
            let mountains = self.noun_phrase(&adjectives, if many { "mountains" } else { "mountain" }, many);
            return if self.random.chance(0.65) {
                format!("{mountains} {} {lake}", self.random.pick(MOUNTAIN_LAKE))
            } else {
                format!("{lake} {} {mountains}", self.random.pick(LAKE_MOUNTAIN))
            };
        }
        let many = !plural(land).is_empty() && self.random.chance(0.45);
        let mut noun = self.random.pick(if many { plural(land) } else { singular(land) });
        if land == Land::Sea && self.attributes.object.stands_on_ground() && self.random.chance(0.4) {
            noun = BEACH;
        }
        self.noun_phrase(&adjectives, noun, many)
    }

    /// Season, weather or light as adjectives.
    fn adjectives(&mut self) -> String {
        let attributes = self.attributes;
        let mut words = Vec::new();
        let weather = weather_adjectives(attributes.weather);
        if !weather.is_empty() && self.random.chance(0.25) {
            self.mentioned[WEATHER] = true;
            words.push(self.random.pick(weather));
        }
        let light = light_adjectives(attributes.light);
        if !light.is_empty() && words.is_empty() && self.random.chance(0.12) {
            self.mentioned[LIGHT] = true;
            words.push(self.random.pick(light));
        }
        let season = season_adjectives(attributes.season);
        if !season.is_empty() && self.random.chance((self.keep + 0.2).min(0.85)) {
            self.mentioned[SEASON] = true;
            words.push(self.random.pick(season));
        }
        words.join(" ")
    }

    /// Article, adjectives in either order, noun.
    fn noun_phrase(&mut self, adjectives: &str, noun: &str, many: bool) -> String {
        let beauty = if self.random.chance(0.25) { self.random.pick(BEAUTY) } else { "" };
        let (first, second) = if self.random.chance(0.8) { (beauty, adjectives) } else { (adjectives, beauty) };
        let words: Vec<&str> = [first, second, noun].into_iter().filter(|word| !word.is_empty()).collect();
        with_article(&words.join(" "), many, if many { 0.12 } else { 0.87 }, self.random)
    }
}

/// `caption` with a made-up word between two of its words, or at an end.
pub(super) fn insert_made_up_word(caption: &str, random: &mut SceneRandom) -> String {
    const ONSETS: &[&str] =
        &["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "ch", ""];
    const RHYMES: &[&str] = &["a", "e", "i", "o", "u", "an", "er", "in", "ol", "us", "ee", "ou"];
    let known = words();
    let mut strange = String::new();
    while strange.len() < 3 || known.contains(&strange) {
        strange.push_str(random.pick(ONSETS));
        strange.push_str(random.pick(RHYMES));
        if random.chance(0.4) {
            strange.push_str(random.pick(RHYMES));
        }
    }
    let mut parts: Vec<&str> = caption.split(' ').collect();
    parts.insert((random.bits() % (parts.len() as u64 + 1)) as usize, &strange);
    parts.join(" ")
}

/// "a", "an" or "the" before `words`, with probability `share`; never "a" if they are plural (`many`).
fn with_article(words: &str, many: bool, share: f32, random: &mut SceneRandom) -> String {
    if !random.chance(share) {
        return words.to_owned();
    }
    let article = match words.chars().next() {
        _ if many || random.chance(0.15) => "the",
        Some('a' | 'e' | 'i' | 'o' | 'u') => "an",
        _ => "a",
    };
    format!("{article} {words}")
}
