//! Colours: sRGB values in 0 … 1, mixed as they are.

use super::attributes::{Season, Time};

/// Red, green and blue, 0 … 1.
pub(super) type Colour = [f32; 3];

/// The colours of a time of day.
#[derive(Clone, Copy)]
pub(super) struct Palette {
    /// The sky's three stops, from the top to the horizon.
    pub sky: [Colour; 3],
    /// Falls on what faces the light; multiplies the surface's own colour.
    pub light: Colour,
    /// Falls on what faces away.
    pub shadow: Colour,
    /// Deep water.
    pub water: Colour,
    /// Clouds, lit from above.
    pub cloud_top: Colour,
    /// Clouds, from below.
    pub cloud_under: Colour,
    /// The sun's or moon's glow and its path on the water.
    pub glow: Colour,
    /// How much whiter than the light snow is.
    pub sparkle: f32,
    /// Whether windows and lamps are lit.
    pub lamps: bool,
}

impl Palette {
    /// The colours of `time`.
    pub fn of(time: Time) -> Self {
        match time {
            Time::Dawn => Self {
                sky: [rgb(118, 138, 206), rgb(232, 176, 206), rgb(255, 226, 196)],
                light: rgb(255, 226, 220),
                shadow: rgb(146, 124, 176),
                water: rgb(142, 140, 194),
                cloud_top: rgb(255, 240, 236),
                cloud_under: rgb(214, 160, 196),
                glow: rgb(255, 236, 200),
                sparkle: 0.45,
                lamps: true,
            },
            Time::Noon => Self {
                sky: [rgb(40, 114, 220), rgb(108, 178, 244), rgb(206, 234, 250)],
                light: rgb(255, 252, 242),
                shadow: rgb(132, 152, 190),
                water: rgb(26, 98, 168),
                cloud_top: rgb(255, 255, 255),
                cloud_under: rgb(186, 206, 232),
                glow: rgb(255, 250, 214),
                sparkle: 0.2,
                lamps: false,
            },
            Time::Sunset => Self {
                sky: [rgb(84, 50, 128), rgb(226, 92, 92), rgb(255, 192, 88)],
                light: rgb(255, 178, 124),
                shadow: rgb(118, 72, 118),
                water: rgb(104, 58, 106),
                cloud_top: rgb(255, 196, 140),
                cloud_under: rgb(166, 76, 116),
                glow: rgb(255, 206, 110),
                sparkle: 0.62,
                lamps: true,
            },
            Time::Night => Self {
                sky: [rgb(16, 24, 72), rgb(32, 52, 120), rgb(80, 104, 172)],
                light: rgb(138, 158, 220),
                shadow: rgb(56, 68, 128),
                water: rgb(22, 36, 92),
                cloud_top: rgb(122, 138, 190),
                cloud_under: rgb(52, 64, 118),
                glow: rgb(236, 238, 250),
                sparkle: 0.18,
                lamps: true,
            },
            Time::Aurora => Self {
                sky: [rgb(8, 18, 54), rgb(12, 42, 80), rgb(34, 92, 108)],
                light: rgb(112, 180, 180),
                shadow: rgb(38, 72, 102),
                water: rgb(8, 40, 64),
                cloud_top: rgb(90, 140, 150),
                cloud_under: rgb(30, 60, 84),
                glow: rgb(226, 240, 236),
                sparkle: 0.15,
                lamps: true,
            },
        }
    }

    /// A surface of colour `albedo`, from full shadow (`shade` 0) to full light (1).
    pub fn lit(&self, albedo: Colour, shade: f32) -> Colour {
        let light = mix(self.shadow, self.light, shade);
        [albedo[0] * light[0], albedo[1] * light[1], albedo[2] * light[2]]
    }

    /// Snow: it scatters more light than a wall of its colour would, and stays white in coloured light.
    pub fn snow(&self, shade: f32) -> Colour {
        mix(self.lit(SNOW, shade), [1.0, 0.98, 1.0], self.sparkle * shade.clamp(0.0, 1.0))
    }

    /// What far things fade into.
    pub fn haze(&self) -> Colour {
        mix(self.sky[2], self.sky[1], 0.3)
    }
}

/// The ground of a season.
pub(super) fn ground(season: Season) -> Colour {
    match season {
        Season::Snow => SNOW,
        Season::Grass => rgb(112, 178, 74),
        Season::Autumn => rgb(214, 142, 58),
        Season::Sand => rgb(242, 202, 134),
    }
}

/// The trees of a season.
pub(super) fn trees(season: Season) -> Colour {
    match season {
        Season::Snow => rgb(58, 108, 104),
        Season::Grass => rgb(44, 118, 66),
        Season::Autumn => rgb(216, 100, 36),
        Season::Sand => rgb(110, 130, 70),
    }
}

/// Fresh snow.
pub(super) const SNOW: Colour = rgb(244, 248, 255);

/// A lit window.
pub(super) const LAMP: Colour = rgb(255, 220, 120);

/// A colour from bytes.
pub(super) const fn rgb(red: u8, green: u8, blue: u8) -> Colour {
    [red as f32 / 255.0, green as f32 / 255.0, blue as f32 / 255.0]
}

/// From `a` (`t` = 0) to `b` (1), straight.
pub(super) fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// `colour` made darker or brighter.
pub(super) fn scale(colour: Colour, factor: f32) -> Colour {
    colour.map(|channel| channel * factor)
}

/// 0 below `low`, 1 above `high`, an S between them.
pub(super) fn smoothstep(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
