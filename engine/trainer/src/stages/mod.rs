//! One file per subcommand, in the order in which they are run.

pub mod autoencoder;

pub mod decoder;

pub mod base;

pub mod pairs;

pub mod reflow;

pub mod distill;

pub mod sheet;

pub mod export;
