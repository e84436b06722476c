//! The tests of the program as a whole: its commands, its files, its window, and the real binary on a virtual display.
//! They are one program, so that it is linked once; `cargo test -p instaflow --test main MODULE::` runs one file. A new
//! file of tests is named here.

mod commands;
mod common;
mod display;
mod display_log;
#[cfg(unix)]
mod folder_cases;
mod frames;
mod library;
mod lora;
mod models;
mod png;
mod single_file;
mod trace;
mod window;
mod window_baseline;
mod window_film;
mod window_flow;
mod window_models;
mod window_settings;
mod window_snapshots;
mod window_words;
