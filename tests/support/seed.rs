//! The seed of a run of tests, from which what is not the same in every run is drawn.

use std::env;

/// That of `CLERKWORK_TEST_SEED`, which scripts/test sets and prints; else one of this process.
///
/// # Panics
/// When the variable is no number.
#[must_use]
pub fn seed() -> u64 {
    match env::var("CLERKWORK_TEST_SEED") {
        Ok(seed) => seed.parse().expect("CLERKWORK_TEST_SEED is a number"),
        Err(_) => u64::from(std::process::id()),
    }
}
