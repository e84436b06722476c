//! From bytes on disk to named tensors, checked.
//!
//! A model is opened in three stages. [`open`] reads the configs and the headers of the weight files and refuses
//! whatever is missing, malformed or contradictory. [`Component::check`] runs a network's own constructor over the
//! headers alone, so every tensor's name, shape and type is known to fit before any memory is spent.
//! [`Component::builder`] reads the weights.
//!
//! ```text
//! Files ── config.json ──────────────┐
//!       └─ *.safetensors → Tensors ──┴─ Component ── ModelFolder ── Opened (student, teacher)
//! ```
//!
//! [`Files`] is a folder on disk, a folder inside the binary, or a checkpoint in one file, whose parts look like folders.
//! [`classify`] says what a file is before anything of it is opened.

mod text_file;

mod files;

mod header;

mod kind;

mod hub_cache;

mod single_file;

mod tensors;

mod weight_loader;

mod dry_run;

mod random_weights;

mod digest;

mod embedding_file;

mod component;

pub mod recipe;

mod model_folder;

mod pair;

mod vocabulary;

mod describe;

mod pocket;

pub use component::Component;
pub use describe::{Description, describe};
pub use dry_run::Size;
pub use embedding_file::{embedding_files, read_embeddings};
pub use files::Files;
pub(crate) use header::read as read_header;
pub use kind::{Base, FileKind, Kind, LoraFamily, Parts, classify, refused_by_name};
pub use model_folder::ModelFolder;
pub use pair::{Opened, open, open_tokenizer};
pub use random_weights::random_weights;
pub use recipe::Recipe;
pub(crate) use tensors::Tensors;
pub use text_file::decode as text_of;
pub(crate) use text_file::json as lenient_json;
