//! What the tests of every crate share: comparing numbers with a reference, expected errors, the fixture's model, a hub
//! on the loopback interface, and skipping a test whose tools are missing. Change here what a whole workspace of tests
//! would otherwise repeat.

mod close;
mod errors;
mod fixture;
mod loopback_hub;
mod tools;

pub use close::{
    Distance, Mismatch, Numbers, Tolerance, assert_close, assert_close_case, assert_not_close, compare, distance,
};
pub use errors::assert_error;
pub use fixture::{PROMPT, copy_folder, expected, fixture, more, tensor_in};
pub use loopback_hub::{Fault, LoopbackHub, Repository, Request};
pub use tools::skip_or_fail;
