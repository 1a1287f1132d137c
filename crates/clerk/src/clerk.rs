//! The whole clerk: the only file in which its parts meet.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::{ClerkId, Event, JobId, Seal, SystemClock};
use clerkwork_store::{Store, Writer};
use clerkwork_wire::Names;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cancels::{Control, ControlTask};
use crate::config::Config;
use crate::counters::Counters;
use crate::desk::Desk;
use crate::dispatcher::{Dispatcher, DispatcherTask};
use crate::error::Refusal;
use crate::fleet::FleetTask;
use crate::health::Health;
use crate::http;
use crate::intake::Intake;
use crate::ledger::Ledger;
use crate::pruner::PrunerTask;
use crate::queues::{Queues, QueuesTask};
use crate::recorder::{self, RecorderHandle, RecorderTask};
use crate::replies::RepliesTask;
use crate::reports::ReportsTask;
use crate::scheduler::SchedulerTask;
use crate::settler::{Settler, SettlerTask};
use crate::supervise::Tasks;
use crate::waiters::Waiters;
use crate::window::Window;
use crate::writer::WriterTask;

/// A running clerk.
#[derive(Debug)]
pub struct Clerk {
    desk: Arc<Desk>,
    config: Config,
    /// The parts that take part in accepting and dispatching.
    front: Tasks,
    /// The parts that record and tell; they end after the front.
    rear: Tasks,
    stop_front: CancellationToken,
    stop_rear: CancellationToken,
    draining: CancellationToken,
    failed: CancellationToken,
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
        let cursor_secret = secrets
            .last()
            .map(|secret| secret.bytes)
            .unwrap_or_default();
        let seal = Seal::new(secrets).ok_or_else(|| clerkwork_store::Error::Corrupt {
            table: "secrets",
            detail: "there is none".to_owned(),
        })?;
        let clock = Arc::new(SystemClock::new());
        let first = store.writer(&config.name).await?;
        let now = store.now().await?;
        clock.discipline(now);
        store.declare_queues(&config.queues, now).await?;
        let parts = Parts::new(
            config,
            store,
            broker,
            clock,
            seal,
            cursor_secret,
            first.clerk(),
        );
        let clerk = parts.start(first);
        clerk.resume().await?;
        Ok(clerk)
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
                () = stop.cancelled() => {}
                () = self.failed.cancelled() => {}
            }
            self.draining.cancel();
            ends.cancel();
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
    async fn resume(&self) -> Result<(), StartError> {
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
            let events = out
                .iter()
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

/// Everything that the parts share, before they start.
struct Parts {
    config: Config,
    names: Names,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    clock: Arc<SystemClock>,
    seal: Seal,
    cursor_secret: [u8; 32],
    incarnation: watch::Sender<ClerkId>,
    draining: CancellationToken,
}

impl Parts {
    fn new(
        config: Config,
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        clock: Arc<SystemClock>,
        seal: Seal,
        cursor_secret: [u8; 32],
        clerk: ClerkId,
    ) -> Self {
        let names = Names::new(&config.prefix);
        let incarnation = watch::channel(clerk).0;
        let draining = CancellationToken::new();
        Self {
            config,
            names,
            store,
            broker,
            clock,
            seal,
            cursor_secret,
            incarnation,
            draining,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one line per wire between the parts")]
    fn start(self, first: Box<dyn Writer>) -> Clerk {
        let Self {
            config,
            names,
            store,
            broker,
            clock,
            seal,
            cursor_secret,
            incarnation,
            draining,
        } = self;
        let (stop_front, stop_rear) = (CancellationToken::new(), CancellationToken::new());
        let failed = CancellationToken::new();
        let counters = Arc::new(Counters::default());
        let waiters = Waiters::default();
        let window = Window::new(config.window);
        let ledger = Ledger::default();
        let health = Health::new(broker.status(), draining.clone());
        let (control, control_messages) = Control::new();
        let (settler, notices) = Settler::new(
            &config,
            waiters.clone(),
            control.clone(),
            incarnation.subscribe(),
        );
        let (recorder, recorder_asks): (RecorderHandle, _) = recorder::channel(store.clone());
        let (queues, missing) = Queues::new(
            &config,
            store.clone(),
            broker.clone(),
            clock.clone(),
            window.clone(),
            control.clone(),
        );
        let (dispatcher, outs) = Dispatcher::new(
            names.clone(),
            seal.clone(),
            ledger.clone(),
            config.send_tenant,
        );
        let (intake_asks, asks) = mpsc::channel(4_096);
        let (wanted, wanted_receiver) = mpsc::channel(16);
        let (incoming, incoming_receiver) = mpsc::channel(512);
        let intake = Intake::new(intake_asks, queues.clone());

        let mut front = Tasks::new(stop_front.clone(), failed.clone());
        let mut rear = Tasks::new(stop_rear.clone(), failed.clone());
        let incarnated = incarnation.subscribe();
        front.run("writer", {
            let task = WriterTask {
                config: config.clone(),
                store: store.clone(),
                clock: clock.clone(),
                ledger,
                window: window.clone(),
                dispatcher: dispatcher.clone(),
                waiters: waiters.clone(),
                health: health.clone(),
                incarnation,
                asks,
                wanted: wanted_receiver,
                stop: stop_front.clone(),
            };
            task.run(first)
        });
        front.run("scheduler", {
            let task = SchedulerTask {
                config: config.clone(),
                store: store.clone(),
                clock: clock.clone(),
                health: health.clone(),
                window: window.clone(),
                recorder: recorder.clone(),
                wanted,
                stop: stop_front.clone(),
            };
            task.run()
        });
        front.run("pruner", {
            let task = PrunerTask {
                store: store.clone(),
                clock: clock.clone(),
                retention: config.retention,
                counters: counters.clone(),
                stop: stop_front.clone(),
            };
            task.run()
        });
        rear.run("dispatcher", {
            let task = DispatcherTask {
                broker: broker.clone(),
                dispatcher,
                outs,
                window: window.clone(),
                queues: queues.clone(),
                recorder: recorder.clone(),
                stop: stop_rear.clone(),
            };
            task.run()
        });
        rear.run("recorder", {
            let task = RecorderTask {
                config: config.clone(),
                names: names.clone(),
                store: store.clone(),
                broker: broker.clone(),
                clock: clock.clone(),
                window: window.clone(),
                settler: settler.clone(),
                counters: counters.clone(),
                incoming: incoming_receiver,
                asks: recorder_asks,
                stop: stop_rear.clone(),
            };
            task.run()
        });
        rear.run("replies", {
            let task = RepliesTask {
                names: names.clone(),
                broker: broker.clone(),
                seal: seal.clone(),
                queues: queues.clone(),
                counters,
                recorder: incoming,
                stop: stop_rear.clone(),
            };
            task.run()
        });
        rear.run("reports", {
            let task = ReportsTask {
                config: config.clone(),
                names: names.clone(),
                store: store.clone(),
                broker: broker.clone(),
                clock: clock.clone(),
                seal,
                recorder: recorder.clone(),
                queues: queues.clone(),
                control: control.clone(),
                health: health.clone(),
                incarnation: incarnated.clone(),
                stop: stop_rear.clone(),
            };
            task.run()
        });
        rear.run("fleet", {
            let task = FleetTask {
                config: config.clone(),
                store: store.clone(),
                clock: clock.clone(),
                health: health.clone(),
                settler: settler.clone(),
                window,
                incarnation: incarnated,
                stop: stop_rear.clone(),
            };
            task.run()
        });
        rear.run("queues", {
            let settler = settler.clone();
            let queues = queues.clone();
            QueuesTask {
                queues,
                settler,
                missing,
                stop: stop_rear.clone(),
            }
            .run()
        });
        rear.run("settler", {
            let (store, broker, names) = (store.clone(), broker.clone(), names.clone());
            let queue = notices;
            SettlerTask {
                names,
                store,
                broker,
                settler,
                queue,
                stop: stop_rear.clone(),
            }
            .run()
        });
        rear.run("control", {
            let (store, broker) = (store.clone(), broker.clone());
            let messages = control_messages;
            ControlTask {
                names,
                store,
                broker,
                messages,
                stop: stop_rear.clone(),
            }
            .run()
        });
        let desk = Arc::new(Desk {
            config: config.clone(),
            clock,
            in_process: broker.in_process(),
            store,
            intake,
            recorder,
            waiters,
            queues,
            health,
            draining: draining.clone(),
            cursor_secret,
        });
        Clerk {
            desk,
            config,
            front,
            rear,
            stop_front,
            stop_rear,
            draining,
            failed,
        }
    }
}
