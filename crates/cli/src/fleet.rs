//! Handlers of a fleet: a worker of its own, on RabbitMQ.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::amqp;
use clerkwork_worker::{Options, Worker};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::health;
use crate::layers;
use crate::listen::ListenError;
use crate::services::{self, ServiceError};
use crate::settings::worker::FleetSettings;
use crate::settings::{self, WorkerFlags};

/// How long the connection to the broker may take to close: a worker that has drained is gone within its
/// grace and 5 s.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// How a worker reaches its fleet.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use clerkwork::Fleet;
///
/// async fn double(n: u64) -> Result<u64, clerkwork::JobError> {
///     Ok(n * 2)
/// }
///
/// let fleet = Fleet::from_environment()?;
/// let worker = fleet.worker(()).queue("double", double);
/// clerkwork::until_signal(|stop| fleet.run(worker, stop, || println!("ready"))).await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fleet {
    broker: amqp::Options,
    start_timeout: Duration,
    health_listen: Vec<SocketAddr>,
    options: Options,
}

/// Why a worker of a fleet did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// Settings that do not fit; the sentence names them all.
    #[error("{0}")]
    Settings(String),
    /// The address for the health is not to be had.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The broker stayed away, or does not take us.
    #[error("{0}")]
    Broker(#[from] ServiceError),
    /// The worker is set wrongly.
    #[error("{0}")]
    Worker(#[from] clerkwork_worker::Error),
}

impl Fleet {
    /// Reads `CLERKWORK_BROKER` (or `AMQP_URL`), `CLERKWORK_PREFIX` and the other settings of
    /// workers from the environment and `clerkwork.toml`.
    ///
    /// # Errors
    /// [`FleetError::Settings`].
    pub fn from_environment() -> Result<Self, FleetError> {
        settings::load(WorkerFlags::default(), |check| {
            Self::of(FleetSettings::read(check))
        })
        .map_err(|Failure { sentence, .. }| FleetError::Settings(sentence))
    }

    pub(crate) fn of(settings: FleetSettings) -> Self {
        let mut broker = amqp::Options::new(&settings.broker, "clerkwork worker");
        broker.queue_type = settings.queue_type;
        Self {
            broker,
            start_timeout: settings.start_timeout,
            health_listen: settings.health_listen,
            options: settings.options,
        }
    }

    /// A worker with the settings of this fleet, for handlers that share `state`.
    #[must_use]
    pub fn worker<S: Clone + Send + Sync + 'static>(&self, state: S) -> Worker<S> {
        Worker::new(state).options(self.options.clone())
    }

    /// Works until `stop` is cancelled, then drains; `ready` is called when the worker takes jobs
    /// for the first time. Where `CLERKWORK_HEALTH_LISTEN` is set, it serves the worker's health
    /// meanwhile.
    ///
    /// # Errors
    /// [`FleetError`]; once it runs, a broker that is away is waited for.
    pub async fn run<S: Clone + Send + Sync + 'static>(
        mut self,
        worker: Worker<S>,
        stop: CancellationToken,
        ready: impl FnOnce(),
    ) -> Result<(), FleetError> {
        // One for each queue, one for control messages, and one that is being closed meanwhile.
        let channels = u16::try_from(worker.queue_count() + 2).unwrap_or(u16::MAX);
        self.broker.channels = self.broker.channels.max(channels);
        let listener = health::listen(&self.health_listen).await?;
        let mut health = worker.health();
        health::served(listener, health.clone(), async {
            let broker = tokio::select! {
                broker = services::broker(&self.broker, self.start_timeout) => layers::broker(broker?),
                () = stop.cancelled() => return Ok(()),
            };
            layers::begin();
            let greeted = async {
                if health.wait_for(|health| health.greeted).await.is_ok() {
                    ready();
                }
            };
            let (ended, ()) = tokio::join!(worker.run(Arc::clone(&broker), stop), greeted);
            if timeout(CLOSE_LIMIT, broker.close()).await.is_err() {
                tracing::warn!("the broker did not take the farewell in time");
            }
            Ok(ended?)
        })
        .await
    }
}
