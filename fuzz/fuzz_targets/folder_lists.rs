//! See `instaflow_fuzz::readers::folder_lists`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::folder_lists(data));
