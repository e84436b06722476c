//! A byte-level BPE vocabulary in CLIP's form, in which every word of the scenes' captions is one token.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use instaflow_engine::text::Tokenizer;
use serde_json::{Map, Value, json};

use crate::file_io;

/// Merges in the order of their rank, and the tokens in the order of their ids.
pub struct BpeVocabulary {
    merges: Vec<(String, String)>,
    tokens: Vec<String>,
}

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

impl BpeVocabulary {
    /// Learns merges (Sennrich, Haddow and Birch, ACL 2016, algorithm 1) until every word is one token. Merging by rank,
    /// as tokenizers do, repeats what happened here, so that the words come out whole.
    pub fn learn(words: &[String]) -> Self {
        let alphabet = byte_alphabet();
        let mut pieces: Vec<Vec<String>> = words.iter().map(|word| split(word, &alphabet)).collect();
        let mut merges = Vec::new();
        loop {
            let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for pair in pieces.iter().flat_map(|word| word.windows(2)) {
                *counts.entry((&pair[0], &pair[1])).or_default() += 1;
            }
            // The first of equals, in the order of the letters.
            let Some((&(left, right), _)) =
                counts.iter().max_by_key(|(pair, count)| (**count, std::cmp::Reverse(**pair)))
            else {
                break;
            };
            let merge = (left.to_owned(), right.to_owned());
            for word in &mut pieces {
                join(word, &merge);
            }
            merges.push(merge);
        }
        let mut letters: Vec<char> = alphabet.to_vec();
        letters.sort_unstable();
        let mut tokens: Vec<String> = letters.iter().map(char::to_string).collect();
        tokens.extend(letters.iter().map(|letter| format!("{letter}</w>")));
        for (left, right) in &merges {
            let merged = format!("{left}{right}");
            if !tokens.contains(&merged) {
                tokens.push(merged);
            }
        }
        tokens.extend([START.to_owned(), END.to_owned()]);
        Self { merges, tokens }
    }

    /// Writes the files of a CLIP tokenizer whose prompts have at most `limit` tokens.
    pub fn write(&self, folder: &Path, limit: usize) -> Result<()> {
        let ids: Map<String, Value> = self.tokens.iter().enumerate().map(|(id, t)| (t.clone(), json!(id))).collect();
        let merges: Vec<String> = self.merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
        let mark = |content: &str| json!({"content": content, "lstrip": false, "normalized": true, "rstrip": false, "single_word": false});
        let special = |content: &str| {
            let mut token = mark(content);
            token["special"] = json!(true);
            token
        };
        let (start, end) = (self.tokens.len() - 2, self.tokens.len() - 1);
        file_io::write(&folder.join("vocab.json"), serde_json::to_string(&ids)?.as_bytes())?;
        file_io::write(&folder.join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n")).as_bytes())?;
        let map = json!({"bos_token": mark(START), "eos_token": mark(END), "pad_token": END, "unk_token": mark(END)});
        file_io::write_json(&folder.join("special_tokens_map.json"), &map)?;
        let config = json!({
            "added_tokens_decoder": {start.to_string(): special(START), end.to_string(): special(END)},
            "bos_token": START,
            "clean_up_tokenization_spaces": false,
            "do_lower_case": true,
            "eos_token": END,
            "errors": "replace",
            "model_max_length": limit,
            "pad_token": END,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": END,
        });
        file_io::write_json(&folder.join("tokenizer_config.json"), &config)
    }
}

/// Number of tokens in a folder that [`BpeVocabulary::write`] wrote.
pub fn size(folder: &Path) -> Result<usize> {
    let path = folder.join("vocab.json");
    let text = std::fs::read(&path)
        .with_context(|| format!("{} is not there: run `instaflow-trainer tokenizer` first", path.display()))?;
    let ids: Map<String, Value> =
        serde_json::from_slice(&text).with_context(|| format!("{} is not a vocabulary", path.display()))?;
    Ok(ids.len())
}

/// That every word is one token between the two marks, as the engine reads the files.
pub fn check(tokenizer: &Tokenizer, words: &[String], vocabulary: usize) -> Result<()> {
    let end = vocabulary as u32 - 1;
    for word in words {
        let ids = tokenizer.encode(word);
        let whole = ids.len() > 2 && ids[0] == end - 1 && ids[1] < end - 1 && ids[2..].iter().all(|&id| id == end);
        ensure!(whole, "the word {word:?} is not one token: {ids:?}");
    }
    Ok(())
}

/// The letter that stands for each byte: itself where it can be seen, else one from U+0100 on (GPT-2's table).
fn byte_alphabet() -> [char; 256] {
    let mut unseen = 0;
    std::array::from_fn(|byte| match byte as u8 {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte as u8),
        _ => {
            unseen += 1;
            char::from_u32(0xFF + unseen).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    })
}

fn split(word: &str, alphabet: &[char; 256]) -> Vec<String> {
    let mut letters: Vec<String> = word.bytes().map(|byte| alphabet[byte as usize].to_string()).collect();
    if let Some(last) = letters.last_mut() {
        last.push_str("</w>");
    }
    letters
}

fn join(word: &mut Vec<String>, (left, right): &(String, String)) {
    let mut index = 0;
    while index + 1 < word.len() {
        if word[index] == *left && word[index + 1] == *right {
            let tail = word.remove(index + 1);
            word[index].push_str(&tail);
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    #[test]
    fn every_word_is_one_token() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let words = crate::scenes::words();
        BpeVocabulary::learn(&words).write(folder.path(), 48)?;
        let tokenizer = crate::training_run::open_tokenizer(folder.path(), 48)?;
        check(&tokenizer, &words, size(folder.path())?)?;
        let strange = ["mountainous".to_owned()];
        // A word that no caption has.
        assert_error(check(&tokenizer, &strange, size(folder.path())?), "not one token");
        Ok(())
    }

    #[test]
    fn the_alphabet_is_the_published_one() -> Result<()> {
        let published = include_str!("../../../tests/fixtures/tiny-sd/model/tokenizer/vocab.json");
        let ids: BTreeMap<String, usize> = serde_json::from_str(published)?;
        let ours = BpeVocabulary::learn(&[]);
        assert_eq!(ours.tokens.len(), 514);
        for letter in byte_alphabet() {
            assert!(ids.contains_key(&letter.to_string()), "{letter:?}");
            assert!(ids[&format!("{letter}</w>")] >= 256);
        }
        Ok(())
    }
}
