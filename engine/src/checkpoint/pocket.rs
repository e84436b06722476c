//! The Pocket pair inside the binary. List new files of `assets/pocket` here.

/// A file of `assets/pocket` and its path there.
#[cfg(feature = "embed-pocket")]
macro_rules! embedded {
    ($path:literal) => {
        ($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/pocket/", $path)) as &[u8])
    };
}

/// Every file of the pair and its path.
#[cfg(feature = "embed-pocket")]
pub const FILES: &[(&str, &[u8])] = &[
    embedded!("vocabulary.json"),
    embedded!("teacher/model_index.json"),
    embedded!("teacher/scheduler/scheduler_config.json"),
    embedded!("teacher/tokenizer/vocab.json"),
    embedded!("teacher/tokenizer/merges.txt"),
    embedded!("teacher/tokenizer/special_tokens_map.json"),
    embedded!("teacher/tokenizer/tokenizer_config.json"),
    embedded!("teacher/text_encoder/config.json"),
    embedded!("teacher/text_encoder/model.safetensors"),
    embedded!("teacher/unet/config.json"),
    embedded!("teacher/unet/diffusion_pytorch_model.safetensors"),
    embedded!("teacher/vae/config.json"),
    embedded!("teacher/vae/diffusion_pytorch_model.safetensors"),
    embedded!("student/model_index.json"),
    embedded!("student/unet/config.json"),
    embedded!("student/unet/diffusion_pytorch_model.safetensors"),
];

/// This build does not include the pair.
#[cfg(not(feature = "embed-pocket"))]
pub const FILES: &[(&str, &[u8])] = &[];
