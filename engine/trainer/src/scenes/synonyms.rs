//! Words that people use and captions do not, each with the words of the lexicon that mean the same in a picture. The
//! engine replaces the one by the other before a prompt is tokenized. Change here what such words mean; no network has
//! to be trained anew.
//!
//! A synonym is up to three words in lower case, with spaces for hyphens. What it means may look a little different, but
//! it must not be wrong: a canoe is not a sailboat, and pink is not purple.

use std::collections::BTreeMap;

/// What each synonym means. Words that resemble a known one by chance mean nothing: an empty text.
pub fn synonyms() -> BTreeMap<&'static str, &'static str> {
    let meaning = |&(meaning, synonyms): &(&'static str, &'static str)| {
        synonyms.split(',').map(move |synonym| (synonym.trim(), meaning))
    };
    let other = UNRELATED.iter().flat_map(|line| line.split_whitespace()).map(|word| (word, ""));
    OBJECTS.iter().chain(LANDS).chain(SKY).chain(STYLES).chain(JOINING).flat_map(meaning).chain(other).collect()
}

/// A meaning, and its synonyms between commas.
type Entry = (&'static str, &'static str);

/// Objects, their colours and sizes.
const OBJECTS: &[Entry] = &[
    (
        "cabin",
        "cabins, barn, barns, hut, huts, shack, shacks, shed, sheds, lodge, lodges, log cabin, log house, log hut",
    ),
    ("cottage", "cottages, chalet, chalets, bungalow, bungalows"),
    ("house", "houses, home, homes, farmhouse, farmhouses, farm, farms, ranch, villa, villas, homestead"),
    ("lighthouse", "lighthouses, light house, light houses, beacon, beacons"),
    ("sailboat", "sailboats, sail boat, sail boats, sailing boat, sailing boats, sailing ship, sailing ships"),
    ("sailboat", "yacht, yachts, dinghy, dinghies, schooner, schooners, sloop, sloops, catamaran, catamarans"),
    ("boat", "boats, ship, ships, vessel, vessels"),
    ("pines", "fir, firs, spruce, spruces, conifer, conifers, evergreen, evergreens, cedar, cedars"),
    ("pine trees", "pine tree, fir tree, fir trees, spruce tree, spruce trees, conifer trees, evergreen trees"),
    ("pine trees", "christmas tree, christmas trees"),
    ("palm tree", "palmtree, coconut tree, coconut palm, date palm"),
    ("palm trees", "palmtrees, coconut trees, coconut palms, date palms"),
    ("tent", "tents, camping tent, camp, campsite, camping, tipi, tepee, teepee"),
    ("flowers", "flower, rose, roses, tulip, tulips, daisy, daisies, lily, lilies"),
    ("red flowers", "poppy, poppies"),
    ("yellow flowers", "sunflower, sunflowers, daffodil, daffodils, buttercup, buttercups"),
    ("blue flowers", "bluebell, bluebells, cornflower, cornflowers"),
    ("purple flowers", "lavender, crocus, crocuses"),
    ("wildflowers", "wildflower, wild flower, wild flowers"),
    ("campfire", "campfires, camp fire, camp fires, bonfire, bonfires"),
    ("fire", "fires, flame, flames"),
    ("bridge", "bridges, viaduct, viaducts, aqueduct, aqueducts, footbridge"),
    ("windmill", "windmills, wind mill, wind mills, mill, mills"),
    ("balloon", "balloons"),
    ("hot air balloon", "hot air balloons"),
    ("birds", "bird, seagull, seagulls, gull, gulls, geese, crows, flock of birds"),
    ("red", "crimson, scarlet, ruby, vermilion"),
    ("blue", "azure, navy, navy blue, cobalt, sapphire, light blue, dark blue, sky blue"),
    ("purple", "violet, lilac, mauve"),
    ("white", "ivory, snow white"),
    ("large", "big, huge, giant, enormous, massive"),
    ("small", "little, tiny"),
    ("distant", "faraway, far off, remote"),
];

