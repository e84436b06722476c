//! Captions use the listed words, say only what is there, and record what they mention; the exported vocabulary agrees.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{HEADS, Land, Object, Style, Time};
use super::caption::OBJECT;
use super::lexicon::phrases;
use super::vocabulary_json::{EXAMPLES, vocabulary};
use super::*;

/// The words of a text.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '.', '-']).filter(|word| !word.is_empty())
}

/// For each word the classes (head, class) that it helps to name.
fn meanings() -> BTreeMap<&'static str, BTreeSet<(usize, usize)>> {
    let mut meanings: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let joining: BTreeSet<&str> = lexicon::JOINING.concat().into_iter().flat_map(split).collect();
    for (head, classes) in HEADS.iter().enumerate() {
        for class in 0..classes.classes.len() {
            for word in phrases(head, class).into_iter().flat_map(split).filter(|word| !joining.contains(word)) {
                meanings.entry(word).or_default().insert((head, class));
            }
        }
    }
    // A lake lies among mountains, and may be called by them.
    let lake = (3, Land::Lake as usize);
    for word in ["mountain", "mountains"] {
        meanings.entry(word).or_default().insert(lake);
    }
    // An aurora is seen at night.
    for word in phrases(1, Time::Night as usize).into_iter().flat_map(split) {
        if let Some(meant) = meanings.get_mut(word) {
            meant.insert((1, Time::Aurora as usize));
        }
    }
    meanings
}

/// No object: a caption says it by naming none.
const NOTHING: (usize, usize) = (OBJECT, Object::Absent as usize);

/// Whether a caption can name a class.
fn sayable(head: usize, class: usize) -> bool {
    !phrases(head, class).is_empty() || (head, class) == NOTHING
}

#[test]
fn captions_say_all_words_and_no_others() {
    let known: BTreeSet<String> = words().into_iter().collect();
    assert_eq!(known.len(), words().len(), "words() repeats a word");
    assert!(known.len() <= 160, "{} words", known.len());
    let mut said = BTreeSet::new();
    for seed in 0..12_000 {
        let caption = sample(seed).caption(seed % 5);
        assert!(caption.is_ascii(), "{caption:?}: `pair_prompts.rs` cuts captions between bytes");
        for word in split(&caption) {
            assert!(known.contains(word), "{word:?} in {caption:?} is not in words()");
            said.insert(word.to_owned());
        }
        assert!(!caption.contains("  ") && !caption.starts_with(' ') && !caption.ends_with(' '), "{caption:?}");
    }
    assert_eq!(said, known, "words() lists a word that no caption says");
}

#[test]
fn captions_say_only_what_is_there_and_record_what_they_mention() {
    let meanings = meanings();
    for seed in 0..3000 {
        let scene = sample(seed);
        let classes = scene.attributes.classes();
        let Caption { text, mentioned, .. } = scene.describe(seed % 7);
        for word in split(&text) {
            let Some(meant) = meanings.get(word) else { continue };
            let true_of_it = |&&(head, class): &&(usize, usize)| classes[head] == class;
            assert!(meant.iter().any(|meant| true_of_it(&meant)), "{word:?} in {text:?}: {:?}", scene.attributes);
            // A word with only one meaning names its class.
            if let (1, Some(&(head, _))) = (meant.len(), meant.first()) {
                assert!(mentioned[head], "{word:?} names the {} in {text:?}", HEADS[head].name);
            }
        }
        for (head, _) in mentioned.iter().enumerate().filter(|(_, mentioned)| **mentioned) {
            let lake = head == 3 && scene.attributes.land == Land::Lake;
            let named = phrases(head, classes[head]).iter().any(|phrase| text.contains(phrase));
            let nothing = (head, classes[head]) == NOTHING;
            assert!(
                named || nothing || (lake && text.contains("lake")),
                "{} is not mentioned: {text:?}",
                HEADS[head].name
            );
        }
    }
}

#[test]
fn every_class_is_mentioned_and_every_part_except_the_object_is_left_out_at_times() {
    let mut mentioned = HEADS.map(|head| vec![0; head.classes.len()]);
    let mut silent = [0; HEADS.len()];
    for seed in 0..6000 {
        let scene = sample(seed);
        let caption = scene.describe(0);
        for (head, class) in scene.attributes.classes().into_iter().enumerate() {
            if caption.mentioned[head] {
                mentioned[head][class] += 1;
            } else {
                silent[head] += 1;
            }
        }
    }
    for (head, classes) in HEADS.iter().enumerate() {
        let at_times = if head == OBJECT { silent[head] == 0 } else { silent[head] > 200 };
        assert!(at_times, "{} is left out in {} of 6000 captions", classes.name, silent[head]);
        for (class, name) in classes.classes.iter().enumerate() {
            let said = mentioned[head][class];
            assert_eq!(
                said > 20,
                sayable(head, class),
                "{} {name}: mentioned in {said} of 6000 captions",
                classes.name
            );
        }
    }
}

