//! See `instaflow_fuzz::readers::png`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::png(data));
