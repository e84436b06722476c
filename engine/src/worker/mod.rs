//! the engine thread