/// Lands and seasons.
const LANDS: &[Entry] = &[
    ("mountain", "mount"),
    ("mountains", "alps, mountain range, mountain ranges, mountainous, rockies, himalayas, andes"),
    ("peak", "summit, mountaintop, mountain top"),
    ("peaks", "summits, mountaintops, mountain tops"),
    ("hill", "hillside, hilltop"),
    ("hills", "hillsides, hilltops, foothills, countryside, hilly"),
    ("meadow", "meadows, grassland, grasslands, prairie, prairies, pasture, pastures, field, fields, lawn, grass"),
    ("desert", "deserts, sahara"),
    ("sea", "seas, wave, waves, seascape"),
    ("ocean", "oceans, atlantic, pacific"),
    ("coast", "coasts, coastline, shoreline, seashore, shore, shores, seaside, coastal, bay"),
    ("beach", "beaches, sandy beach"),
    ("sand", "sandy"),
    ("lake", "lakes, pond, ponds, tarn, loch"),
    ("river", "rivers, stream, streams, creek, creeks, brook, brooks, riverside"),
    ("forest", "forests, woodland, woodlands, rainforest, jungle, grove, groves"),
    ("woods", "wood"),
    ("city", "cities, metropolis, downtown, cityscape"),
    ("skyline", "skylines"),
    ("skyscrapers", "skyscraper, high rises, tower blocks"),
    ("village", "villages, hamlet, hamlets"),
    ("town", "towns"),
    ("canyon", "canyons, gorge, gorges, ravine, ravines, grand canyon"),
    ("volcano", "volcanoes, volcanos, volcanic"),
    ("volcano with lava", "erupting volcano, volcanic eruption, eruption"),
    ("lava", "magma"),
    ("reflections", "reflection, mirrored, reflected"),
    ("snow", "frost, snows"),
    ("snowy", "snow capped, snowcapped, snow covered, snowcovered, snow topped, snow clad, frosty, icy"),
    ("winter", "wintry, wintertime"),
    ("spring", "springtime"),
    ("blooming", "flowering, blossoming"),
    ("blossom", "blossoms, bloom"),
    ("summer", "summertime"),
    ("green", "lush, verdant, grassy"),
    ("autumn", "autumnal, fall colors, fall colours, autumn colors, autumn colours, autumn leaves, fall leaves"),
    ("autumn", "fall foliage, autumn foliage"),
];

/// Times of day, weather, sun, moon and stars.
const SKY: &[Entry] = &[
    ("dawn", "daybreak, first light, sunup"),
    ("sunrise", "sunrises, sun rise, rising sun"),
    ("morning", "mornings"),
    ("noon", "midday, noontime, high noon"),
    ("daylight", "daytime, afternoon, afternoons"),
    ("golden hour", "magic hour"),
    ("golden light", "amber light, warm light"),
    ("golden", "gold"),
    ("sunset", "sunsets, sun set, sundown, setting sun"),
    ("dusk", "twilight, nightfall"),
    ("evening", "evenings, eve"),
    ("night", "nights, nighttime, night time, nocturnal, tonight"),
    ("aurora", "auroras, aurora borealis"),
    ("northern lights", "northern light, polar lights, polar light"),
    ("clear sky", "blue sky, blue skies, clear skies, cloudless sky, cloudless skies"),
    ("clear", "cloudless"),
    ("clouds", "cloud"),
    ("cloudy", "overcast"),
    ("cloudy sky", "overcast sky, cloudy skies, grey sky, gray sky, grey skies, gray skies"),
    ("sky", "skies"),
    ("fog", "haze"),
    ("foggy", "hazy"),
    ("mist", "mists"),
    ("rain", "raining, rainfall, downpour, drizzle, showers, rainstorm, storm, storms, thunderstorm, thunderstorms"),
    ("rainy", "stormy, drizzly"),
    ("snowfall", "blizzard, blizzards, snowstorm, snowstorms, snow storm, snowflake, snowflakes"),
    ("falling snow", "snowing"),
    ("rainbow", "rainbows"),
    ("sunshine", "sun shine"),
    ("sunlight", "sunbeam, sunbeams, sunrays, sun rays, sun light"),
    ("sunny", "sunlit, sun lit"),
    ("full moon", "harvest moon"),
    ("moonlight", "moonbeams, moon light"),
    ("moonlit", "moon lit"),
    ("crescent moon", "half moon, sickle moon, quarter moon"),
    ("stars", "star, starlight, milky way, constellation, constellations"),
    ("starry", "starlit, star filled"),
];

