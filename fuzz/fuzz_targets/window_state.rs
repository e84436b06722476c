//! See `instaflow_fuzz::readers::window_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::window_state(data));
