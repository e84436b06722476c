//! See `instaflow_fuzz::readers::png_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::png_text(data));
