//! One function for each kind of foreign bytes. What they return is dropped: only that they return is asked. Change here how
//! bytes become what a reader takes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use instaflow::library::Store;
use instaflow::library::index::Index;
use instaflow::state::State;
use instaflow_engine::protocol::{Latents, OpenRequest, PromptSyntax, Source};
use instaflow_engine::text::tokenizer::TokenizerFiles;
use instaflow_engine::text::{Tokenizer, parse_prompt};
use instaflow_engine::{adapters, checkpoint, metadata, model_library};

use crate::scratch;

fn picture(name: &str, data: &[u8]) {
    if let Ok(found) = metadata::read(&scratch::file(name, data)) {
        let _ = metadata::restore(found);
    }
}

/// A PNG with all that may be in it.
pub fn png(data: &[u8]) {
    picture("a.png", data);
}

/// A JPEG.
pub fn jpeg(data: &[u8]) {
    picture("a.jpg", data);
}

/// A WebP.
pub fn webp(data: &[u8]) {
    picture("a.webp", data);
}

/// Under which keywords programs write into PNGs.
pub const KEYWORDS: [&str; 16] = [
    "parameters",
    "prompt",
    "workflow",
    "Comment",
    "Description",
    "Title",
    "Software",
    "Source",
    "sd-metadata",
    "invokeai_metadata",
    "Dream",
    "fooocus_scheme",
    "XML:com.adobe.xmp",
    "instaflow",
    "generation_data",
    "Generation time",
];

/// A text in a PNG: the first byte chooses the keyword. A line of NUL begins a second text under the next keyword.
pub fn png_text(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    for (index, text) in rest.splitn(3, |byte| *byte == 0).enumerate() {
        let keyword = KEYWORDS[(*first as usize + index) % KEYWORDS.len()];
        let text = String::from_utf8_lossy(text).into_owned();
        if encoder.add_itxt_chunk(keyword.to_owned(), text).is_err() {
            return;
        }
    }
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&[0; 3]));
    if written.is_ok() {
        picture("text.png", &bytes);
    }
}

/// What is hidden in the lowest bits of a PNG's alpha channel, column by column: the first byte chooses whether it claims to be
/// compressed, the second one lies about its length.
pub fn stealth(data: &[u8]) {
    let [kind, lie, text @ ..] = data else { return };
    let magic: &[u8] = if kind % 2 == 0 { b"stealth_pnginfo" } else { b"stealth_pngcomp" };
    let length = (text.len() as u32 * 8).wrapping_add(u32::from(*lie).wrapping_mul(u32::from(*lie).pow(3)));
    let hidden = [magic, &length.to_be_bytes(), text].concat();
    let bits: Vec<u8> = hidden.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let side = (bits.len() as f64).sqrt().ceil() as usize;
    let mut pixels = vec![255; side * side * 4];
    for (index, bit) in bits.into_iter().enumerate() {
        let (x, y) = (index / side, index % side);
        pixels[(y * side + x) * 4 + 3] = 0xfe | bit;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side as u32, side as u32);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_compression(png::Compression::NoCompression);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    if written.is_ok() {
        picture("stealth.png", &bytes);
    }
}

/// An EXIF block in a JPEG without pixels, or an XMP packet if it begins with `<`.
pub fn exif(data: &[u8]) {
    let header: &[u8] = if data.first() == Some(&b'<') { b"http://ns.adobe.com/xap/1.0/\0" } else { b"Exif\0\0" };
    let data = &data[..data.len().min(60_000)];
    let length = (2 + header.len() + data.len()) as u16;
    let start: &[u8] = &[0xff, 0xd8, 0xff, 0xe1];
    picture("exif.jpg", &[start, &length.to_be_bytes(), header, data, &[0xff, 0xd9]].concat());
}

/// A block of text as A1111 writes it.
pub fn a1111(data: &[u8]) {
    if let Some(found) = metadata::a1111_block(&String::from_utf8_lossy(data)) {
        let _ = metadata::restore(found);
    }
}

/// A prompt in each of the syntaxes, down to its tokens.
pub fn prompt(data: &[u8]) {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let tokenizer = TOKENIZER.get_or_init(|| {
        checkpoint::open_tokenizer(&Source::Folder(model_folder())).expect("the fixture's tokenizer opens")
    });
    let text = String::from_utf8_lossy(data);
    for syntax in [PromptSyntax::A1111, PromptSyntax::ComfyUi, PromptSyntax::Off] {
        let _ = parse_prompt(&text, syntax);
        let _ = tokenizer.read(&text, syntax);
    }
}

/// A text file in any encoding.
pub fn text_file(data: &[u8]) {
    let _ = checkpoint::text_of(data);
}

/// A safetensors file.
pub fn safetensors(data: &[u8]) {
    open_file(&scratch::file("a.safetensors", data));
}

/// A LoRA: its keys as [`tensors`] reads them.
pub fn lora_keys(data: &[u8]) {
    let path = scratch::file("lora.safetensors", &tensors(data));
    let _ = (checkpoint::classify(&path), adapters::describe(&path));
}

/// A checkpoint in one file: its keys as [`tensors`] reads them.
pub fn checkpoint_keys(data: &[u8]) {
    open_file(&scratch::file("checkpoint.safetensors", &tensors(data)));
}

fn open_file(path: &Path) {
    let _ = (checkpoint::classify(path), checkpoint::describe(path));
    let _ = checkpoint::open(&OpenRequest { model: Source::File(path.to_owned()), ..OpenRequest::default() });
}

/// A file of textual inversions.
pub fn embeddings(data: &[u8]) {
    let _ = checkpoint::read_embeddings(&scratch::file("word.safetensors", data));
}

