//! Numbers and choices as words, the same in the window and on the command line.

use instaflow_engine::protocol::{Decoder, Role};

/// "1 step", "25 steps".
pub fn steps(count: u32) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}

/// Which of the models.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Student => "student",
        Role::Teacher => "teacher",
        Role::Baseline => "baseline",
    }
}

/// Which decoder.
pub fn decoder(decoder: Decoder) -> &'static str {
    match decoder {
        Decoder::Full => "full",
        Decoder::Tiny => "tiny",
    }
}
