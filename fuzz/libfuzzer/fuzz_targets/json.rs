//! Feeds libFuzzer's bytes to the door `json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("json", data));
