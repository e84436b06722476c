//! See `instaflow_fuzz::readers::library_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::library_index(data));
