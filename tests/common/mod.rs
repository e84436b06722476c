//! What the tests of the window and of the program on a display share.

pub mod display;
pub mod window;
