//! See `instaflow_fuzz::readers::lora_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::lora_keys(data));
