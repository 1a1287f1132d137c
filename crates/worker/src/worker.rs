//! A worker as its author writes it: state, queues, settings.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use clerkwork_broker::Broker;
use clerkwork_core::{Clock, QueueName, SystemClock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::registry::{Entry, Run, erase};
use crate::runtime::{self, Health, Parts};
use crate::{Command, Error, Handler, Options, Service};

/// A worker: handlers by queue, what they share, and how it is set.
#[derive(Debug)]
pub struct Worker<S> {
    state: S,
    entries: Vec<Entry>,
    concurrency: usize,
    own_concurrency: BTreeMap<String, usize>,
    options: Options,
    clock: Arc<dyn Clock>,
    health: watch::Sender<Health>,
    wrong: Option<Error>,
}

impl<S: Clone + Send + Sync + 'static> Worker<S> {
    /// A worker whose handlers share `state`.
    pub fn new(state: S) -> Self {
        Self {
            state,
            entries: Vec::new(),
            concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            own_concurrency: BTreeMap::new(),
            options: Options::default(),
            clock: Arc::new(SystemClock::new()),
            health: watch::Sender::default(),
            wrong: None,
        }
    }

    /// Runs the jobs of a queue with a handler.
    #[must_use]
    pub fn queue<H, Args>(self, queue: &str, handler: H) -> Self
    where
        H: Handler<Args, S>,
        Args: 'static,
    {
        let run = erase(handler, self.state.clone());
        self.register(queue, run)
    }

    /// Runs a command for each job of a queue.
    #[must_use]
    pub fn command(mut self, queue: &str, command: &Command) -> Self {
        match command.runner(queue) {
            Ok(runner) => self.register(queue, Arc::new(Arc::new(runner))),
            Err(wrong) => {
                self.wrong.get_or_insert(wrong);
                self
            }
        }
    }

    /// Sends each job of a queue to an HTTP service.
    #[must_use]
    pub fn service(self, queue: &str, service: &Service) -> Self {
        self.register(queue, Arc::new(service.clone()))
    }

    /// How many jobs of each queue run at a time, unless the queue has its own number; the number
    /// of cores if unset.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How many jobs of one queue run at a time.
    #[must_use]
    pub fn concurrency_of(mut self, queue: &str, concurrency: usize) -> Self {
        self.own_concurrency.insert(queue.to_owned(), concurrency);
        self
    }

    /// Sets the worker.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How many queues it serves.
    #[must_use]
    pub fn queue_count(&self) -> usize {
        self.entries.len()
    }

    /// Tells how the worker is, while it runs.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Works until `shutdown` is cancelled or a clerk tells it to stop, then drains: takes nothing
    /// more, lets what runs end within the grace, and returns when every reply is confirmed, or
    /// time is up: it is done within the grace and 5 seconds.
    ///
    /// A broker that is away is waited for, at the start too. Dropping the future ends everything
    /// at once; what was in hand comes back to other workers.
    ///
    /// # Errors
    /// The worker is set wrongly; or a part of it died, which is a defect: then it has drained.
    pub async fn run(
        self,
        broker: Arc<dyn Broker>,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let Self {
            entries,
            options,
            clock,
            health,
            ..
        } = self.checked()?;
        runtime::run(
            Parts {
                options,
                entries,
                broker,
                clock,
                health,
            },
            shutdown,
        )
        .await
    }

    fn register(mut self, queue: &str, run: Arc<dyn Run>) -> Self {
        self.entries.push(Entry {
            queue: queue.into(),
            concurrency: 0,
            run,
        });
        self
    }

    /// Finds what is wrong before anything starts, and gives each queue its concurrency.
    fn checked(mut self) -> Result<Self, Error> {
        self.options.check()?;
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if self.entries.is_empty() {
            return Err(Error::NoQueue);
        }
        let mut seen = HashSet::new();
        for entry in &mut self.entries {
            let queue = entry.queue.as_ref();
            if let Err(why) = queue.parse::<QueueName>() {
                return Err(Error::InvalidQueue {
                    name: queue.to_owned(),
                    why: why.to_string(),
                });
            }
            if !seen.insert(Arc::clone(&entry.queue)) {
                return Err(Error::DuplicateQueue(queue.to_owned()));
            }
            let own = self.own_concurrency.remove(queue);
            entry.concurrency = own.unwrap_or(self.concurrency);
            if !(1..=10_000).contains(&entry.concurrency) {
                let (queue, given) = (queue.to_owned(), entry.concurrency);
                return Err(Error::Concurrency { queue, given });
            }
        }
        match self.own_concurrency.pop_first() {
            Some((queue, _)) => Err(Error::NoHandler(queue)),
            None => Ok(self),
        }
    }
}
