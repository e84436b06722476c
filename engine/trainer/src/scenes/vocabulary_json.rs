//! The vocabulary of the captions as data, for a program that draws with the pair and shows which words it knows. Change
//! here the examples; everything else follows from the lexicon.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::attributes::HEADS;
use super::lexicon::{phrases, words};
use super::synonyms::synonyms;

/// Prompts that show what the scenes hold. All of their words are in the lexicon.
pub const EXAMPLES: &[&str] = &[
    "a photograph of a snowy mountain near a beautiful lake under sunshine",
    "a lake at night under the stars with a campfire on the left",
    "a sea at sunset with a red sailboat on the left",
    "a watercolor of a village in spring",
    "a yellow tent on the right near the mountains under the northern lights",
    "a poster of a purple balloon in the middle of the desert",
    "a cabin on the right in the snow at night under a crescent moon",
    "a watercolor of green hills with a blue balloon on the left in the morning",
    "a pencil sketch of a windmill on the hills on the right",
    "a volcano with lava at dusk",
    "green hills at noon with a rainbow",
    "a red tent on the left near the mountains at noon",
];

/// What `vocabulary.json` holds:
///
/// - `groups`: for each attribute its `name` and its `classes`, each with a `name`, which a prompt may use as it is, and
///   the `phrases` that name it in captions; classes that no word names ("absent") are left out;
/// - `words`: for each word the names of the groups that it can belong to, none for words that only join others;
/// - `synonyms`: for each word or phrase that captions do not use the known words that it is read as, none (an empty text)
///   for a word that only looks like a known one;
/// - `examples`: prompts.
pub fn vocabulary() -> Value {
    let mut meanings: BTreeMap<String, BTreeSet<&str>> =
        words().into_iter().map(|word| (word, BTreeSet::new())).collect();
    let joining: BTreeSet<&str> =
        super::lexicon::JOINING.concat().into_iter().flat_map(str::split_whitespace).collect();
    let mut groups = Vec::new();
    for (index, head) in HEADS.iter().enumerate() {
        let mut classes = Vec::new();
        for (class, name) in head.classes.iter().enumerate() {
            let mut said = phrases(index, class);
            let mut seen = BTreeSet::new();
            said.retain(|phrase| seen.insert(*phrase));
            if said.is_empty() {
                continue;
            }
            for word in said.iter().flat_map(|phrase| phrase.split([' ', '-'])) {
                if !joining.contains(word) {
                    meanings.entry(word.to_owned()).or_default().insert(head.name);
                }
            }
            classes.push(json!({"name": name, "phrases": said}));
        }
        groups.push(json!({"name": head.name, "classes": classes}));
    }
    json!({"groups": groups, "words": meanings, "synonyms": synonyms(), "examples": EXAMPLES})
}