#[test]
fn an_aurora_is_said_to_be_at_night_now_and_then() {
    let (mut auroras, mut nights) = (0, 0);
    for scene in (0..6000).map(sample).filter(|scene| scene.attributes.time == Time::Aurora) {
        let Caption { text, mentioned, .. } = scene.describe(3);
        auroras += usize::from(mentioned[1]);
        nights += usize::from(text.contains("night"));
        assert!(mentioned[1] || !text.contains("night"), "{text:?} names a night without an aurora");
    }
    assert!((auroras / 8..auroras / 3).contains(&nights), "{nights} of {auroras}");
}

#[test]
fn a_full_description_mentions_everything_that_has_words() {
    for seed in 0..1000 {
        let scene = sample(seed);
        let Caption { text, mentioned, .. } = scene.describe_fully(seed);
        for (head, class) in scene.attributes.classes().into_iter().enumerate() {
            assert_eq!(mentioned[head], sayable(head, class), "{}: {text:?}", HEADS[head].name);
        }
    }
}

#[test]
fn a_training_caption_has_a_strange_word_now_and_then() {
    let known: BTreeSet<String> = words().into_iter().collect();
    let mut strange = 0;
    for seed in 0..3200 {
        let (plain, trained) = (sample(seed).caption(9), sample(seed).training_caption(9).text);
        if plain != trained {
            strange += 1;
            let unknown: Vec<&str> = split(&trained).filter(|word| !known.contains(*word)).collect();
            assert_eq!(unknown.len(), 1, "{trained:?}");
            let rest: Vec<&str> = trained.split(' ').filter(|word| *word != unknown[0]).collect();
            assert_eq!(rest.join(" "), plain);
        }
    }
    assert!((140..260).contains(&strange), "{strange} of 3200");
}

#[test]
fn captions_of_one_scene_differ() {
    for seed in 0..500 {
        let captions: BTreeSet<String> = (0..8).map(|variant| sample(seed).caption(variant)).collect();
        assert!(captions.len() >= 5, "{captions:?}");
    }
}

#[test]
fn a_picture_without_a_named_style_is_a_photograph() {
    for seed in 0..2000 {
        let scene = sample(seed);
        let caption = scene.describe(1);
        assert!(caption.mentioned[0] || scene.attributes.style == Style::Photograph, "{}", caption.text);
    }
}

#[test]
fn the_words_of_the_papers_prompt_are_known() {
    let known: BTreeSet<String> = words().into_iter().collect();
    let prompt = "A photograph of a snowy mountain near a beautiful lake under sunshine.".to_lowercase();
    for word in split(&prompt) {
        assert!(known.contains(word), "{word}");
    }
}

#[test]
fn the_exported_vocabulary_has_every_word_and_known_examples() {
    let exported = vocabulary();
    let known: BTreeSet<String> = words().into_iter().collect();
    let exported_words: BTreeSet<String> =
        exported["words"].as_object().into_iter().flatten().map(|(word, _)| word.clone()).collect();
    assert_eq!(exported_words, known);
    let groups = exported["groups"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(groups.len(), HEADS.len());
    for (group, head) in groups.iter().zip(HEADS) {
        assert_eq!(group["name"], head.name);
        let classes = group["classes"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(!classes.is_empty(), "{}", head.name);
        for class in classes {
            assert!(head.classes.iter().any(|name| class["name"] == *name), "{class}");
            let name = class["name"].as_str().unwrap_or_default();
            assert!(split(name).all(|word| known.contains(word)), "{name:?} is no prompt");
            for phrase in class["phrases"].as_array().into_iter().flatten() {
                assert!(phrase.as_str().into_iter().flat_map(split).all(|word| known.contains(word)), "{phrase}");
            }
        }
    }
    assert_eq!(exported["words"]["lake"], serde_json::json!(["land"]));
    assert_eq!(exported["words"]["near"], serde_json::json!([]), "it joins words as well as placing things");
    for example in EXAMPLES {
        assert!(split(example).all(|word| known.contains(word)), "{example}");
    }
}

/// The pair that ships says what its lexicon and its synonyms are now.
#[test]
fn the_shipped_vocabulary_is_the_one_that_export_writes() -> serde_json::Result<()> {
    let shipped: serde_json::Value = serde_json::from_str(include_str!("../../../../assets/pocket/vocabulary.json"))?;
    assert!(shipped == vocabulary(), "run `instaflow-trainer vocabulary assets/pocket/vocabulary.json`");
    Ok(())
}

/// The text encoder sees 48 tokens, two of them marks.
#[test]
fn captions_fit_into_the_text_encoder() {
    for seed in 0..8000 {
        let scene = sample(seed);
        for text in [scene.training_caption(seed).text, scene.describe_fully(seed).text] {
            let marks = text.matches([',', '.', '-']).count();
            // A made-up word is at most a token for each letter.
            assert!(split(&text).count() + marks <= 38, "{text:?}");
        }
    }
}
