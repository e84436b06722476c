//! ComfyUI's list of folders elsewhere, `extra_model_paths.yaml`: sections with an optional `base_path`, and for each
//! kind of model a path, several lines of paths, or a list.

use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};

/// Kinds of models that are looked for. Others, such as `custom_nodes`, hold programs.
const KINDS: [&str; 16] = [
    "checkpoints",
    "loras",
    "vae",
    "vae_approx",
    "unet",
    "diffusion_models",
    "clip",
    "text_encoders",
    "controlnet",
    "t2i_adapter",
    "embeddings",
    "upscale_models",
    "diffusers",
    "hypernetworks",
    "gligen",
    "style_models",
];

/// Sections, keys and lists: nothing in such a file nests deeper than this by far.
const DEPTH: usize = 16;

/// The folders in such a file that lies in `folder`, in its order, each once; the error is the end of a sentence.
pub(super) fn folders(text: &str, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let values = read(text)?;
    let base_of = |section: &str| {
        let base = values.iter().find(|value| value.section == section && value.key == "base_path");
        base.map_or(folder.to_owned(), |value| folder.join(home(value.text.trim())))
    };
    let mut found: Vec<PathBuf> = Vec::new();
    for value in values.iter().filter(|value| KINDS.contains(&value.key.as_str())) {
        let base = base_of(&value.section);
        for line in value.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let path = base.join(home(line));
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// One value of a section.
struct Value {
    section: String,
    key: String,
    text: String,
}

enum Frame {
    Mapping(Option<String>),
    Sequence,
}

/// The texts two levels deep, and those of lists there.
fn read(text: &str) -> Result<Vec<Value>, String> {
    let mut values = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| format!("is no list of folders: {error}"))?;
        match event {
            Event::MappingStart(..) => frames.push(Frame::Mapping(None)),
            Event::SequenceStart(..) => frames.push(Frame::Sequence),
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
                complete(&mut frames, "");
            }
            Event::Scalar(value, ..) => {
                if let [Frame::Mapping(Some(section)), Frame::Mapping(Some(key)), rest @ ..] = frames.as_slice()
                    && matches!(rest, [] | [Frame::Sequence])
                {
                    let (section, key) = (section.clone(), key.clone());
                    values.push(Value { section, key, text: value.clone().into_owned() });
                }
                complete(&mut frames, &value);
            }
            Event::Alias(_) => complete(&mut frames, ""),
            _ => {}
        }
        if frames.len() > DEPTH {
            return Err("is no list of folders: it nests too deep".to_owned());
        }
    }
    Ok(values)
}

/// A value is complete: in a mapping, it was a key, or it belonged to one.
fn complete(frames: &mut [Frame], text: &str) {
    if let Some(Frame::Mapping(key)) = frames.last_mut() {
        *key = if key.is_some() { None } else { Some(text.to_owned()) };
    }
}

/// A path with the home folder in place of `~`.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches(['/', '\\'])),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<PathBuf> {
        folders(text, Path::new("/comfy")).expect("a good list")
    }

    #[test]
    fn sections_with_several_lines_are_read() {
        let text = "\
# Rename this to extra_model_paths.yaml
a111:
    base_path: /data/webui   # anywhere
    is_default: true
    checkpoints: models/Stable-diffusion
    configs: models/Stable-diffusion
    loras: |
         models/Lora
         models/LyCORIS

    vae: \"models/VAE\"
    controlnet:
      - models/ControlNet
      - /else where/nets
    custom_nodes: nodes

other:
    checkpoints: |
        ckpt
        ckpt
    embeddings: 'emb#1'
";
        let expected = [
            "/data/webui/models/Stable-diffusion",
            "/data/webui/models/Lora",
            "/data/webui/models/LyCORIS",
            "/data/webui/models/VAE",
            "/data/webui/models/ControlNet",
            "/else where/nets",
            "/comfy/ckpt",
            "/comfy/emb#1",
        ];
        assert_eq!(found(text), expected.map(PathBuf::from));
    }

    #[test]
    fn odd_files_give_nothing_or_an_error_but_no_panic() {
        for text in ["", "# nothing", "text", "- a\n- b", "a: b", "a: {b: {c: d}}", "a:\n  loras:\n", "? [a]\n: b"] {
            assert_eq!(found(text), Vec::<PathBuf>::new(), "{text:?}");
        }
        assert_eq!(found("a: {base_path: x, loras: y}"), [PathBuf::from("/comfy/x/y")]);
        for text in ["a: [", "a: \"b", &"[".repeat(10_000), &"a:\n".repeat(1000), "\t- x: y"] {
            let _ = folders(text, Path::new("/comfy"));
        }
        let deep = folders(&"[".repeat(40), Path::new("/comfy")).expect_err("too deep");
        assert!(deep.contains("is no list of folders"), "{deep}");
    }
}
