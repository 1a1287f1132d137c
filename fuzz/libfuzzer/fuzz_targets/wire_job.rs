//! Feeds libFuzzer's bytes to the door `wire_job`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("wire_job", data));
