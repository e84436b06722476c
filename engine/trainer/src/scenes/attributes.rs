//! What a scene can show, and how often it shows it.

use serde::{Deserialize, Serialize};

use super::random::Random;

/// Everything about a scene that a caption can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Decides the palette.
    pub time: Time,
    /// Decides the composition.
    pub terrain: Terrain,
    /// Decides the colour of ground and trees.
    pub season: Season,
    /// What hangs in the sky, in the order of [`SkyObject::ALL`], each at most once.
    pub sky: Vec<SkyObject>,
    /// The one object in front.
    pub foreground: Foreground,
}

impl Attributes {
    /// Whether `object` hangs in the sky.
    pub fn has(&self, object: SkyObject) -> bool {
        self.sky.contains(&object)
    }

    /// Draws attributes that go together. Rare ones come more often than in nature, so that they are learnt.
    pub(super) fn sample(random: &mut Random) -> Self {
        let time = random.weighted(&[
            (Time::Dawn, 0.18),
            (Time::Noon, 0.25),
            (Time::Sunset, 0.23),
            (Time::Night, 0.19),
            (Time::Aurora, 0.15),
        ]);
        let terrain = random.weighted(&[
            (Terrain::Mountains, 0.17),
            (Terrain::Hills, 0.13),
            (Terrain::Dunes, 0.11),
            (Terrain::Sea, 0.14),
            (Terrain::Lake, 0.20),
            (Terrain::Forest, 0.12),
            (Terrain::City, 0.13),
        ]);
        let season = match terrain {
            Terrain::Dunes | Terrain::Sea => Season::Sand,
            Terrain::City => random.weighted(&[(Season::Grass, 0.65), (Season::Snow, 0.35)]),
            _ => random.weighted(&[(Season::Snow, 0.38), (Season::Grass, 0.36), (Season::Autumn, 0.26)]),
        };
        let sky = sample_sky(time, random);
        let foreground = random.pick(foregrounds(terrain, season));
        Self { time, terrain, season, sky, foreground }
    }
}

/// The time of day, or the night of an aurora.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Time {
    /// Pink and pale.
    Dawn,
    /// Blue sky, white light.
    Noon,
    /// Orange and violet.
    Sunset,
    /// Dark blue.
    Night,
    /// A dark sky with green curtains.
    Aurora,
}

impl Time {
    /// Every value.
    pub const ALL: [Self; 5] = [Self::Dawn, Self::Noon, Self::Sunset, Self::Night, Self::Aurora];
}

/// The land.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terrain {
    /// High peaks behind a meadow.
    Mountains,
    /// Rolling hills.
    Hills,
    /// A desert.
    Dunes,
    /// Water to the horizon.
    Sea,
    /// Mountains that look at themselves in still water.
    Lake,
    /// Rows of firs.
    Forest,
    /// A skyline behind water.
    City,
}

impl Terrain {
    /// Every value.
    pub const ALL: [Self; 7] =
        [Self::Mountains, Self::Hills, Self::Dunes, Self::Sea, Self::Lake, Self::Forest, Self::City];
}

/// What covers the ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Season {
    /// White.
    Snow,
    /// Green.
    Grass,
    /// Orange and brown.
    Autumn,
    /// Yellow; only in the desert and by the sea.
    Sand,
}

impl Season {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Snow, Self::Grass, Self::Autumn, Self::Sand];
}

/// What can hang in the sky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkyObject {
    /// High at noon, low at dawn and sunset.
    Sun,
    /// A full moon.
    FullMoon,
    /// A crescent.
    CrescentMoon,
    /// Stars.
    Stars,
    /// Two or three white clouds.
    Clouds,
    /// A bow over the land.
    Rainbow,
}

impl SkyObject {
    /// Every value.
    pub const ALL: [Self; 6] =
        [Self::Sun, Self::FullMoon, Self::CrescentMoon, Self::Stars, Self::Clouds, Self::Rainbow];
}

/// The object in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Foreground {
    /// A wooden cabin.
    Cabin,
    /// A red and white lighthouse.
    Lighthouse,
    /// A boat with white sails.
    Sailboat,
    /// A few tall pines.
    Pines,
    /// An orange tent.
    Tent,
    /// A meadow in bloom.
    Flowers,
    /// Nothing.
    None,
}

impl Foreground {
    /// Every value.
    pub const ALL: [Self; 7] =
        [Self::Cabin, Self::Lighthouse, Self::Sailboat, Self::Pines, Self::Tent, Self::Flowers, Self::None];
}

/// What can stand in front of a terrain.
fn foregrounds(terrain: Terrain, season: Season) -> &'static [Foreground] {
    use Foreground::{Cabin, Flowers, Lighthouse, None, Pines, Sailboat, Tent};
    match (terrain, season) {
        (Terrain::Mountains, Season::Snow) => &[Cabin, Pines, Tent, None],
        (Terrain::Mountains, _) => &[Cabin, Pines, Tent, Flowers, None],
        (Terrain::Hills, Season::Snow) => &[Cabin, Pines, Tent, Lighthouse, None],
        (Terrain::Hills, _) => &[Cabin, Pines, Tent, Flowers, Lighthouse, None],
        (Terrain::Dunes, _) => &[Tent, None],
        (Terrain::Sea, _) => &[Sailboat, Lighthouse, None],
        (Terrain::Lake, _) => &[Sailboat, Cabin, Pines, Tent, None, None],
        (Terrain::Forest, Season::Snow) => &[Cabin, Tent, None],
        (Terrain::Forest, _) => &[Cabin, Tent, Flowers, None],
        (Terrain::City, _) => &[Sailboat, None, None],
    }
}

/// What hangs in the sky at `time`: at most one of sun, moons and rainbow, and perhaps stars or clouds.
fn sample_sky(time: Time, random: &mut Random) -> Vec<SkyObject> {
    use SkyObject::{Clouds, CrescentMoon, FullMoon, Rainbow, Stars, Sun};
    let main = match time {
        Time::Dawn => random.weighted(&[(Some(Sun), 0.55), (Some(CrescentMoon), 0.18), (None, 0.27)]),
        Time::Noon => random.weighted(&[(Some(Sun), 0.45), (Some(Rainbow), 0.25), (None, 0.30)]),
        Time::Sunset => random.weighted(&[(Some(Sun), 0.65), (None, 0.35)]),
        Time::Night => random.weighted(&[(Some(FullMoon), 0.38), (Some(CrescentMoon), 0.32), (None, 0.30)]),
        Time::Aurora => random.weighted(&[(Some(CrescentMoon), 0.15), (None, 0.85)]),
    };
    let (stars, clouds) = match time {
        Time::Night => (0.65, 0.25),
        Time::Aurora => (0.55, 0.0),
        _ => (0.0, 0.45),
    };
    let (stars, clouds) = (random.chance(stars), random.chance(clouds));
    SkyObject::ALL
        .into_iter()
        .filter(|&object| match object {
            Stars => stars,
            Clouds => clouds,
            _ => Some(object) == main,
        })
        .collect()
}
