//! What a file's remarks say: `modelspec.*` (Stability AI's standard) and `ss_*` (kohya's training scripts). Both are
//! texts; nothing in them is trusted to have a form.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::protocol::Prediction;

/// A header's `__metadata__`.
pub(super) type Remarks = HashMap<String, String>;

/// Most letters of a title, a word or a licence.
const LONGEST: usize = 200;
/// Most tags.
const MOST_TAGS: usize = 20;
/// Largest thumbnail in bytes of its data URI. The standard asks for 256 × 256 pixels.
const LARGEST_THUMBNAIL: usize = 2 << 20;

/// What the U-Net predicts.
pub(super) fn prediction(remarks: &Remarks) -> Option<Prediction> {
    let says = |key: &str| remarks.get(key).map(|value| value.trim().to_ascii_lowercase());
    match says("modelspec.prediction_type").as_deref() {
        Some("epsilon" | "eps") => return Some(Prediction::Epsilon),
        Some("v" | "v_prediction" | "v-prediction") => return Some(Prediction::V),
        _ => {}
    }
    let v = says("modelspec.architecture").is_some_and(|architecture| architecture.contains("-768-v"))
        || says("ss_v_parameterization").is_some_and(|value| value == "true" || value == "1");
    v.then_some(Prediction::V)
}

/// Its name.
pub(super) fn title(remarks: &Remarks) -> Option<String> {
    line(remarks.get("modelspec.title")).or_else(|| line(remarks.get("ss_output_name")))
}

/// The terms of use.
pub(super) fn licence(remarks: &Remarks) -> Option<String> {
    line(remarks.get("modelspec.license"))
}

/// The words that a prompt needs.
pub(super) fn trigger_words(remarks: &Remarks) -> Vec<String> {
    list(remarks.get("modelspec.trigger_phrase"))
}

/// The maker's tags, then the most frequent words of the training pictures.
pub(super) fn tags(remarks: &Remarks) -> Vec<String> {
    let mut tags = list(remarks.get("modelspec.tags"));
    let trained = remarks.get("ss_tag_frequency").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut counts = BTreeMap::<&str, f64>::new();
    let folders = trained.as_ref().and_then(Value::as_object).into_iter().flat_map(|folders| folders.values());
    for (tag, count) in folders.filter_map(Value::as_object).flatten() {
        *counts.entry(tag.trim()).or_default() += count.as_f64().unwrap_or(0.0);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.total_cmp(&a.1));
    for tag in counts.into_iter().filter_map(|(tag, _)| clean(tag)) {
        if tags.len() >= MOST_TAGS {
            break;
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// A small picture.
pub(super) fn thumbnail(remarks: &Remarks) -> Option<String> {
    let uri = remarks.get("modelspec.thumbnail")?.trim();
    (uri.starts_with("data:image/") && uri.len() <= LARGEST_THUMBNAIL).then(|| uri.to_owned())
}

/// One line of text; `None` if it is empty, or what kohya's scripts write for "none".
fn line(text: Option<&String>) -> Option<String> {
    text.filter(|text| *text != "None").and_then(|text| clean(text))
}

/// The parts between commas.
fn list(text: Option<&String>) -> Vec<String> {
    let parts = text.into_iter().flat_map(|text| text.split([',', '\n']));
    parts.filter_map(clean).take(MOST_TAGS).collect()
}

fn clean(text: &str) -> Option<String> {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(entries: &[(&str, &str)]) -> Remarks {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn modelspec_goes_before_kohya() {
        let both = remarks(&[
            ("modelspec.title", "Hills"),
            ("ss_output_name", "hills-v2"),
            ("modelspec.trigger_phrase", "hlls, green hills,, "),
            ("modelspec.license", "CC0-1.0"),
            ("modelspec.thumbnail", "data:image/png;base64,AAAA"),
            ("modelspec.tags", "landscape"),
            ("ss_tag_frequency", r#"{"a": {"tree": 3, "hill ": 1}, "b": {"hill": 9, "landscape": 99, "odd": "x"}}"#),
        ]);
        assert_eq!(title(&both).as_deref(), Some("Hills"));
        assert_eq!(trigger_words(&both), ["hlls", "green hills"]);
        assert_eq!(licence(&both).as_deref(), Some("CC0-1.0"));
        assert_eq!(thumbnail(&both).as_deref(), Some("data:image/png;base64,AAAA"));
        assert_eq!(tags(&both), ["landscape", "hill", "tree", "odd"]);
        assert_eq!(title(&remarks(&[("ss_output_name", "hills-v2")])).as_deref(), Some("hills-v2"));
    }

    #[test]
    fn odd_remarks_say_nothing() {
        let odd = remarks(&[
            ("modelspec.title", " \n "),
            ("ss_output_name", "None"),
            ("ss_tag_frequency", r#"{"a": 1, "b": [2], "c": {"x": {}}}"#),
            ("modelspec.thumbnail", "https://example.com/picture.png"),
            ("modelspec.prediction_type", "flow?"),
        ]);
        assert_eq!((title(&odd), thumbnail(&odd), prediction(&odd)), (None, None, None));
        assert_eq!(tags(&odd), ["x"]);
        let long = "x".repeat(5000);
        assert_eq!(title(&remarks(&[("modelspec.title", &long)])).map(|title| title.len()), Some(LONGEST));
        assert!(tags(&remarks(&[("ss_tag_frequency", &"[".repeat(100_000))])).is_empty());
    }

    #[test]
    fn predictions_are_read() {
        for (key, value, expected) in [
            ("modelspec.prediction_type", "epsilon", Some(Prediction::Epsilon)),
            ("modelspec.prediction_type", "v", Some(Prediction::V)),
            ("modelspec.architecture", "stable-diffusion-v2-768-v", Some(Prediction::V)),
            ("ss_v_parameterization", "True", Some(Prediction::V)),
            ("ss_v_parameterization", "False", None),
            ("modelspec.architecture", "stable-diffusion-v1", None),
        ] {
            assert_eq!(prediction(&remarks(&[(key, value)])), expected, "{key} = {value}");
        }
    }
}
