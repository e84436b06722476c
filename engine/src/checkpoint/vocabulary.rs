//! `vocabulary.json`: the words that a small model was trained on. `instaflow-trainer export` writes it beside a pair; a
//! model folder may have one too. It does not affect any picture, so a model opens even if the file is damaged.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::files::{CONFIG_LIMIT, Files};
use crate::Result;
use crate::protocol::{WordClass, WordGroup, Words};
use crate::text::{LONGEST_SYNONYM, words_of};

/// The file's name.
pub(super) const FILE: &str = "vocabulary.json";

/// Most words and phrases in a file. Pocket has some hundreds.
const MOST: usize = 10_000;
/// Most letters of a word, a name or a phrase.
const LONGEST: usize = 80;
/// Most letters of an example.
const LONGEST_EXAMPLE: usize = 400;

#[derive(Deserialize)]
struct Vocabulary {
    groups: Vec<Group>,
    /// Every known word, and the groups that it belongs to.
    words: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    examples: Vec<String>,
    /// What other words are read as.
    #[serde(default)]
    synonyms: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
    phrases: Vec<String>,
}

/// Whether a folder holds the file.
pub(super) fn is_in(files: &Files) -> bool {
    files.names().iter().any(|name| name == FILE)
}

/// Reads a folder's `vocabulary.json`; `None` if there is none. All phrases in the result consist of known words.
pub(super) fn read(files: &Files) -> Result<Option<Words>> {
    let Some(text) = files.read_text(FILE, CONFIG_LIMIT)? else { return Ok(None) };
    let advice = "the model is used without it; write it again with `instaflow-trainer export`, or delete it";
    let fault = |what: String| files.fault(FILE, format!("{what}: {advice}"));
    let vocabulary: Vocabulary =
        serde_json::from_str(&text).map_err(|error| fault(format!("is not a list of words ({error})")))?;
    check(&vocabulary).map_err(fault)?;
    let classes = |classes: Vec<Class>| classes.into_iter().map(|Class { name, phrases }| WordClass { name, phrases });
    let groups = vocabulary.groups.into_iter();
    Ok(Some(Words {
        known: vocabulary.words.into_keys().collect(),
        groups: groups.map(|group| WordGroup { name: group.name, classes: classes(group.classes).collect() }).collect(),
        examples: vocabulary.examples,
        synonyms: vocabulary.synonyms,
    }))
}

/// What is wrong, as part of a sentence.
fn check(vocabulary: &Vocabulary) -> Result<(), String> {
    let known: BTreeSet<&str> = vocabulary.words.keys().map(String::as_str).collect();
    if known.is_empty() {
        return Err("lists no words".to_owned());
    }
    let classes = || vocabulary.groups.iter().flat_map(|group| &group.classes);
    let phrases = || classes().flat_map(|class| &class.phrases);
    if known.len()
        + vocabulary.groups.len()
        + classes().count()
        + phrases().count()
        + vocabulary.examples.len()
        + vocabulary.synonyms.len()
        > MOST
    {
        return Err(format!("holds more than {MOST} words and phrases"));
    }
    for word in &known {
        if !is_word(word) {
            return Err(format!(
                "lists \"{}\" as a word, but a word must be lower-case letters or digits",
                shown(word)
            ));
        }
    }
    let groups = vocabulary.groups.iter().map(|group| &group.name);
    for name in groups.chain(classes().map(|class| &class.name)).chain(phrases()) {
        one_line(name, LONGEST)?;
    }
    for (synonym, meaning) in &vocabulary.synonyms {
        let parts: Vec<&str> = synonym.split(' ').collect();
        if parts.len() > LONGEST_SYNONYM || !parts.iter().all(|part| is_word(part)) || synonym.len() > LONGEST {
            let expected = format!("1 to {LONGEST_SYNONYM} words in lower case");
            return Err(format!("lists \"{}\" as a synonym, which must be {expected}", shown(synonym)));
        }
        if let Some(word) = meaning.split_whitespace().find(|word| !known.contains(word)) {
            return Err(format!("reads \"{}\" as \"{}\", which is not among its words", shown(synonym), shown(word)));
        }
    }
    for text in phrases().chain(&vocabulary.examples) {
        one_line(text, LONGEST_EXAMPLE)?;
        if let Some(word) = words_of(text).map(|word| &text[word]).find(|word| !known.contains(&*word.to_lowercase())) {
            return Err(format!("says \"{}\", but \"{}\" is not among its words", shown(text), shown(word)));
        }
    }
    Ok(())
}

