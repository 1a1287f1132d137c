//! Feeds libFuzzer's bytes to the door `wire_replies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("wire_replies", data));
