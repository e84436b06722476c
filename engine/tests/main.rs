//! The tests of the engine from outside. They are one program, so that it is linked once;
//! `cargo test -p instaflow-engine --test main MODULE::` runs one file. A new file of tests is named here.

mod carry;
mod checkpoint;
mod diffusion;
mod gpu;
mod lora;
mod lora_files;
mod lora_kinds;
mod lora_time;
mod metadata;
mod model_library;
mod networks;
mod noise;
mod order;
mod pipeline;
mod pocket;
mod samplers;
mod single_file;
mod support;
mod tokenizer;
mod words;
mod worker;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: instaflow_engine::CachingAllocator = instaflow_engine::CachingAllocator::new();