/// Whether this is one word in lower case.
fn is_word(word: &str) -> bool {
    let mut parts = words_of(word);
    parts.next() == Some(0..word.len()) && parts.next().is_none() && word == word.to_lowercase()
}

fn one_line(text: &str, longest: usize) -> Result<(), String> {
    if text.trim().is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(format!("holds \"{}\", but one line of 1 to {longest} letters is expected", shown(text)));
    }
    Ok(())
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "groups": [{ "name": "time", "classes": [{ "name": "night", "phrases": ["at night", "moon-lit"] }] }],
        "words": { "at": [], "night": ["time"], "moon": ["time"], "lit": ["time"], "lake": [] },
        "examples": ["Lake, at night!"],
        "synonyms": { "pond": "lake", "late at night": "at night", "like": "" }
    }"#;

    fn folder(vocabulary: &str) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(folder.path().join(FILE), vocabulary).expect("a folder that can be written");
        let files = Files::open_folder(folder.path()).expect("it is a folder");
        (folder, files)
    }

    #[test]
    fn a_good_file_is_read_whole_and_none_is_no_fault() {
        let (folder, files) = folder(GOOD);
        let words = read(&files).expect("it is good").expect("it is there");
        assert_eq!(words.known.len(), 5);
        assert_eq!(words.groups[0].classes[0].phrases, ["at night", "moon-lit"]);
        assert_eq!(words.examples, ["Lake, at night!"]);
        assert_eq!(words.synonyms["late at night"], "at night");
        std::fs::remove_file(folder.path().join(FILE)).expect("it can be deleted");
        assert_eq!(read(&files).expect("nothing is wrong"), None);
    }

    #[test]
    fn a_bad_file_gets_one_sentence() {
        let long = format!("\"{}\"", "lake ".repeat(100));
        for (from, to, expected) in [
            ("{", "", "is not a list"),
            ("\"words\"", "\"wrods\"", "missing field `words`"),
            ("\"lake\"", "\"Lake\"", "\"Lake\" as a word"),
            ("\"lake\"", "\"mountain lake\"", "\"mountain lake\" as a word"),
            ("\"lake\"", "\"\"", "\"\" as a word"),
            ("moon-lit", "moon-bright", "\"bright\" is not among"),
            ("\"pond\"", "\"Pond\"", "\"Pond\" as a synonym"),
            ("\"pond\"", "\"pond-lake\"", "\"pond-lake\" as a synonym"),
            ("late at night", "very late at night", "1 to 3 words"),
            ("\"pond\": \"lake\"", "\"pond\": \"water\"", "\"water\", which is not among"),
            ("Lake, at", "Boat, at", "\"Boat\" is not among"),
            ("\"name\": \"time\"", "\"name\": \"ti\\nme\"", "one line"),
            ("\"at night\"", &long, "1 to 80 letters"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let (_folder, files) = folder(&GOOD.replacen(from, to, 1));
            let error = read(&files).expect_err(to).to_string();
            assert!(error.contains(expected) && error.contains(FILE), "{error}");
            assert!(error.contains("the model is used without it"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let (_folder, files) = folder(r#"{ "groups": [], "words": {} }"#);
        assert!(read(&files).expect_err("no word").to_string().contains("lists no words"));
    }
}