/// Styles of pictures, and what people say of any picture.
const STYLES: &[Entry] = &[
    ("photo", "photos, photorealistic, snapshot"),
    ("photograph", "photographs, photography"),
    ("watercolor", "watercolors, water color, water colors, aquarelle, aquarelles"),
    ("watercolour", "watercolours, water colour, water colours"),
    ("painting", "paintings"),
    ("poster", "posters, illustration, illustrations, vector art, flat design"),
    ("sketch", "sketches, doodle"),
    ("drawing", "drawings"),
    ("pencil", "charcoal, graphite"),
    ("picture", "pictures, image, images, pic"),
    ("view", "views, vista, panorama, landscape, landscapes, scenery"),
    ("beautiful", "lovely, pretty, gorgeous, stunning, scenic, picturesque"),
    ("peaceful", "tranquil, serene, quiet, idyllic"),
    ("majestic", "mighty, magnificent, imposing"),
];

/// Words between others.
const JOINING: &[Entry] = &[
    ("near", "nearby, close to, close by"),
    ("under", "beneath, underneath"),
    ("beside", "alongside"),
    ("on", "upon, atop"),
    ("over", "across"),
    ("in", "inside, within, amid, among"),
    ("above", "overlooking"),
    ("with", "featuring"),
    ("in the distance", "in the background, on the horizon"),
    ("center", "centered"),
    ("centre", "centred"),
    ("left", "left side, left hand side"),
    ("right", "right side, right hand side"),
];

/// Words of their own that are spelt like a known one. Without this list a horse would be read as a house.
const UNRELATED: &[&str] = &[
    "actress atlanta atlantis ballots ballroom beat beech bench bleach blow blowing blur boar boast bolt booming boot",
    "breach bride bridle cabinet calf call calling campaign canning cannon carving cast casting casts causing cellars",
    "censored centaur century charles chasers citizen citizens clam clean coat collage conquer consider cost costs",
    "courage crosses damn daring darn defeats descent deserve deserves desires desk dessert dine disk dissent",
    "distinct down drafting dragging drawn dreaming driving drowning duck dude duke dumping dust dusting fail failing",
    "fairway fare farming feat feeling fell fielder file fill filling fine fired firm five flag flakes flap flares",
    "flashes flaw float flooring florist flowing flyover followers font forecast forestry formats frames fuel goggles",
    "goldman graves greed greek greet grooves hall halls hammers harmless hell horse horses hose hull improving",
    "insider inspire jingle lace lame lane larva late lent lest lift like lively loft lonely luke maintain massage",
    "mast meaning mint miss moan moist mood moor most mourning must neal neat neon nest newt nook noun oven overcame",
    "overpass pairing pale parenting parting pastors pastries pear peas peat peck peek perk pies pile pink pint pints",
    "pipe planting pointers pointing popping porter possess posted potter praises printing psalm puppies purpose",
    "rafting raid rail raising ranking rapping ratings raving rein rejected rejection remove removed respected rider",
    "roaming roaring roofing rooting routing rover ruin ruining sacks said sane sang sank scars scone scores scream",
    "screams sears send serpent shall shares sharks shocks shoes shorts show showing shows slow slowing smell snacks",
    "snoring snowball soars sparring spinning sporting sprint spying stacks stags stairs stall stand standing stare",
    "stark starling start starts steam stole store stores stove straight streak streaks streamers street streets",
    "stretch string studying stuffing summary sundays surprise surprises tend tenth test tests text texts three tint",
    "torn trek trent tries true verdict vermont villain vintage violate violent while whine width winner wish wishing",
    "witch woodward wool word words write",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::words;

    #[test]
    fn synonyms_mean_known_words_and_are_none_themselves() {
        let known = words();
        let is_known = |word: &str| known.iter().any(|known| known == word);
        let synonyms = synonyms();
        for (synonym, meaning) in &synonyms {
            assert!(meaning.split_whitespace().all(is_known), "{synonym:?} means {meaning:?}");
            let words: Vec<&str> = synonym.split(' ').collect();
            assert!((1..=3).contains(&words.len()), "{synonym:?} is too long");
            let letters = |word: &&str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase());
            assert!(words.iter().all(letters), "{synonym:?} is no words in lower case");
            assert!(words.len() > 1 || !is_known(synonym) || meaning.is_empty(), "{synonym:?} is a known word");
        }
        let meaningful = synonyms.values().filter(|meaning| !meaning.is_empty()).count();
        assert!(meaningful >= 200, "{meaningful}");
    }

    #[test]
    fn no_synonym_is_listed_twice() {
        let tables = OBJECTS.iter().chain(LANDS).chain(SKY).chain(STYLES).chain(JOINING);
        let listed = tables.flat_map(|(_, synonyms)| synonyms.split(',')).count();
        let unrelated = UNRELATED.iter().flat_map(|line| line.split_whitespace()).count();
        assert_eq!(synonyms().len(), listed + unrelated);
    }
}
