//! Feeds libFuzzer's bytes to the door `watch_token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("watch_token", data));
