//! A clerk's life: it starts, takes up what a predecessor left, serves, drains and ends.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::{ClerkId, Clock as _, Event, Job, JobId, SystemClock};
use clerkwork_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::desk::Desk;
use crate::error::Refusal;
use crate::http;
use crate::keys::Keys;
use crate::parts::{Parts, Secrets};
use crate::supervise::Tasks;

/// A running clerk.
#[derive(Debug)]
pub struct Clerk {
    pub(crate) desk: Arc<Desk>,
    pub(crate) config: Config,
    /// The parts that take part in accepting and dispatching.
    pub(crate) front: Tasks,
    /// The parts that record and tell; they end after the front.
    pub(crate) rear: Tasks,
    pub(crate) stop_front: CancellationToken,
    pub(crate) stop_rear: CancellationToken,
    pub(crate) draining: CancellationToken,
    /// Cancelled when a part ended that should not have.
    pub(crate) failed: CancellationToken,
}

/// Why a clerk could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not fit or cannot be reached.
    #[error("{0}")]
    Store(#[from] clerkwork_store::Error),
    /// The broker has queues of another shape, or refuses us.
    #[error("{0}")]
    Broker(#[from] clerkwork_broker::Error),
    /// What an embedded process left behind could not be taken up again.
    #[error("what was under way could not be taken up again: {0}")]
    Resume(Refusal),
    /// The listener failed.
    #[error("the clerk cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// A part of the clerk ended that never should.
    #[error("a part of the clerk ended; its log says why")]
    Part,
}

/// How long the rear may take to tell and record what is left.
const REAR_GRACE: Duration = Duration::from_secs(3);

impl Clerk {
    /// Starts a clerk on a store and a broker: it dispatches, records and schedules from now on.
    ///
    /// # Errors
    /// The store cannot be reached or does not fit. A broker that is away is no error.
    pub async fn start(
        config: Config,
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
    ) -> Result<Self, StartError> {
        let secrets = store.secrets().await?;
        let secrets = Secrets::of(secrets).ok_or_else(|| clerkwork_store::Error::Corrupt {
            table: "secrets",
            detail: "there is none".to_owned(),
        })?;
        let keys = Keys::open(store.clone()).await?;
        let clock = Arc::new(SystemClock::new());
        let first = store.writer(&config.name).await?;
        let asked = clock.now();
        let truth = store.now().await?;
        clock.heed(asked, truth, Duration::ZERO);
        let now = clock.now();
        store.declare_queues(&config.queues, now).await?;
        let here = first.clerk();
        let parts = Parts::new(config, store, broker, clock, secrets, keys, here);
        let clerk = parts.start(first);
        clerk.resume(here).await?;
        Ok(clerk)
    }

    /// Whether requests need an API key: there is one, or there was one once. Without, whoever can
    /// reach the address may do everything.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        self.desk.keys.are_needed()
    }

    /// What the endpoints use: for serving them within another server, and for tests.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        self.desk.clone()
    }

    /// Serves clients until `stop` is cancelled; then drains within the grace and ends.
    ///
    /// # Errors
    /// The listener fails, or a part of the clerk ended.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), StartError> {
        let ends = CancellationToken::new();
        let router = http::router(self.desk.clone());
        let served = http::serve(listener, router, ends.clone(), self.config.grace);
        let drain = async {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.failed.cancelled() => {}
            }
            // In this order, so that what is answered because of the drain closes its connection.
            ends.cancel();
            self.draining.cancel();
        };
        let (served, ()) = tokio::join!(served, drain);
        let failed = self.failed.is_cancelled();
        self.shut_down().await;
        served?;
        if failed {
            Err(StartError::Part)
        } else {
            Ok(())
        }
    }

    /// Ends all parts in order: nothing new, then what is on its way, then what is left to tell.
    pub async fn shut_down(self) {
        let Self {
            config,
            front,
            rear,
            stop_front,
            stop_rear,
            draining,
            ..
        } = self;
        draining.cancel();
        stop_front.cancel();
        front.join(config.grace).await;
        stop_rear.cancel();
        rear.join(REAR_GRACE).await;
    }

    /// In one process the queue was lost with the last one: everything that was out is doubted. What
    /// ran counts one failure, what was only dispatched none.
    async fn resume(&self, here: ClerkId) -> Result<(), StartError> {
        if !self.desk.in_process {
            return Ok(());
        }
        let mut after: Option<JobId> = None;
        loop {
            let out = self.desk.store.out(after, 1_000).await?;
            let Some(last) = out.last() else {
                return Ok(());
            };
            after = Some(last.id);
            // What this clerk has dispatched meanwhile is on the queue.
            let before = |job: &&Job| job.standing.dispatch.is_none_or(|by| by.clerk != here);
            let events = out
                .iter()
                .filter(before)
                .map(|job| {
                    let attempt = job.standing.attempt;
                    (job.id, Event::Lost { attempt })
                })
                .collect();
            self.desk
                .recorder
                .events(events)
                .await
                .map_err(StartError::Resume)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_broker::memory;
    use clerkwork_store::sqlite;

    use super::*;

    #[tokio::test]
    async fn a_clerk_whose_part_dies_drains_and_says_so() {
        let store = sqlite::memory().await.unwrap();
        let config = Config {
            grace: Duration::from_secs(5),
            ..Config::default()
        };
        let mut clerk = Clerk::start(config, store, memory::broker()).await.unwrap();
        clerk.rear.run("broken", async { panic!("as it must not") });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let served = clerk.serve(listener, CancellationToken::new());
        let served = tokio::time::timeout(Duration::from_secs(30), served).await;
        assert!(matches!(served, Ok(Err(StartError::Part))), "{served:?}");
    }
}
