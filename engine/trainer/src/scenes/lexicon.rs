//! The words of the captions: for each class the phrases that name it. A phrase that is to come more often is listed
//! twice. The lexicon is small on purpose, because every word is a token that must be learnt. Change words here; a change
//! means that the text encoder must be trained anew.

use std::collections::BTreeSet;

use super::attributes::{Distance, HEADS, Hue, Land, Light, Object, Season, Side, Style, Time, Weather};

/// Every word that a caption can contain, sorted.
pub fn words() -> Vec<String> {
    let classes =
        (0..HEADS.len()).flat_map(|head| (0..HEADS[head].classes.len()).flat_map(move |class| phrases(head, class)));
    let words: BTreeSet<&str> = classes.chain(JOINING.concat()).flat_map(|phrase| phrase.split([' ', '-'])).collect();
    words.into_iter().map(str::to_owned).collect()
}

/// Every phrase that names a class of a head (indices into [`HEADS`]).
pub(super) fn phrases(head: usize, class: usize) -> Vec<&'static str> {
    match head {
        0 => [openings(Style::ALL[class]), style_nouns(Style::ALL[class])].concat(),
        1 => [time_phrases(Time::ALL[class]), time_nouns(Time::ALL[class])].concat(),
        2 => {
            let weather = Weather::ALL[class];
            [weather_phrases(weather), weather_nouns(weather), weather_adjectives(weather)].concat()
        }
        3 => {
            let beach: &[_] = if Land::ALL[class] == Land::Sea { &[BEACH] } else { &[] };
            [singular(Land::ALL[class]), plural(Land::ALL[class]), beach].concat()
        }
        4 => [season_adjectives(Season::ALL[class]), season_phrases(Season::ALL[class])].concat(),
        5 => [light_phrases(Light::ALL[class]), light_nouns(Light::ALL[class]), light_adjectives(Light::ALL[class])]
            .concat(),
        6 if class == 1 => [STARS, STAR_NOUNS].concat(),
        7 => object_nouns(Object::ALL[class]).iter().map(|noun| noun.text).collect(),
        8 => hue_adjectives(Hue::ALL[class]).to_vec(),
        9 => side_phrases(Side::ALL[class]).to_vec(),
        10 => [distance_adjectives(Distance::ALL[class]), distance_phrases(Distance::ALL[class])].concat(),
        _ => Vec::new(),
    }
}

/// What joins the words that mean something.
pub(super) const JOINING: [&[&str]; 8] = [
    ARTICLES,
    BEAUTY,
    FRONT,
    AMONG,
    MOUNTAIN_LAKE,
    LAKE_MOUNTAIN,
    OVER,
    &["on", "above", "over", "view", "picture", "of"],
];
/// Articles.
const ARTICLES: &[&str] = &["a", "an", "the"];
/// Adjectives that go with any land.
pub(super) const BEAUTY: &[&str] = &["beautiful", "beautiful", "peaceful", "majestic", "calm"];
/// Between an object on the ground and the land.
pub(super) const FRONT: &[&str] = &["near", "near", "by", "in front of", "beside", "next to"];
/// Between the land and the object.
pub(super) const AMONG: &[&str] = &["with", "and"];
/// Between the mountains and their lake.
pub(super) const MOUNTAIN_LAKE: &[&str] = &["near", "near", "by", "behind", "above", "and", "with"];
/// Between the lake and its mountains.
pub(super) const LAKE_MOUNTAIN: &[&str] = &["near", "below", "under", "with", "and", "in front of"];
/// Between the time of day and the land.
pub(super) const OVER: &[&str] = &["over"];

/// A noun, with or without an article.
#[derive(Clone, Copy)]
pub(super) struct Noun {
    pub text: &'static str,
    pub plural: bool,
}

const fn one(text: &'static str) -> Noun {
    Noun { text, plural: false }
}

const fn many(text: &'static str) -> Noun {
    Noun { text, plural: true }
}

/// Before a sentence. A picture that is called nothing in particular is a photograph.
pub(super) fn openings(style: Style) -> &'static [&'static str] {
    match style {
        Style::Photograph => &["a photo of", "a photograph of", "a photograph of", "photo of"],
        Style::Watercolour => &["a watercolor of", "a watercolor painting of", "a watercolour of", "a painting of"],
        Style::Poster => &["a poster of", "a flat poster of", "a poster with"],
        Style::Sketch => &["a pencil sketch of", "a sketch of", "a pencil drawing of", "a drawing of"],
    }
}

/// Before a photograph, without saying that it is one.
pub(super) const PLAIN_OPENINGS: &[&str] = &["a picture of", "a view of"];

