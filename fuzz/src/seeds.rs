//! Inputs to begin with: the fixtures that the other tests read, cut into what each reader takes. Change here where seeds come
//! from; nothing is copied.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::readers::{KEYWORDS, MODEL_FILES};

/// The folder of the fixtures that all tests share.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The seeds of a reader, by its name.
pub fn of(reader: &str) -> Vec<Vec<u8>> {
    let cases = "cases/pictures";
    match reader {
        "png" | "library_picture" => ending(cases, ".png"),
        "jpeg" => ending(cases, ".jpg"),
        "webp" => ending(cases, ".webp"),
        "png_text" => png_texts().into_iter().map(|(keyword, text)| [&[keyword], text.as_bytes()].concat()).collect(),
        "stealth" => png_texts().into_iter().map(|(_, text)| [&[0, 0], text.as_bytes()].concat()).collect(),
        "a1111" => png_texts().into_iter().map(|(_, text)| text.into_bytes()).collect(),
        "exif" => ending(cases, ".jpg").iter().flat_map(|jpeg| exif_blocks(jpeg)).collect(),
        "prompt" => {
            let mut prompts = ending("cases/prompts", ".txt");
            prompts.extend(PROMPTS.map(|prompt| prompt.as_bytes().to_vec()));
            prompts
        }
        "text_file" => ending("cases/prompts", ".txt"),
        "safetensors" => ending("more/single_file", ".safetensors"),
        "embeddings" => ending("more/textual_inversion", ".safetensors"),
        "latents" => vec![read("tiny-sd/expected.safetensors")],
        "lora_keys" => ending("more/lora", ".safetensors").iter().map(|file| key_lines(file)).collect(),
        "checkpoint_keys" => ending("more/single_file", ".safetensors").iter().map(|file| key_lines(file)).collect(),
        "model_json" => choices(MODEL_FILES.map(|name| format!("tiny-sd/model/{name}")).as_slice()),
        "tokenizer_json" => {
            let names = ["vocab.json", "vocab.json", "tokenizer_config.json", "special_tokens_map.json"];
            choices(names.map(|name| format!("tiny-sd/model/tokenizer/{name}")).as_slice())
        }
        "merges" => vec![read("tiny-sd/model/tokenizer/merges.txt")],
        "folder_lists" => LISTS.map(|list| list.as_bytes().to_vec()).to_vec(),
        "hub_answer" => ANSWERS.map(|answer| answer.as_bytes().to_vec()).to_vec(),
        "catalogue" => vec![read("../../assets/catalogue.json")],
        "window_state" => WINDOWS.map(|state| state.as_bytes().to_vec()).to_vec(),
        "library_index" => vec![empty_index()],
        _ => unreachable!("{reader} has no seeds"),
    }
}

const PROMPTS: [&str; 5] = [
    "a (red:1.3) [boat] ((on)) the sea BREAK at \\(sunset\\), <lora:style:0.7:0.5>",
    "[cat:dog:0.5] a [cow|horse] in a field AND a barn :1.2",
    "(masterpiece, (best quality:1.2)), embedding:moody, lake",
    "((((((((((((((((((((deep",
    "日本の山 😀 ﬁ “quoted”",
];

const LISTS: [&str; 3] = [
    "\0comfyui:\n    base_path: /models/\n    checkpoints: models/checkpoints/\n    loras: |\n        a\n        b\n",
    "\0a111:\n  base_path: ../webui\n  checkpoints: models/Stable-diffusion # these\n  'vae': \"models/VAE\"\n",
    "\u{1}ModelRoot: Models;/other/models\nSDModelFolder: Stable-Diffusion\n",
];

const ANSWERS: [&str; 2] = [
    r#"{"sha":"0123456789abcdef0123456789abcdef01234567","siblings":[{"rfilename":"unet/config.json"},{"rfilename":"../x"}],
"cardData":{"license":"other","license_name":"a","license_link":"https://example.com"},"tags":["license:mit"],"gated":"auto"}"#,
    r#"{"siblings":[],"cardData":{"license":["mit","apache-2.0"]}}"#,
];

const WINDOWS: [&str; 2] = [
    "{}",
    r#"{"place":{"x":1.0,"y":2.0,"width":1280.0,"height":800.0},"controls":{"recipe":{"prompt":"a lake","seed":1}},"zoom":1e9}"#,
];

/// The file of an index without entries.
fn empty_index() -> Vec<u8> {
    let path = crate::scratch::path("seed.redb");
    let _ = fs::remove_file(&path);
    drop(instaflow::library::index::Index::open(&path));
    fs::read(&path).expect("an index")
}

fn read(name: &str) -> Vec<u8> {
    let path = fixtures().join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files of a folder whose names end so, in the order of their names.
fn ending(folder: &str, end: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(fixtures().join(folder)).expect("a folder of fixtures");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(end));
    names.sort();
    let files: Vec<Vec<u8>> = names.iter().map(|name| read(&format!("{folder}/{name}"))).collect();
    assert!(!files.is_empty(), "no {end} in {folder}");
    files
}

/// Files, each after the byte that chooses it.
fn choices(names: &[String]) -> Vec<Vec<u8>> {
    names.iter().enumerate().map(|(index, name)| [&[index as u8][..], &read(name)].concat()).collect()
}

/// The texts of the fixtures' PNGs, each with the number of its keyword.
fn png_texts() -> Vec<(u8, String)> {
    let mut texts = Vec::new();
    for bytes in ending("cases/pictures", ".png") {
        let Ok(reader) = png::Decoder::new(std::io::Cursor::new(bytes)).read_info() else { continue };
        let info = reader.info();
        let latin1 = info.uncompressed_latin1_text.iter().map(|chunk| (&chunk.keyword, Some(chunk.text.clone())));
        let utf8 = info.utf8_text.iter().map(|chunk| (&chunk.keyword, chunk.get_text().ok()));
        for (keyword, text) in latin1.chain(utf8) {
            if let (Some(number), Some(text)) = (KEYWORDS.iter().position(|known| known == keyword), text) {
                texts.push((number as u8, text));
            }
        }
    }
    assert!(texts.len() > 20, "{} texts", texts.len());
    texts
}

/// What the APP1 segments of a JPEG hold, without their first word.
fn exif_blocks(jpeg: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut blocks) = (2, Vec::new());
    while let Some([0xff, kind, high, low]) = jpeg.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(segment) = jpeg.get(at + 4..at + 2 + length) else { break };
        for header in [&b"Exif\0\0"[..], b"http://ns.adobe.com/xap/1.0/\0"] {
            if *kind == 0xe1 && segment.starts_with(header) {
                blocks.push(segment[header.len()..].to_vec());
            }
        }
        if *kind == 0xda {
            break;
        }
        at += 2 + length;
    }
    blocks
}

/// The keys of a safetensors file, as `readers::lora_keys` takes them.
fn key_lines(file: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let header = String::from_utf8_lossy(&file[8..8 + length]).into_owned();
    let mut lines = String::new();
    // The header of a good file is flat: `"name":{"dtype":"F16","shape":[4,320],…}`.
    for entry in header.split("},") {
        let mut quoted = entry.split('"');
        let (Some(name), Some(dtype)) = (quoted.nth(1), entry.split("\"dtype\":\"").nth(1)) else { continue };
        let dtype = dtype.split('"').next().unwrap_or_default();
        let shape = entry.split("\"shape\":[").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
        let _ = writeln!(lines, "{name}|{dtype}|{shape}");
    }
    lines.into_bytes()
}
