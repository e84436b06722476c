//! Which attributes go together, and how often they occur. Change here how scenes are distributed.
//!
//! Rare things occur more often than in nature, so that they are learnt. What stands on land needs land, what is lit
//! needs light, and nothing is in a scene that cannot be seen.

use super::attributes::{Attributes, Distance, Hue, Land, Light, Object, Season, Side, Style, Time, Weather};
use super::scene_random::SceneRandom;

impl Attributes {
    /// Draws attributes that go together.
    pub(super) fn sample(random: &mut SceneRandom) -> Self {
        let style = random.weighted(&[
            (Style::Photograph, 0.43),
            (Style::Watercolour, 0.19),
            (Style::Poster, 0.19),
            (Style::Sketch, 0.19),
        ]);
        let time = random.weighted(&[
            (Time::Dawn, 0.16),
            (Time::Noon, 0.22),
            (Time::Golden, 0.15),
            (Time::Sunset, 0.18),
            (Time::Night, 0.17),
            (Time::Aurora, 0.12),
        ]);
        let land = random.weighted(&[
            (Land::Mountains, 0.12),
            (Land::Hills, 0.09),
            (Land::Dunes, 0.08),
            (Land::Sea, 0.12),
            (Land::Lake, 0.13),
            (Land::River, 0.08),
            (Land::Forest, 0.09),
            (Land::City, 0.09),
            (Land::Village, 0.07),
            (Land::Canyon, 0.06),
            (Land::Volcano, 0.07),
        ]);
        let season = season(land, random);
        let weather = weather(time, season, random);
        let light = light(time, weather, random);
        let stars = weather == Weather::Clear
            && match time {
                Time::Night => random.chance(0.7),
                Time::Aurora => random.chance(0.5),
                _ => false,
            };
        let object = random.pick(objects(land, season));
        let colour = random.pick(hues(object));
        let side = match sides(land, object) {
            [] => Side::Absent,
            sides => random.pick(sides),
        };
        let distance = match object {
            Object::Absent | Object::Flowers | Object::Bridge | Object::Campfire | Object::Birds => Distance::Absent,
            _ if only_near(land, object) || random.chance(0.6) => Distance::Near,
            _ => Distance::Far,
        };
        Self { style, time, weather, land, season, light, stars, object, colour, side, distance }
    }
}

/// What covers the ground of a land.
fn season(land: Land, random: &mut SceneRandom) -> Season {
    match land {
        Land::Dunes | Land::Sea | Land::Canyon | Land::Volcano => Season::Absent,
        Land::City => random.weighted(&[(Season::Absent, 0.65), (Season::Winter, 0.35)]),
        _ => random.weighted(&[
            (Season::Spring, 0.18),
            (Season::Summer, 0.30),
            (Season::Autumn, 0.20),
            (Season::Winter, 0.32),
        ]),
    }
}

/// Snow falls on snow, rainbows need the day, and an aurora an open sky.
fn weather(time: Time, season: Season, random: &mut SceneRandom) -> Weather {
    let day = matches!(time, Time::Dawn | Time::Noon | Time::Golden | Time::Sunset);
    let bow = matches!(time, Time::Dawn | Time::Noon | Time::Golden);
    if time == Time::Aurora {
        return Weather::Clear;
    }
    random.weighted(&[
        (Weather::Clear, 0.40),
        (Weather::Clouds, if day { 0.22 } else { 0.14 }),
        (Weather::Fog, 0.11),
        (Weather::Rain, if season == Season::Winter { 0.0 } else { 0.12 }),
        (Weather::Snowfall, if season == Season::Winter { 0.28 } else { 0.0 }),
        (Weather::Rainbow, if bow && season != Season::Winter { 0.15 } else { 0.0 }),
    ])
}

