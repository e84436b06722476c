//! The words that a small model knows: plain data for a window that shows them. How they are read from a model
//! folder is `checkpoint::vocabulary`'s, and `text::known_words` finds the unknown words of a prompt.

use std::collections::{BTreeMap, BTreeSet};

/// The words that a model knows, if they are few enough to name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Every known word, lower case.
    pub known: BTreeSet<String>,
    /// What they speak of, for a person to choose from; empty where nobody wrote it down.
    pub groups: Vec<WordGroup>,
    /// Prompts that show what the model knows.
    pub examples: Vec<String>,
    /// Words and phrases that a prompt may use, lower case, and the known words that they are read as; an empty text for
    /// a word that is spelt like a known one and means something else. If there are none, prompts are read as they are.
    pub synonyms: BTreeMap<String, String>,
}

/// Something about a picture that words can choose: the time of day, the land …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordGroup {
    /// What it is called.
    pub name: String,
    /// What there is to choose from.
    pub classes: Vec<WordClass>,
}

/// One of several things to choose, and how to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordClass {
    /// What it is called.
    pub name: String,
    /// Ways to say it in a prompt.
    pub phrases: Vec<String>,
}
