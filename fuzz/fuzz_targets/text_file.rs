//! See `instaflow_fuzz::readers::text_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::text_file(data));
