//! Everything in one process: a clerk, a queue in memory, the record in a file, and handlers. `dev` may
//! give it a RabbitMQ and a PostgreSQL instead.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, amqp, memory};
use clerkwork_clerk::{Clerk, Config, StartError};
use clerkwork_store::Store;
use clerkwork_wire::Names;
use clerkwork_worker::Worker;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::layers;
use crate::listen::{self, ListenError, OpenError};
use crate::services::{self, ServiceError};
use crate::settings::values::StoreAddress;

/// A clerk with its workers, before it starts.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use clerkwork::{Embedded, Worker};
///
/// async fn double(n: u64) -> Result<u64, clerkwork::JobError> {
///     Ok(n * 2)
/// }
///
/// let worker = Worker::new(()).queue("double", double);
/// let system = Embedded::new("./data").worker(worker).start().await?;
/// println!("http://{}", system.address());
/// clerkwork::until_signal(|stop| system.run(stop)).await??;
/// # Ok(())
/// # }
/// ```
pub struct Embedded {
    record: StoreAddress,
    /// The RabbitMQ; without one the queue is in memory.
    broker: Option<amqp::Options>,
    /// The longest wait for services that are away at the start.
    start_timeout: Duration,
    listen: Vec<SocketAddr>,
    config: Config,
    workers: Vec<Start>,
}

/// The time in which clerks of another record must be gone, and the pause between two looks for them.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Starts a worker whose state is forgotten.
type Start = Box<
    dyn FnOnce(
            Arc<dyn Broker>,
            CancellationToken,
        ) -> BoxFuture<'static, Result<(), clerkwork_worker::Error>>
        + Send,
>;

/// A clerk that is ready, with its workers.
pub struct System {
    address: SocketAddr,
    listener: TcpListener,
    clerk: Clerk,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    workers: Vec<Start>,
}

/// Why an embedded clerk did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The address is not to be had.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The address is public, and there is no API key.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The folder of the record cannot be made.
    #[error("cannot make the folder {}: {reason}; choose another --data", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        reason: std::io::Error,
    },
    /// The record cannot be opened or read.
    #[error("{0}")]
    Store(#[from] clerkwork_store::Error),
    /// The record or the broker stays away, or the broker does not take us.
    #[error("{0}")]
    Service(#[from] ServiceError),
    /// Clerks of another record take the replies on this broker.
    #[error(
        "clerks with another record work on this broker with the prefix {0}, and would take each other's \
         replies: give this one another --prefix, or the --store of theirs"
    )]
    Others(String),
    /// The clerk did not start, or ended by itself.
    #[error("{0}")]
    Start(#[from] StartError),
    /// A worker is set wrongly.
    #[error("{0}")]
    Worker(#[from] clerkwork_worker::Error),
    /// A worker panicked.
    #[error("a worker ended: {0}")]
    Ended(String),
}

impl Embedded {
    /// Keeps the record in `clerkwork.db` in this folder, which is made for its owner only.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self::in_file(data.into().join("clerkwork.db"))
    }

    /// Keeps the record in this file.
    #[must_use]
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self::on(StoreAddress::Sqlite(file.into()), None, Duration::ZERO)
    }

    /// Keeps the record here, and the queue on this RabbitMQ if there is one; waits at most for
    /// `start_timeout` until they answer.
    #[must_use]
    pub(crate) fn on(
        record: StoreAddress,
        broker: Option<amqp::Options>,
        start_timeout: Duration,
    ) -> Self {
        Self {
            record,
            broker,
            start_timeout,
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            config: Config {
                create_queues: true,
                ..Config::default()
            },
            workers: Vec::new(),
        }
    }

    /// Listens on the first of these addresses that is free; port 0 is a free port. While the record
    /// holds no API key, only loopback addresses are taken.
    #[must_use]
    pub fn listen(mut self, addresses: impl Into<Vec<SocketAddr>>) -> Self {
        self.listen = addresses.into();
        self
    }

    /// Sets the clerk.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds a worker.
    #[must_use]
    pub fn worker<S: Clone + Send + Sync + 'static>(mut self, worker: Worker<S>) -> Self {
        self.workers.push(Box::new(move |broker, stop| {
            Box::pin(worker.run(broker, stop))
        }));
        self
    }

    /// Opens the record and the address; requests are accepted from then on and answered by
    /// [`System::run`].
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub async fn start(self) -> Result<System, EmbeddedError> {
        let (listener, address) = listen::bind(&self.listen, "listen").await?;
        if let StoreAddress::Sqlite(file) = &self.record {
            make_folder_of(file)?;
        }
        let store = services::store(&self.record, self.start_timeout).await;
        let store = layers::store(store.map_err(|error| match error {
            ServiceError::Store(error) => EmbeddedError::Store(error),
            error => EmbeddedError::Service(error),
        })?);
        listen::guard(address, store.any_keys().await?)?;
        let broker = match &self.broker {
            Some(options) => {
                let broker = services::broker(options, self.start_timeout).await?;
                if matches!(self.record, StoreAddress::Sqlite(_)) {
                    refuse_others(&*broker, &self.config.prefix).await?;
                }
                broker
            }
            None => memory::broker(),
        };
        let broker = layers::broker(broker);
        let clerk = Clerk::start(self.config, Arc::clone(&store), Arc::clone(&broker)).await?;
        layers::begin();
        Ok(System {
            address,
            listener,
            clerk,
            store,
            broker,
            workers: self.workers,
        })
    }
}