/// The style, in a list.
pub(super) fn style_nouns(style: Style) -> &'static [&'static str] {
    match style {
        Style::Photograph => &["photo", "photograph"],
        Style::Watercolour => &["watercolor", "watercolour", "watercolor painting"],
        Style::Poster => &["poster", "flat poster"],
        Style::Sketch => &["pencil sketch", "sketch", "pencil drawing"],
    }
}

/// The time of day, at the end of a sentence.
pub(super) fn time_phrases(time: Time) -> &'static [&'static str] {
    match time {
        Time::Dawn => &["at dawn", "at dawn", "at sunrise", "in the morning"],
        Time::Noon => &["at noon", "in daylight", "during the day"],
        Time::Golden => &["at golden hour", "in golden light", "during the golden hour"],
        Time::Sunset => &["at sunset", "at sunset", "at dusk", "in the evening"],
        Time::Night => &["at night", "at night", "by night", "at midnight"],
        Time::Aurora => &["under the aurora", "under the northern lights", "with an aurora", "with northern lights"],
    }
}

/// The time of day, at the start of a sentence or in a list.
pub(super) fn time_nouns(time: Time) -> &'static [&'static str] {
    match time {
        Time::Dawn => &["dawn", "sunrise", "morning"],
        Time::Noon => &["noon", "daylight"],
        Time::Golden => &["golden hour", "golden light"],
        Time::Sunset => &["sunset", "sunset", "dusk", "evening"],
        Time::Night => &["night", "night", "midnight"],
        Time::Aurora => &["aurora", "northern lights", "an aurora"],
    }
}

/// The weather, at the end of a sentence.
pub(super) fn weather_phrases(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &["under a clear sky", "with a clear sky"],
        Weather::Clouds => &["with clouds", "under clouds", "under a cloudy sky"],
        Weather::Fog => &["in fog", "in the fog", "in the mist"],
        Weather::Rain => &["in the rain", "in rain", "with rain"],
        Weather::Snowfall => &["in falling snow", "in snowfall", "with falling snow"],
        Weather::Rainbow => &["with a rainbow", "under a rainbow", "and a rainbow"],
    }
}

/// The weather, in a list.
pub(super) fn weather_nouns(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &["clear sky"],
        Weather::Clouds => &["clouds", "cloudy sky"],
        Weather::Fog => &["fog", "mist"],
        Weather::Rain => &["rain"],
        Weather::Snowfall => &["snowfall", "falling snow"],
        Weather::Rainbow => &["rainbow", "a rainbow"],
    }
}

/// The weather, before the land.
pub(super) fn weather_adjectives(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clouds => &["cloudy"],
        Weather::Fog => &["foggy", "misty"],
        Weather::Rain => &["rainy"],
        Weather::Clear | Weather::Snowfall | Weather::Rainbow => &[],
    }
}

/// The land, in nouns that take an article.
pub(super) fn singular(land: Land) -> &'static [&'static str] {
    match land {
        Land::Mountains => &["mountain", "mountain", "peak"],
        Land::Hills => &["hill", "meadow"],
        Land::Dunes => &["desert", "desert", "dune"],
        Land::Sea => &["sea", "ocean", "coast", "sea"],
        Land::Lake => &["lake", "lake", "mountain lake", "lake with reflections"],
        Land::River => &["river"],
        Land::Forest => &["forest", "forest", "forest"],
        Land::City => &["city", "city skyline", "skyline"],
        Land::Village => &["village", "village", "town"],
        Land::Canyon => &["canyon", "canyon", "red canyon"],
        Land::Volcano => &["volcano", "volcano", "volcano with lava"],
    }
}

/// What there is of the sea where something stands.
pub(super) const BEACH: &str = "beach";

/// The land, in nouns that need no article.
pub(super) fn plural(land: Land) -> &'static [&'static str] {
    match land {
        Land::Mountains => &["mountains", "mountains", "peaks"],
        Land::Hills => &["hills", "hills", "rolling hills"],
        Land::Dunes => &["dunes", "sand dunes", "desert dunes"],
        Land::Forest => &["woods"],
        Land::City => &["skyscrapers"],
        Land::Sea | Land::Lake | Land::River | Land::Village | Land::Canyon | Land::Volcano => &[],
    }
}

/// The season, before the land.
pub(super) fn season_adjectives(season: Season) -> &'static [&'static str] {
    match season {
        Season::Absent => &[],
        Season::Spring => &["spring", "blooming"],
        Season::Summer => &["green", "green", "summer"],
        Season::Autumn => &["autumn", "autumn", "orange"],
        Season::Winter => &["snowy", "snowy", "winter"],
    }
}

/// The season, at the end of a sentence or in a list.
pub(super) fn season_phrases(season: Season) -> &'static [&'static str] {
    match season {
        Season::Absent => &[],
        Season::Spring => &["in spring", "in blossom"],
        Season::Summer => &["in summer"],
        Season::Autumn => &["in autumn", "in fall"],
        Season::Winter => &["in winter", "in the snow", "with snow"],
    }
}

