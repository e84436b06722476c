//! See `instaflow_fuzz::readers::exif`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::exif(data));
