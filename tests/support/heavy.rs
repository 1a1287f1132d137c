//! Tests that need a core each: as many of them run at a time as there are on a small machine, beside any number that wait.

use tokio::sync::{Semaphore, SemaphorePermit};

static CORES: Semaphore = Semaphore::const_new(2);

/// Waits until a core is free for a test that needs one until it drops what this returns.
pub async fn heavy() -> SemaphorePermit<'static> {
    CORES.acquire().await.expect("nobody closes it")
}
