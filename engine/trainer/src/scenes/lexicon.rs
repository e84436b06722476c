//! The words and phrases of the captions.

use std::collections::BTreeSet;

use super::{Foreground, Season, SkyObject, Terrain, Time};

/// Every word that a caption can contain, sorted.
pub fn words() -> Vec<String> {
    let mut phrases: Vec<&str> =
        [OPENINGS, BEAUTY, FRONT, AMONG, MOUNTAIN_LAKE, LAKE_MOUNTAIN, ARTICLES, CLEAR, SUNNY, OVER].concat();
    phrases.extend(Terrain::ALL.iter().flat_map(|&terrain| [singular(terrain), plural(terrain)].concat()));
    phrases.extend(
        Season::ALL
            .iter()
            .flat_map(|&season| [season_adjectives(season), season_phrases(season), season_nouns(season)].concat()),
    );
    phrases.extend(Time::ALL.iter().flat_map(|&time| [time_phrases(time), time_nouns(time)].concat()));
    phrases.extend(SkyObject::ALL.iter().flat_map(|&object| [sky_phrases(object), sky_nouns(object)].concat()));
    phrases.extend(Foreground::ALL.iter().flat_map(|&object| front_nouns(object)));
    let words: BTreeSet<&str> = phrases.into_iter().flat_map(str::split_whitespace).collect();
    words.into_iter().map(str::to_owned).collect()
}

/// Before a sentence.
pub(super) const OPENINGS: &[&str] =
    &["a photo of", "a photograph of", "a picture of", "an image of", "a painting of", "a view of", "a landscape with"];
/// Adjectives that go with any terrain.
pub(super) const BEAUTY: &[&str] =
    &["beautiful", "serene", "majestic", "peaceful", "calm", "scenic", "lovely", "quiet"];
/// Between the object in front and the terrain.
pub(super) const FRONT: &[&str] = &["near", "by", "in front of", "beside", "next to"];
/// Between the terrain and the object in front.
pub(super) const AMONG: &[&str] = &["with", "and"];
/// Between the mountains and their lake.
pub(super) const MOUNTAIN_LAKE: &[&str] = &["near", "by", "behind", "above", "over", "and", "with"];
/// Between the lake and its mountains.
pub(super) const LAKE_MOUNTAIN: &[&str] = &["near", "below", "under", "with", "and"];
/// Articles that the grammar puts before nouns.
const ARTICLES: &[&str] = &["a", "an", "the"];
/// Where the sky is empty.
pub(super) const CLEAR: &[&str] = &["under a clear sky", "with a clear sky"];
/// For the sun at noon only.
pub(super) const SUNNY: &[&str] = &["on a sunny day", "on a sunny afternoon"];
/// Between the time of day and the terrain; the last not before water.
pub(super) const OVER: &[&str] = &["over", "above", "at", "in"];

/// Nouns that take an article.
pub(super) fn singular(terrain: Terrain) -> &'static [&'static str] {
    match terrain {
        Terrain::Mountains => &["mountain", "mountain", "mountain range", "mountain landscape", "peak"],
        Terrain::Hills => &["countryside", "hill", "meadow", "valley"],
        Terrain::Dunes => &["desert", "desert", "dune", "sand dune"],
        Terrain::Sea => &["sea", "ocean", "coast", "sea", "seaside"],
        Terrain::Lake => &["lake", "lake", "mountain lake", "lake with reflections", "lake with a reflection"],
        Terrain::Forest => &["forest", "pine forest", "forest", "fir forest"],
        Terrain::City => &["city", "city skyline", "skyline", "town"],
    }
}

/// Nouns that need none; a lake is always one.
pub(super) fn plural(terrain: Terrain) -> &'static [&'static str] {
    match terrain {
        Terrain::Mountains => &["mountains", "mountains", "peaks", "high mountains"],
        Terrain::Hills => &["hills", "rolling hills", "fields"],
        Terrain::Dunes => &["dunes", "sand dunes", "desert dunes"],
        Terrain::Sea => &["waves", "sea waves"],
        Terrain::Lake => &[],
        Terrain::Forest => &["woods", "fir trees"],
        Terrain::City => &["skyscrapers", "tall buildings", "city buildings"],
    }
}

