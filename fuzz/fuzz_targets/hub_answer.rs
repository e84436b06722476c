//! See `instaflow_fuzz::readers::hub_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| instaflow_fuzz::readers::hub_answer(data));
