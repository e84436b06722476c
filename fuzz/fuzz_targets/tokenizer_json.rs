//! See `instaflow_fuzz::readers::tokenizer_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::tokenizer_json(data));