/// What the ground looks like.
pub(super) fn season_adjectives(season: Season) -> &'static [&'static str] {
    match season {
        Season::Snow => &["snowy", "snowy", "snow covered", "winter", "white"],
        Season::Grass => &["green", "green", "grassy", "lush", "summer"],
        Season::Autumn => &["autumn", "autumn", "golden", "orange", "fall"],
        Season::Sand => &["sandy", "golden"],
    }
}

/// The season, at the end of a sentence.
pub(super) fn season_phrases(season: Season) -> &'static [&'static str] {
    match season {
        Season::Snow => &["in winter", "in the snow", "with snow"],
        Season::Grass => &["in summer", "in spring", "with green grass"],
        Season::Autumn => &["in autumn", "in fall", "with autumn colors"],
        Season::Sand => &["with golden sand"],
    }
}

/// The season, in a list.
pub(super) fn season_nouns(season: Season) -> &'static [&'static str] {
    match season {
        Season::Snow => &["snow", "winter"],
        Season::Grass => &["grass", "summer"],
        Season::Autumn => &["autumn", "fall"],
        Season::Sand => &["sand"],
    }
}

/// The time of day, at the end of a sentence.
pub(super) fn time_phrases(time: Time) -> &'static [&'static str] {
    match time {
        Time::Dawn => &["at dawn", "at sunrise", "in the early morning", "in the morning", "at daybreak"],
        Time::Noon => &["at noon", "in daylight", "on a bright day", "at midday", "during the day", "in the afternoon"],
        Time::Sunset => &["at sunset", "at sunset", "at dusk", "in the evening", "in the evening glow"],
        Time::Night => &["at night", "at night", "in the night", "at midnight", "in the dark"],
        Time::Aurora => &["under the aurora", "under northern lights", "with an aurora", "with the northern lights"],
    }
}

/// The time of day, at the start of a sentence or in a list.
pub(super) fn time_nouns(time: Time) -> &'static [&'static str] {
    match time {
        Time::Dawn => &["dawn", "sunrise", "early morning", "morning"],
        Time::Noon => &["day", "bright day", "noon", "daylight"],
        Time::Sunset => &["sunset", "a red sunset", "dusk", "evening"],
        Time::Night => &["night", "a dark night", "midnight"],
        Time::Aurora => &["aurora", "northern lights", "an aurora"],
    }
}

/// What hangs in the sky, at the end of a sentence.
pub(super) fn sky_phrases(object: SkyObject) -> &'static [&'static str] {
    match object {
        SkyObject::Sun => &["under sunshine", "in sunlight", "with the sun", "under the sun", "with a bright sun"],
        SkyObject::FullMoon => {
            &["under a full moon", "with a full moon", "in moonlight", "under the moon", "on a moonlit night"]
        }
        SkyObject::CrescentMoon => &["under a crescent moon", "with a crescent moon", "with a crescent"],
        SkyObject::Stars => {
            &["under the stars", "with stars", "under a starry sky", "with a starry sky", "on a starry night"]
        }
        SkyObject::Clouds => &["with clouds", "under a cloudy sky", "with white clouds", "under clouds"],
        SkyObject::Rainbow => &["with a rainbow", "under a rainbow", "and a rainbow"],
    }
}

/// What hangs in the sky, in a list.
pub(super) fn sky_nouns(object: SkyObject) -> &'static [&'static str] {
    match object {
        SkyObject::Sun => &["sun", "sunshine"],
        SkyObject::FullMoon => &["full moon", "moonlight"],
        SkyObject::CrescentMoon => &["crescent moon"],
        SkyObject::Stars => &["stars", "starry sky"],
        SkyObject::Clouds => &["clouds", "cloudy sky"],
        SkyObject::Rainbow => &["rainbow"],
    }
}

/// The object in front, with its article.
pub(super) fn front_nouns(object: Foreground) -> &'static [&'static str] {
    match object {
        Foreground::Cabin => &["a cabin", "a wooden cabin", "a little house", "a cottage", "a house", "a hut"],
        Foreground::Lighthouse => &["a lighthouse", "a tall lighthouse", "a red lighthouse"],
        Foreground::Sailboat => &["a sailboat", "a boat", "a sailing boat", "a sailing ship"],
        Foreground::Pines => &["pine trees", "tall pines", "trees", "pines"],
        Foreground::Tent => &["a tent", "a camping tent", "an orange tent"],
        Foreground::Flowers => &["flowers", "colorful flowers", "wildflowers", "blooming flowers"],
        Foreground::None => &[],
    }
}