/// The sun by day, a moon by night, neither behind rain, snow or a rainbow.
fn light(time: Time, weather: Weather, random: &mut SceneRandom) -> Light {
    if matches!(weather, Weather::Rain | Weather::Snowfall | Weather::Rainbow) {
        return Light::Absent;
    }
    match time {
        Time::Dawn => random.weighted(&[(Light::Sun, 0.55), (Light::CrescentMoon, 0.15), (Light::Absent, 0.30)]),
        Time::Noon => random.weighted(&[(Light::Sun, 0.62), (Light::Absent, 0.38)]),
        Time::Golden | Time::Sunset => random.weighted(&[(Light::Sun, 0.70), (Light::Absent, 0.30)]),
        Time::Night => random.weighted(&[(Light::FullMoon, 0.42), (Light::CrescentMoon, 0.34), (Light::Absent, 0.24)]),
        Time::Aurora => random.weighted(&[(Light::CrescentMoon, 0.22), (Light::Absent, 0.78)]),
    }
}

/// What can be there; what fits few lands is listed twice.
fn objects(land: Land, season: Season) -> &'static [Object] {
    use Object::{
        Absent, Balloon, Birds, Bridge, Cabin, Campfire, Flowers, Lighthouse, Palm, Pines, Sailboat, Tent, Windmill,
    };
    let blooms = matches!(season, Season::Spring | Season::Summer);
    match land {
        Land::Mountains if blooms => &[Cabin, Pines, Tent, Flowers, Flowers, Campfire, Balloon, Birds, Absent],
        Land::Mountains => &[Cabin, Pines, Tent, Campfire, Balloon, Birds, Absent],
        Land::Hills if blooms => {
            &[Cabin, Pines, Tent, Flowers, Flowers, Lighthouse, Windmill, Windmill, Balloon, Absent]
        }
        Land::Hills => &[Cabin, Pines, Tent, Lighthouse, Windmill, Windmill, Balloon, Absent],
        Land::Dunes => &[Palm, Palm, Tent, Campfire, Balloon, Absent],
        Land::Sea => &[Sailboat, Sailboat, Lighthouse, Lighthouse, Lighthouse, Palm, Palm, Birds, Balloon, Absent],
        Land::Lake => &[Sailboat, Sailboat, Cabin, Pines, Tent, Campfire, Birds, Absent, Absent],
        Land::River if blooms => &[Bridge, Bridge, Bridge, Cabin, Tent, Flowers, Flowers, Windmill, Absent],
        Land::River => &[Bridge, Bridge, Bridge, Cabin, Pines, Tent, Windmill, Absent],
        Land::Forest if blooms => &[Cabin, Tent, Campfire, Campfire, Flowers, Flowers, Absent],
        Land::Forest => &[Cabin, Tent, Campfire, Campfire, Absent],
        Land::City => &[Sailboat, Bridge, Bridge, Balloon, Birds, Absent, Absent],
        Land::Village if blooms => &[Windmill, Windmill, Flowers, Flowers, Balloon, Birds, Absent],
        Land::Village => &[Windmill, Windmill, Pines, Balloon, Birds, Absent],
        Land::Canyon => &[Balloon, Birds, Campfire, Tent, Bridge, Absent],
        Land::Volcano => &[Palm, Palm, Palm, Tent, Birds, Balloon, Absent],
    }
}

/// The colours in which an object comes; a cabin may also be plain wood.
fn hues(object: Object) -> &'static [Hue] {
    use Hue::{Absent, Blue, Purple, Red, White, Yellow};
    match object {
        Object::Sailboat | Object::Flowers => &[Red, Yellow, Blue, Purple, White],
        Object::Tent | Object::Balloon => &[Red, Yellow, Blue, Purple],
        Object::Cabin => &[Absent, Absent, Red, Yellow, Blue, White],
        Object::Lighthouse => &[Red, Red, Blue],
        _ => &[Absent],
    }
}

/// Where across the picture an object may be; nowhere in particular where there is none, or it takes the whole width.
pub(super) fn sides(land: Land, object: Object) -> &'static [Side] {
    match object {
        Object::Absent | Object::Flowers | Object::Bridge => &[],
        // The river keeps to the middle.
        _ if land == Land::River => &[Side::Left, Side::Right],
        _ => &[Side::Left, Side::Centre, Side::Right],
    }
}

/// Whether there is no place for an object but the front.
fn only_near(land: Land, object: Object) -> bool {
    let afloat_or_aloft = matches!(object, Object::Sailboat | Object::Lighthouse | Object::Balloon);
    match land {
        Land::Sea | Land::Lake => !afloat_or_aloft,
        Land::Forest | Land::Village | Land::Canyon => object != Object::Balloon,
        _ => false,
    }
}
