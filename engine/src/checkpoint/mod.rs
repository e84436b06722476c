//! model folders
