//! See `instaflow_fuzz::readers::checkpoint_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::checkpoint_keys(data));