impl System {
    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests and runs jobs until `stop` is cancelled, then drains: the workers first,
    /// whose replies the clerk still records, then the clerk.
    ///
    /// # Errors
    /// [`EmbeddedError::Worker`] at once if a worker is set wrongly.
    pub async fn run(self, stop: CancellationToken) -> Result<(), EmbeddedError> {
        // One ends, all end.
        let stop = stop.child_token();
        let mut workers = JoinSet::new();
        for start in self.workers {
            workers.spawn(start(Arc::clone(&self.broker), stop.clone()));
        }
        let clerk_stop = CancellationToken::new();
        let serve = async {
            let served = self.clerk.serve(self.listener, clerk_stop.clone()).await;
            stop.cancel();
            served
        };
        let drain = async {
            let mut result = Ok(());
            tokio::select! {
                () = stop.cancelled() => {}
                ended = first_wrong(&mut workers) => {
                    result = ended;
                    stop.cancel();
                }
            }
            while workers.join_next().await.is_some() {}
            clerk_stop.cancel();
            result
        };
        let (served, drained) = tokio::join!(serve, drain);
        self.broker.close().await;
        self.store.close().await;
        drained?;
        Ok(served?)
    }
}

/// Makes the folder of a record's file, for its owner only.
pub(crate) fn make_folder_of(file: &Path) -> Result<(), EmbeddedError> {
    let folder = file.parent().filter(|path| !path.as_os_str().is_empty());
    let Some(folder) = folder else { return Ok(()) };
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|reason| EmbeddedError::Data {
        path: folder.to_owned(),
        reason,
    })
}

/// Refuses a broker on which somebody takes replies already. A record in a file has no clerk but this one, so
/// they are clerks of another record: they do not know our jobs, nor we theirs.
async fn refuse_others(broker: &dyn Broker, prefix: &str) -> Result<(), EmbeddedError> {
    let replies = Names::new(prefix).replies();
    let begin = Instant::now();
    loop {
        let failure = match broker.look(&replies).await {
            Ok(Some(depth)) if depth.consumers > 0 => EmbeddedError::Others(prefix.to_owned()),
            Ok(_) => return Ok(()),
            Err(error) => ServiceError::from(error).into(),
        };
        // We may not be connected yet, and the consumer of a process that was killed is there for a moment.
        if begin.elapsed() > LOOK_LIMIT {
            return Err(failure);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Waits for a worker that ends with an error; for ever if none does.
async fn first_wrong(
    workers: &mut JoinSet<Result<(), clerkwork_worker::Error>>,
) -> Result<(), EmbeddedError> {
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(error) => return Err(EmbeddedError::Ended(error.to_string())),
        }
    }
    std::future::pending().await
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("record", &self.record)
            .field("listen", &self.listen)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
