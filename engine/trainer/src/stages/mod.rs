//! One file per subcommand, in the order in which they are run. Change here only what subcommands there are.

pub mod adopt;

pub mod autoencoder;

pub mod decoder;

pub mod classifier;

pub mod base;

pub mod pairs;

pub mod reflow;
pub mod student_latents;

pub mod distill;

mod held_out;

pub mod contact_sheet;

pub mod evaluate;

pub mod plot;

pub mod export;

pub mod bench_step;
