//! What a scene can show, in named classes. A new value goes into its list here, is sampled in `sampling`, gets its words
//! in `lexicon` and is painted.

use serde::{Deserialize, Serialize};

/// Everything about a scene that a caption can mention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// How it is painted.
    pub style: Style,
    /// Decides the palette.
    pub time: Time,
    /// Changes the palette, and comes before or over everything.
    pub weather: Weather,
    /// Decides the composition.
    pub land: Land,
    /// Decides the colour of ground and trees.
    pub season: Season,
    /// What lights the sky.
    pub light: Light,
    /// Whether stars are to be seen.
    pub stars: bool,
    /// The one thing in front of the land, or in the air.
    pub object: Object,
    /// The colour of the object.
    pub colour: Hue,
    /// Where across the picture the object is.
    pub side: Side,
    /// How far away the object is.
    pub distance: Distance,
}

impl Object {
    /// Whether it stands on the ground.
    pub(super) fn stands_on_ground(self) -> bool {
        matches!(
            self,
            Self::Cabin | Self::Pines | Self::Palm | Self::Tent | Self::Flowers | Self::Campfire | Self::Windmill
        )
    }
}

/// One question about a picture and its possible answers, which a classifier learns to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name, one word.
    pub name: &'static str,
    /// The answers, in words.
    pub classes: &'static [&'static str],
}

/// What a classifier of scenes can be asked, in the order of [`Attributes::classes`].
pub const HEADS: [Head; 11] = [
    Head { name: "style", classes: Style::NAMES },
    Head { name: "time", classes: Time::NAMES },
    Head { name: "weather", classes: Weather::NAMES },
    Head { name: "land", classes: Land::NAMES },
    Head { name: "season", classes: Season::NAMES },
    Head { name: "light", classes: Light::NAMES },
    Head { name: "stars", classes: &["absent", "stars"] },
    Head { name: "object", classes: Object::NAMES },
    Head { name: "colour", classes: Hue::NAMES },
    Head { name: "side", classes: Side::NAMES },
    Head { name: "distance", classes: Distance::NAMES },
];

impl Attributes {
    /// The class of each of [`HEADS`], as an index into the head's list.
    pub fn classes(&self) -> [usize; HEADS.len()] {
        [
            self.style as usize,
            self.time as usize,
            self.weather as usize,
            self.land as usize,
            self.season as usize,
            self.light as usize,
            usize::from(self.stars),
            self.object as usize,
            self.colour as usize,
            self.side as usize,
            self.distance as usize,
        ]
    }
}

/// Declares an enum whose values have names and an order.
macro_rules! classes {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$what])* $value,)+ }

        impl $name {
            /// Every value, in the order of its head's classes.
            pub const ALL: &[Self] = &[$(Self::$value,)+];
            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($text,)+];
        }
    };
}

classes! {
    /// How a scene is painted.
    Style {
        /// Soft light, texture, haze.
        Photograph = "photograph",
        /// Pigment that runs on white paper.
        Watercolour = "watercolour",
        /// Flat colours in a frame.
        Poster = "poster",
        /// Graphite with a little coloured pencil.
        Sketch = "pencil sketch",
    }
}

classes! {
    /// The time of day, or the night of an aurora.
    Time {
        /// Pink and pale.
        Dawn = "dawn",
        /// Blue sky, white light.
        Noon = "noon",
        /// Everything in amber light.
        Golden = "golden hour",
        /// Orange and violet.
        Sunset = "sunset",
        /// Dark blue.
        Night = "night",
        /// A dark sky with green curtains.
        Aurora = "aurora",
    }
}

classes! {
    /// What the air does.
    Weather {
        /// Nothing.
        Clear = "clear",
        /// Three bright clouds.
        Clouds = "clouds",
        /// Banks of fog that swallow what is far.
        Fog = "fog",
        /// Grey light and slanting rain.
        Rain = "rain",
        /// Large flakes.
        Snowfall = "snowfall",
        /// A bow over the land.
        Rainbow = "rainbow",
    }
}

classes! {
    /// The land.
    Land {
        /// High peaks behind a meadow.
        Mountains = "mountains",
        /// Rolling hills.
        Hills = "hills",
        /// A desert.
        Dunes = "desert dunes",
        /// Water to the horizon, at times with a beach.
        Sea = "sea",
        /// Mountains that look at themselves in still water.
        Lake = "lake",
        /// A river that winds through meadows.
        River = "river",
        /// Rows of trees.
        Forest = "forest",
        /// A skyline behind water.
        City = "city",
        /// Houses with pitched roofs around a church.
        Village = "village",
        /// Walls of layered rock on either side.
        Canyon = "canyon",
        /// A cone with a glowing crater.
        Volcano = "volcano",
    }
}

classes! {
    /// What covers ground and trees.
    Season {
        /// Where nothing grows.
        Absent = "absent",
        /// Fresh green, trees in pink blossom.
        Spring = "spring",
        /// Green.
        Summer = "summer",
        /// Orange and brown.
        Autumn = "autumn",
        /// Snow.
        Winter = "winter",
    }
}

classes! {
    /// What lights the sky.
    Light {
        /// Neither sun nor moon.
        Absent = "absent",
        /// High at noon, low and large at dawn and sunset.
        Sun = "sun",
        /// A full moon.
        FullMoon = "full moon",
        /// A crescent.
        CrescentMoon = "crescent moon",
    }
}

classes! {
    /// The thing in front of the land, or in the air.
    Object {
        /// Nothing.
        Absent = "absent",
        /// A cabin with a chimney.
        Cabin = "cabin",
        /// A lighthouse with white bands.
        Lighthouse = "lighthouse",
        /// A boat with two sails.
        Sailboat = "sailboat",
        /// Three firs.
        Pines = "pines",
        /// A tall palm with a small one.
        Palm = "palm",
        /// A tent.
        Tent = "tent",
        /// A meadow in bloom.
        Flowers = "flowers",
        /// Flames over logs.
        Campfire = "campfire",
        /// Stone arches from edge to edge.
        Bridge = "bridge",
        /// A tower with four sails.
        Windmill = "windmill",
        /// A striped balloon.
        Balloon = "hot-air balloon",
        /// A few birds in flight.
        Birds = "birds",
    }
}

classes! {
    /// The colour of the object, of its sails, cloth, petals, walls, bands or stripes.
    Hue {
        /// The object has the colour of its kind.
        Absent = "absent",
        /// Red.
        Red = "red",
        /// Yellow.
        Yellow = "yellow",
        /// Blue.
        Blue = "blue",
        /// Purple.
        Purple = "purple",
        /// White.
        White = "white",
    }
}

classes! {
    /// Where across the picture the object is.
    Side {
        /// Nowhere, or everywhere.
        Absent = "absent",
        /// A quarter from the left.
        Left = "left",
        /// In the middle.
        Centre = "centre",
        /// A quarter from the right.
        Right = "right",
    }
}

classes! {
    /// How far away the object is.
    Distance {
        /// There is no object, or its kind has one size.
        Absent = "absent",
        /// Large, at the lower edge.
        Near = "near",
        /// Half as large, towards the horizon.
        Far = "far",
    }
}
