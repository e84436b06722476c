//! See `instaflow_fuzz::readers::a1111`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::a1111(data));
