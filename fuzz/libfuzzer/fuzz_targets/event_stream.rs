//! Feeds libFuzzer's bytes to the door `event_stream`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("event_stream", data));
