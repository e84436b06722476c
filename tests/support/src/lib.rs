//! What the tests of every crate share: comparing numbers with a reference, and skipping a test whose tools are missing.
//! Change here how close is close, and what a missing tool means.

pub mod close;
pub mod tools;

pub use close::{Tolerance, assert_close, assert_close_case, assert_not_close, compare, distance};
pub use tools::skip_or_fail;
