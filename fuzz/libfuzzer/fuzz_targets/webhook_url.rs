//! Feeds libFuzzer's bytes to the door `webhook_url`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clerkwork_fuzz_targets::run("webhook_url", data));