/// A file of latents.
pub fn latents(data: &[u8]) {
    let _ = Latents::read_latents(&scratch::file("latents.safetensors", data));
}

/// Files of a model folder, of which [`model_json`] replaces one.
pub const MODEL_FILES: [&str; 6] = [
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
];

/// A JSON file of a model folder; the first byte chooses which.
pub fn model_json(data: &[u8]) {
    let Some((which, json)) = data.split_first() else { return };
    let folder = scratch::copy(&model_folder(), "model");
    let name = MODEL_FILES[*which as usize % MODEL_FILES.len()];
    let (path, good) = (folder.join(name), model_folder().join(name));
    replace(&path, json);
    let _ = checkpoint::describe(&folder);
    let _ = checkpoint::open(&OpenRequest { model: Source::Folder(folder), ..OpenRequest::default() });
    replace(&path, &std::fs::read(good).expect("the fixture"));
}

/// Never written through a link to the fixture.
fn replace(path: &Path, contents: &[u8]) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, contents).expect("a file");
}

/// One of a tokenizer's JSON files; the first byte chooses which.
pub fn tokenizer_json(data: &[u8]) {
    let Some((which, json)) = data.split_first() else { return };
    let mut files = tokenizer_files();
    let json = Some(json.to_vec());
    match which % 5 {
        0 => files.tokenizer_json = json,
        1 => files.vocab = json,
        2 => files.config = json,
        3 => files.special_tokens = json,
        _ => files.added_tokens = json,
    }
    tokenize(&files);
}

/// The merges of a tokenizer.
pub fn merges(data: &[u8]) {
    tokenize(&TokenizerFiles { merges: Some(data.to_vec()), ..tokenizer_files() });
}

fn tokenize(files: &TokenizerFiles) {
    if let Ok(tokenizer) = Tokenizer::new(files, Some(77)) {
        let _ = tokenizer.encode("a red sailboat on the sea, at sunset");
    }
}

fn tokenizer_files() -> TokenizerFiles {
    static FILES: OnceLock<TokenizerFiles> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let folder = model_folder().join("tokenizer");
        let read = |name: &str| std::fs::read(folder.join(name)).ok();
        TokenizerFiles {
            vocab: read("vocab.json"),
            merges: read("merges.txt"),
            config: read("tokenizer_config.json"),
            special_tokens: read("special_tokens_map.json"),
            folder,
            ..TokenizerFiles::default()
        }
    });
    files.clone()
}

/// Lists of folders that other programs keep: ComfyUI's YAML, or SwarmUI's settings if the first byte is odd.
pub fn folder_lists(data: &[u8]) {
    let Some((which, list)) = data.split_first() else { return };
    let name = if which % 2 == 0 { "comfyui/extra_model_paths.yaml" } else { "swarmui/Data/Settings.fds" };
    let file = scratch::file(name, list);
    let folder = if which % 2 == 0 { file.parent() } else { file.parent().and_then(Path::parent) };
    let _ = model_library::places_in(folder.expect("a folder"));
}

/// What a hub says about a repository.
pub fn hub_answer(data: &[u8]) {
    instaflow_hub::answers::read(&String::from_utf8_lossy(data));
}

/// A catalogue of one's own.
pub fn catalogue(data: &[u8]) {
    let file = scratch::file("settings/catalogue.json", data);
    let _ = instaflow_hub::Catalogue::with_own(file.parent());
}

/// The window's state of last time.
pub fn window_state(data: &[u8]) {
    let _ = State::load(&scratch::file("window/window.json", data));
}

/// The index of the kept pictures.
pub fn library_index(data: &[u8]) {
    let _ = Index::open(&scratch::file("index.redb", data));
}

/// A kept picture, without an index.
pub fn library_picture(data: &[u8]) {
    let picture = scratch::file("kept/pictures/1.png", data);
    let root = picture.parent().and_then(Path::parent).expect("a folder").to_owned();
    for file in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        if file.path().is_file() {
            let _ = std::fs::remove_file(file.path());
        }
    }
    if let Ok(opened) = Store::open(&root) {
        let mut store = opened.store;
        let _ = (store.picture(1), store.thumbnail(1));
    }
}

fn model_folder() -> PathBuf {
    crate::seeds::fixtures().join("tiny-sd/model")
}

/// A safetensors file of zeros from lines such as `name|F16|4,320`. Shapes are kept small, so that the names are what is tried.
fn tensors(lines: &[u8]) -> Vec<u8> {
    const MOST: usize = 1 << 12;
    let text = String::from_utf8_lossy(lines);
    let (mut header, mut length) = (String::from("{"), 0);
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().take(2_000) {
        let mut fields = line.split('|');
        let name = fields.next().unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        if !seen.insert(name.clone()) {
            continue;
        }
        let dtype = fields.next().unwrap_or("F16");
        let (dtype, bytes) = match dtype {
            "F32" => ("F32", 4),
            "BF16" => ("BF16", 2),
            "F8_E4M3" => ("F8_E4M3", 1),
            "I64" => ("I64", 8),
            _ => ("F16", 2),
        };
        let mut shape: Vec<usize> = Vec::new();
        for side in fields.next().unwrap_or("").split(',').take(6) {
            let side = side.trim().parse::<usize>().unwrap_or(1);
            let so_far = shape.iter().product::<usize>().max(1);
            shape.push(side.min(MOST / so_far));
        }
        let size = shape.iter().product::<usize>() * bytes;
        if header.len() > 1 {
            header.push(',');
        }
        let end = length + size;
        let _ = write!(
            header,
            "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{length},{end}]}}"
        );
        length = end;
    }
    header.push('}');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + length, 0);
    bytes
}
