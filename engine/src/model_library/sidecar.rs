//! What programs write beside a model's file: A1111's `NAME.json`, the notes of its Civitai extension and of Stability
//! Matrix, and a picture.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Notes beside a model are small.
const LIMIT: u64 = 1 << 20;

/// What the notes say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub title: Option<String>,
    pub trigger_words: Vec<String>,
}

/// The notes beside a file; those of the first program that wrote any count.
pub(super) fn notes(file: &Path) -> Notes {
    let mut notes = Notes::default();
    for ending in ["civitai.info", "cm-info.json", "json"] {
        let Some(json) = read(&file.with_extension(ending)) else { continue };
        let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let title = text(&json["model"]["name"]).or_else(|| text(&json["ModelName"]));
        notes.title = notes.title.or(title);
        if notes.trigger_words.is_empty() {
            let listed = [&json["trainedWords"], &json["TrainedWords"]].into_iter().filter_map(Value::as_array);
            let mut words: Vec<String> = listed.flatten().filter_map(text).collect();
            words.extend(text(&json["activation text"]));
            notes.trigger_words = words;
        }
    }
    notes
}

/// The picture beside a file.
pub(super) fn picture(file: &Path) -> Option<PathBuf> {
    let endings = ["preview.png", "preview.jpg", "preview.jpeg", "preview.webp", "png", "jpg", "jpeg", "webp"];
    endings.into_iter().map(|ending| file.with_extension(ending)).find(|picture| picture.is_file())
}

fn read(path: &Path) -> Option<Value> {
    let metadata = path.metadata().ok()?;
    let small = metadata.is_file() && metadata.len() <= LIMIT;
    let bytes = small.then(|| std::fs::read(path).ok()).flatten()?;
    serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_every_program_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.b.safetensors");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        assert_eq!(notes(&file), Notes::default());
        write("a.b.json", r#"{"activation text": "hills, lake", "preferred weight": 0.8}"#);
        assert_eq!(notes(&file).trigger_words, ["hills, lake"]);
        write("a.b.cm-info.json", r#"{"ModelName": "Hills", "TrainedWords": ["hills", " "]}"#);
        assert_eq!(notes(&file), Notes { title: Some("Hills".to_owned()), trigger_words: vec!["hills".to_owned()] });
        write("a.b.civitai.info", "\u{feff}{\"model\": {\"name\": \"Lakes\"}, \"trainedWords\": null}");
        assert_eq!(notes(&file).title.as_deref(), Some("Lakes"));
        write("a.b.json", "{");
        assert_eq!(notes(&file).trigger_words, ["hills"]);

        assert_eq!(picture(&file), None);
        write("a.b.png", "");
        write("a.b.preview.png", "");
        assert_eq!(picture(&file), Some(folder.path().join("a.b.preview.png")));
    }
}
