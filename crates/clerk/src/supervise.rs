//! Owns every long-lived task of the clerk.
//!
//! A part that ends before it was stopped, by a panic or not, ends the whole clerk, aloud: what it
//! held in memory is in doubt, and a process that begins anew is what every other fault is made for,
//! too. A part that was restarted alone would be a state that nobody has tested.

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

impl Drop for Tasks {
    fn drop(&mut self) {
        // A clerk that is given up as a whole ends its parts: none of them ended by itself.
        self.stop.cancel();
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
                panicked = std::thread::panicking(),
                "a part of the clerk ended; the clerk stops"
            );
            self.failed.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    struct Watched {
        tasks: Tasks,
        stop: CancellationToken,
        failed: CancellationToken,
    }

    fn tasks() -> Watched {
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let tasks = Tasks::new(stop.clone(), failed.clone());
        Watched {
            tasks,
            stop,
            failed,
        }
    }

    async fn fails(watched: &Watched) {
        let failed = tokio::time::timeout(SOON, watched.failed.cancelled()).await;
        failed.expect("the clerk is told");
    }

    #[tokio::test]
    async fn a_part_that_panics_stops_the_clerk() {
        let mut watched = tasks();
        watched.tasks.run("sound", pending());
        watched
            .tasks
            .run("broken", async { panic!("as it must not") });
        fails(&watched).await;
        watched.tasks.join(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_part_that_ends_unasked_stops_the_clerk() {
        let mut watched = tasks();
        watched.tasks.run("short", async {});
        fails(&watched).await;
    }

    #[tokio::test]
    async fn a_part_that_panics_within_others_stops_the_clerk() {
        let mut watched = tasks();
        let broken = async {
            tokio::task::yield_now().await;
            panic!("as it must not");
        };
        let stop = watched.stop.clone();
        let both = async move {
            let both = async { tokio::join!(pending::<()>(), broken) };
            let _ = stop.run_until_cancelled(both).await;
        };
        watched.tasks.run("both", both);
        fails(&watched).await;
    }

    #[tokio::test]
    async fn the_parts_of_a_clerk_that_is_dropped_have_not_failed() {
        let Watched {
            mut tasks, failed, ..
        } = tasks();
        let (gone, ended) = tokio::sync::oneshot::channel::<()>();
        tasks.run("dropped", async move {
            pending::<()>().await;
            drop(gone);
        });
        tokio::task::yield_now().await;
        drop(tasks);
        tokio::time::timeout(SOON, ended)
            .await
            .unwrap()
            .unwrap_err();
        assert!(!failed.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_was_stopped_has_not_failed_and_a_stubborn_one_is_ended() {
        let mut watched = tasks();
        let stop = watched.stop.clone();
        watched.tasks.run("good", stop.cancelled_owned());
        watched.tasks.run("stubborn", pending());
        watched.stop.cancel();
        let ended = watched.tasks.join(Duration::from_millis(50));
        tokio::time::timeout(SOON, ended)
            .await
            .expect("all have ended");
        assert!(!watched.failed.is_cancelled());
    }
}
