//! Owns every long-lived task of the clerk.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The tasks of a clerk. One that ends before it was stopped ends the clerk.
#[derive(Debug)]
pub(crate) struct Tasks {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    /// Cancelled when a task ended that should not have.
    failed: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken, failed: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop,
            failed,
        }
    }

    /// Runs a part until it ends.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        let guard = Guard {
            name,
            stop: self.stop.clone(),
            failed: self.failed.clone(),
        };
        self.tasks.spawn(async move {
            let guard = guard;
            part.await;
            guard.name
        });
    }

    /// Waits until all have ended; those that take longer than `grace` are ended by force.
    pub(crate) async fn join(mut self, grace: Duration) {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok(part) => tracing::debug!(part, "a part of the clerk ended"),
                    Err(error) => tracing::error!(%error, "a part of the clerk panicked"),
                }
            }
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(
                parts = self.tasks.len(),
                "parts of the clerk were ended by force"
            );
            self.tasks.shutdown().await;
        }
    }
}

/// Notices the end of a part, also by a panic.
struct Guard {
    name: &'static str,
    stop: CancellationToken,
    failed: CancellationToken,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(
                part = self.name,
                "a part of the clerk ended; the clerk stops"
            );
            self.failed.cancel();
        }
    }
}
