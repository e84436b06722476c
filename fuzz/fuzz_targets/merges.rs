//! See `instaflow_fuzz::readers::merges`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::merges(data));
