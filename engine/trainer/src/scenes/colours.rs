//! Colours: sRGB values in 0 … 1, mixed as they are. All colours that more than one painter needs are here.

use super::attributes::{Hue, Season, Time, Weather};

/// Red, green and blue, 0 … 1.
pub(super) type Colour = [f32; 3];

/// The colours of a time of day and a weather.
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
    /// Whether it is night.
    pub dark: bool,
}

impl Palette {
    /// The colours of `time` in `weather`.
    pub fn of(time: Time, weather: Weather) -> Self {
        let clear = Self::clear(time);
        match weather {
            Weather::Clear | Weather::Clouds => clear,
            Weather::Rainbow => clear.through(rgb(150, 176, 214), 0.30, 0.10),
            Weather::Fog => clear.through(mix(clear.sky[2], grey(clear.sky[2]), 0.4), 0.60, 0.30),
            // Rain by night must not be black.
            Weather::Rain if clear.dark => clear.through(mix(grey(clear.sky[2]), rgb(84, 102, 140), 0.5), 0.55, 0.3),
            Weather::Rain => clear.through(scale(mix(grey(clear.sky[1]), rgb(110, 136, 168), 0.45), 0.82), 0.66, 0.55),
            Weather::Snowfall => clear.through(mix(grey(clear.sky[2]), rgb(196, 206, 228), 0.45), 0.62, 0.45),
        }
    }

    /// A surface of colour `albedo`, from full shadow (`shade` 0) to full light (1).
    pub fn lit(&self, albedo: Colour, shade: f32) -> Colour {
        let light = mix(self.shadow, self.light, shade);
        [albedo[0] * light[0], albedo[1] * light[1], albedo[2] * light[2]]
    }

    /// The same, but its colour is still known for what it is in coloured light and at night.
    pub fn steady(&self, albedo: Colour, shade: f32) -> Colour {
        let own = if self.dark { 0.74 } else { 0.92 };
        mix(self.lit(albedo, shade), scale(albedo, own * (0.55 + 0.45 * shade)), 0.65)
    }

    /// Snow: it scatters more light than a wall of its colour would, and stays white in coloured light.
    pub fn snow(&self, shade: f32) -> Colour {
        let shadow = if self.dark { self.shadow } else { mix(self.shadow, rgb(150, 168, 214), 0.55) };
        let bright = if self.dark { self.light } else { mix(self.light, [1.0; 3], 0.4) };
        let light = mix(shadow, bright, shade);
        let lit = [light[0] * SNOW[0], light[1] * SNOW[1], light[2] * SNOW[2]];
        mix(lit, [1.0, 0.98, 1.0], self.sparkle * (0.2 + 0.8 * shade.clamp(0.0, 1.0)))
    }

    /// What far things fade into.
    pub fn haze(&self) -> Colour {
        mix(self.sky[2], self.sky[1], 0.3)
    }

    /// All of it through air of colour `veil`: the sky by `cover`, the light by `dim`.
    fn through(self, veil: Colour, cover: f32, dim: f32) -> Self {
        let light = grey(self.light);
        Self {
            sky: std::array::from_fn(|stop| mix(self.sky[stop], scale(veil, [0.92, 1.0, 1.06][stop]), cover)),
            light: scale(mix(self.light, light, dim), 1.0 - 0.18 * dim),
            shadow: mix(self.shadow, grey(self.shadow), 0.6 * dim),
            water: mix(self.water, scale(veil, 0.7), 0.8 * cover),
            cloud_top: mix(self.cloud_top, veil, dim),
            cloud_under: mix(self.cloud_under, scale(veil, 0.72), dim.max(0.3)),
            glow: self.glow,
            ..self
        }
    }

