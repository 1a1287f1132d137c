//! Feeds libFuzzer's bytes to the door `settings`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("settings", data));
