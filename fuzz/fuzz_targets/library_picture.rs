//! See `instaflow_fuzz::readers::library_picture`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::library_picture(data));
