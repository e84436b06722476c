//! See `instaflow_fuzz::readers::model_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::model_json(data));
