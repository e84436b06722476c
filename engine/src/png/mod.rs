//! pictures out
