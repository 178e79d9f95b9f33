#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ldyn_fuzz::bodies::model_config(bytes));