/// Sun and moon, at the end of a sentence.
pub(super) fn light_phrases(light: Light) -> &'static [&'static str] {
    match light {
        Light::Absent => &[],
        Light::Sun => &["under sunshine", "in sunlight", "with the sun", "under the sun"],
        Light::FullMoon => &["under a full moon", "with a full moon", "in moonlight"],
        Light::CrescentMoon => &["under a crescent moon", "with a crescent moon", "with a crescent"],
    }
}

/// Sun and moon, in a list.
pub(super) fn light_nouns(light: Light) -> &'static [&'static str] {
    match light {
        Light::Absent => &[],
        Light::Sun => &["sun", "sunshine"],
        Light::FullMoon => &["full moon", "moonlight"],
        Light::CrescentMoon => &["crescent moon"],
    }
}

/// Sun and moon, before the land.
pub(super) fn light_adjectives(light: Light) -> &'static [&'static str] {
    match light {
        Light::Sun => &["sunny"],
        Light::FullMoon => &["moonlit"],
        Light::Absent | Light::CrescentMoon => &[],
    }
}

/// Stars, at the end of a sentence.
pub(super) const STARS: &[&str] = &["under the stars", "with stars", "under a starry sky"];
/// Stars, in a list.
pub(super) const STAR_NOUNS: &[&str] = &["stars", "starry sky"];

/// The object.
pub(super) fn object_nouns(object: Object) -> &'static [Noun] {
    const CABIN: &[Noun] = &[one("cabin"), one("cabin"), one("house"), one("cottage")];
    const LIGHTHOUSE: &[Noun] = &[one("lighthouse")];
    const SAILBOAT: &[Noun] = &[one("sailboat"), one("sailboat"), one("boat")];
    const PINES: &[Noun] = &[many("pines"), many("pine trees"), many("trees")];
    const PALM: &[Noun] = &[one("palm"), one("palm tree"), many("palms"), many("palm trees")];
    const TENT: &[Noun] = &[one("tent")];
    const FLOWERS: &[Noun] = &[many("flowers"), many("flowers"), many("wildflowers")];
    const CAMPFIRE: &[Noun] = &[one("campfire"), one("campfire"), one("fire")];
    const BRIDGE: &[Noun] = &[one("bridge"), one("bridge"), one("stone bridge")];
    const WINDMILL: &[Noun] = &[one("windmill")];
    const BALLOON: &[Noun] = &[one("hot air balloon"), one("balloon"), one("hot-air balloon")];
    const BIRDS: &[Noun] = &[many("birds")];
    match object {
        Object::Absent => &[],
        Object::Cabin => CABIN,
        Object::Lighthouse => LIGHTHOUSE,
        Object::Sailboat => SAILBOAT,
        Object::Pines => PINES,
        Object::Palm => PALM,
        Object::Tent => TENT,
        Object::Flowers => FLOWERS,
        Object::Campfire => CAMPFIRE,
        Object::Bridge => BRIDGE,
        Object::Windmill => WINDMILL,
        Object::Balloon => BALLOON,
        Object::Birds => BIRDS,
    }
}

/// Between the object and the land.
pub(super) fn relations(object: Object, land: Land) -> &'static [&'static str] {
    match (object, land) {
        (Object::Balloon | Object::Birds, _) | (Object::Bridge, Land::Canyon | Land::River) => &["over", "above"],
        (Object::Sailboat, Land::Sea | Land::Lake) => &["on", "on"],
        _ => FRONT,
    }
}

/// The colour of the object.
pub(super) fn hue_adjectives(hue: Hue) -> &'static [&'static str] {
    match hue {
        Hue::Absent => &[],
        Hue::Red => &["red"],
        Hue::Yellow => &["yellow"],
        Hue::Blue => &["blue"],
        Hue::Purple => &["purple"],
        Hue::White => &["white"],
    }
}

/// Where the object is, after it.
pub(super) fn side_phrases(side: Side) -> &'static [&'static str] {
    match side {
        Side::Absent => &[],
        Side::Left => &["on the left", "to the left", "left"],
        Side::Centre => &["in the center", "in the centre", "in the middle"],
        Side::Right => &["on the right", "to the right", "right"],
    }
}

/// How far away the object is, before it.
pub(super) fn distance_adjectives(distance: Distance) -> &'static [&'static str] {
    match distance {
        Distance::Absent => &[],
        Distance::Near => &["large", "near"],
        Distance::Far => &["distant", "small", "far"],
    }
}

/// How far away the object is, after it.
pub(super) fn distance_phrases(distance: Distance) -> &'static [&'static str] {
    match distance {
        Distance::Absent => &[],
        Distance::Near => &["in the foreground"],
        Distance::Far => &["in the distance", "far away"],
    }
}