    fn clear(time: Time) -> Self {
        match time {
            Time::Dawn => Self {
                sky: [rgb(112, 130, 206), rgb(236, 172, 206), rgb(255, 222, 204)],
                light: rgb(255, 224, 222),
                shadow: rgb(140, 120, 176),
                water: rgb(142, 138, 196),
                cloud_top: rgb(255, 240, 238),
                cloud_under: rgb(214, 156, 198),
                glow: rgb(255, 226, 186),
                sparkle: 0.50,
                lamps: true,
                dark: false,
            },
            Time::Noon => Self {
                sky: [rgb(34, 108, 218), rgb(98, 174, 246), rgb(204, 234, 250)],
                light: rgb(255, 252, 242),
                shadow: rgb(124, 146, 190),
                water: rgb(22, 94, 168),
                cloud_top: rgb(255, 255, 255),
                cloud_under: rgb(182, 204, 234),
                glow: rgb(255, 244, 170),
                sparkle: 0.2,
                lamps: false,
                dark: false,
            },
            Time::Golden => Self {
                sky: [rgb(122, 164, 196), rgb(246, 206, 132), rgb(255, 222, 138)],
                light: rgb(255, 222, 144),
                shadow: rgb(150, 116, 92),
                water: rgb(140, 130, 110),
                cloud_top: rgb(255, 240, 196),
                cloud_under: rgb(222, 170, 104),
                glow: rgb(255, 228, 130),
                sparkle: 0.55,
                lamps: false,
                dark: false,
            },
            Time::Sunset => Self {
                sky: [rgb(78, 44, 126), rgb(226, 82, 96), rgb(255, 172, 78)],
                light: rgb(255, 170, 122),
                shadow: rgb(112, 66, 120),
                water: rgb(102, 54, 108),
                cloud_top: rgb(255, 184, 130),
                cloud_under: rgb(164, 70, 120),
                glow: rgb(255, 204, 104),
                sparkle: 0.50,
                lamps: true,
                dark: false,
            },
            Time::Night => Self {
                sky: [rgb(16, 24, 74), rgb(32, 54, 126), rgb(82, 108, 180)],
                light: rgb(142, 164, 228),
                shadow: rgb(56, 70, 134),
                water: rgb(22, 38, 96),
                cloud_top: rgb(130, 146, 200),
                cloud_under: rgb(56, 68, 124),
                glow: rgb(236, 238, 250),
                sparkle: 0.18,
                lamps: true,
                dark: true,
            },
            Time::Aurora => Self {
                sky: [rgb(10, 18, 56), rgb(12, 44, 82), rgb(36, 98, 112)],
                light: rgb(116, 190, 186),
                shadow: rgb(38, 76, 106),
                water: rgb(8, 42, 66),
                cloud_top: rgb(90, 140, 150),
                cloud_under: rgb(30, 60, 84),
                glow: rgb(226, 240, 236),
                sparkle: 0.15,
                lamps: true,
                dark: true,
            },
        }
    }
}

/// The ground of a season; bare earth where there is none.
pub(super) fn ground(season: Season) -> Colour {
    match season {
        Season::Winter => SNOW,
        Season::Spring => rgb(158, 208, 98),
        Season::Summer => rgb(92, 164, 70),
        Season::Autumn => rgb(210, 150, 66),
        Season::Absent => rgb(120, 150, 96),
    }
}

/// The trees of a season.
pub(super) fn trees(season: Season) -> Colour {
    match season {
        Season::Winter => rgb(54, 104, 102),
        Season::Spring => rgb(248, 164, 200),
        Season::Summer | Season::Absent => rgb(42, 116, 66),
        Season::Autumn => rgb(222, 98, 32),
    }
}

/// What an object is painted with; white where the attribute is absent.
pub(super) fn paint(hue: Hue) -> Colour {
    match hue {
        Hue::Red => rgb(222, 44, 44),
        Hue::Yellow => rgb(255, 206, 44),
        Hue::Blue => rgb(40, 104, 224),
        Hue::Purple => rgb(148, 66, 204),
        Hue::White | Hue::Absent => rgb(252, 250, 246),
    }
}

/// Fresh snow.
pub(super) const SNOW: Colour = rgb(244, 248, 255);

/// Desert and beach.
pub(super) const SAND: Colour = rgb(244, 204, 138);

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

/// How bright a colour is (Rec. 601).
pub(super) fn luma(colour: Colour) -> f32 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

/// The grey that is as bright.
pub(super) fn grey(colour: Colour) -> Colour {
    [luma(colour); 3]
}

/// 0 below `low`, 1 above `high`, an S between them.
pub(super) fn smoothstep(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
