//! CLIP's tokenizer, for checkpoints in one file, which have none. `assets/clip/merges.txt.gz` is its list of merges; the
//! vocabulary follows from it: the bytes, the bytes at the end of a word, what each merge makes, and two marks.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Map, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::Base;
use crate::text::tokenizer::MOST_MERGES;

static MERGES: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/clip/merges.txt.gz"));

/// A file of a `tokenizer/` folder of Stable Diffusion; `None` if there is none of this name.
pub(super) fn file(name: &str, base: Base) -> Option<Vec<u8>> {
    match name {
        "merges.txt" => Some(merges()),
        "vocab.json" => Some(vocabulary()),
        // Stable Diffusion 2 fills up with the token 0, Stable Diffusion 1 with end marks.
        "special_tokens_map.json" if base == Base::Sd2 => Some(json!({ "pad_token": "!" }).to_string().into_bytes()),
        "tokenizer_config.json" => Some(json!({ "model_max_length": 77 }).to_string().into_bytes()),
        _ => None,
    }
}

fn merges() -> Vec<u8> {
    let mut text = Vec::new();
    // What is compiled in is whole: a test reads it. Without merges the tokenizer says that they do not fit.
    let _ = GzDecoder::new(MERGES).read_to_end(&mut text);
    text
}

fn vocabulary() -> Vec<u8> {
    let text = String::from_utf8(merges()).unwrap_or_default();
    let mut bytes: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    bytes.sort();
    let ends: Vec<String> = bytes.iter().map(|byte| format!("{byte}</w>")).collect();
    let made = text.lines().skip(1).take(MOST_MERGES).map(|merge| merge.replace(' ', ""));
    let marks = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    let tokens = bytes.into_iter().chain(ends).chain(made).chain(marks);
    let table: Map<_, _> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    serde_json::Value::from(table).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::fixture;
    use serde_json::Value;

    use super::*;

    #[test]
    fn it_is_the_published_tokenizer() {
        let published = |name: &str| std::fs::read(fixture("model/tokenizer").join(name)).expect("the fixture");
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        let ours = |name: &str| file(name, Base::Sd1).expect("it is there");
        assert!(ours("merges.txt") == published("merges.txt"), "the merges differ");
        assert!(json(&ours("vocab.json")) == json(&published("vocab.json")), "the vocabularies differ");
    }

    #[test]
    fn stable_diffusion_2_fills_up_with_another_token() {
        assert_eq!(file("special_tokens_map.json", Base::Sd1), None);
        assert!(file("special_tokens_map.json", Base::Sd2).is_some());
        assert_eq!(file("tokenizer.json", Base::Sd1), None);
    }
}
