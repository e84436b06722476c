//! Everything in this program that reads bytes of other people: one function for each reader, which must neither panic, nor
//! take memory beyond what its input honestly needs, nor take long. `fuzz_targets/` gives them to libFuzzer; `tests/short.rs`
//! tries each on its seeds and on changed ones. A new reader is added to [`ALL`].

pub mod readers;
pub mod seeds;

mod scratch;

/// A reader: its name, and the function that is tried.
pub type Reader = (&'static str, fn(&[u8]));

macro_rules! all {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), readers::$name as fn(&[u8]))),*] };
}

/// All readers.
pub const ALL: &[Reader] = all![
    png,
    png_text,
    stealth,
    exif,
    jpeg,
    webp,
    a1111,
    prompt,
    text_file,
    safetensors,
    lora_keys,
    checkpoint_keys,
    embeddings,
    latents,
    model_json,
    tokenizer_json,
    merges,
    folder_lists,
    hub_answer,
    catalogue,
    window_state,
    library_index,
    library_picture,
];
