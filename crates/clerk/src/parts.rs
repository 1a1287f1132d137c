//! The clerk's parts and the wires between them: the only file in which they meet.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::{ClerkId, Seal, Secret, SystemClock, WatchSeal};
use clerkwork_store::{Store, Writer};
use clerkwork_wire::Names;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::canary;
use crate::cancels::{Control, ControlTask};
use crate::clerk::Clerk;
use crate::config::Config;
use crate::counters::Counters;
use crate::dead_letters::DeadLettersTask;
use crate::desk::Desk;
use crate::dispatcher::{Dispatcher, DispatcherTask};
use crate::events::Hub;
use crate::fleet::FleetTask;
use crate::health::Health;
use crate::intake::Intake;
use crate::keys::{Keys, KeysTask};
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::outstanding::Outstanding;
use crate::overtaken::Overtaken;
use crate::pruner::PrunerTask;
use crate::queues::{Queues, QueuesTask};
use crate::recorder::{self, RecorderHandle, RecorderTask};
use crate::replies::{Opener, RepliesTask};
use crate::reports::ReportsTask;
use crate::room::{Room, RoomTask};
use crate::scheduler::SchedulerTask;
use crate::settler::{Settler, SettlerTask};
use crate::supervise::Tasks;
use crate::waiters::Waiters;
use crate::webhooks::{Guard, Sender, Waker, WebhooksTask};
use crate::window::Window;
use crate::writer::WriterTask;

/// How long a worker that started a job just before its start deadline may take to be heard of: its
/// reports may be held up by a broker that is away for a moment.
const UNHEARD: Duration = Duration::from_secs(15);
/// The same, in one process.
const UNHEARD_HERE: Duration = Duration::from_secs(5);

/// Everything that the parts share, before they start.
pub(crate) struct Parts {
    config: Config,
    names: Names,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    clock: Arc<SystemClock>,
    secrets: Secrets,
    keys: Keys,
    incarnation: watch::Sender<ClerkId>,
    draining: CancellationToken,
}

/// What is derived from the secrets that all clerks of a store share.
pub(crate) struct Secrets {
    pub(crate) seal: Seal,
    pub(crate) watch: WatchSeal,
    pub(crate) cursor: [u8; 32],
}

impl Secrets {
    /// `None` without any secret.
    pub(crate) fn of(secrets: Vec<Secret>) -> Option<Self> {
        Some(Self {
            cursor: secrets.last()?.bytes,
            watch: WatchSeal::new(&secrets)?,
            seal: Seal::new(secrets)?,
        })
    }
}

impl Parts {
    pub(crate) fn new(
        config: Config,
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        clock: Arc<SystemClock>,
        secrets: Secrets,
        keys: Keys,
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
            secrets,
            keys,
            incarnation,
            draining,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one line per wire between the parts")]
    pub(crate) fn start(self, first: Box<dyn Writer>) -> Clerk {
        let Self {
            config,
            names,
            store,
            broker,
            clock,
            secrets,
            keys,
            incarnation,
            draining,
        } = self;
        let (stop_front, stop_rear) = (CancellationToken::new(), CancellationToken::new());
        let failed = CancellationToken::new();
        let counters = Arc::new(Counters::default());
        let waiters = Waiters::default();
        let hub = Hub::default();
        let webhooks = Waker::default();
        let guard = Guard::new(config.webhook_allow.clone());
        let window = Window::new(config.window);
        let unheard = if broker.in_process() {
            UNHEARD_HERE
        } else {
            UNHEARD
        };
        let ledger = Ledger::default();
        let outstanding = Outstanding::default();
        let overtaken = Overtaken::new(config.margin);
        let health = Health::new(broker.status(), draining.clone(), &config);
        let (control, control_messages) = Control::new();
        let room = Room::new(&config, store.clone(), clock.clone());
        let (settler, notices) = Settler::new(
            &config,
            waiters.clone(),
            hub.clone(),
            control.clone(),
            room.clone(),
            incarnation.subscribe(),
        );
        let (recorder, recorder_asks): (RecorderHandle, _) = recorder::channel(store.clone());
        let (queues, queues_asked) = Queues::new(
            &config,
            store.clone(),
            broker.clone(),
            recorder.clone(),
            clock.clone(),
            window.clone(),
            control.clone(),
        );
        let (dispatcher, outs) = Dispatcher::new(
            names.clone(),
            secrets.seal.clone(),
            ledger.clone(),
            config.send_tenant,
        );
        let (intake_asks, asks) = mpsc::channel(4_096);
        let (wanted, wanted_receiver) = mpsc::channel(16);
        let (incoming, incoming_receiver) = mpsc::channel(512);
        let intake = Intake::new(intake_asks, room.clone(), store.clone(), clock.clone());

        let mut front = Tasks::new(stop_front.clone(), failed.clone());
        let mut rear = Tasks::new(stop_rear.clone(), failed.clone());
        let incarnated = incarnation.subscribe();
        front.run("writer", {
            let task = WriterTask {
                config: config.clone(),
                store: store.clone(),
                clock: clock.clone(),
                ledger,
                outstanding: outstanding.clone(),
                window: window.clone(),
                dispatcher: dispatcher.clone(),
                waiters: waiters.clone(),
                health: health.clone(),
                incarnation,
                asks,
                wanted: wanted_receiver,
                unheard,
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
                overtaken: (!broker.in_process()).then(|| overtaken.clone()),
                unheard,
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
        front.run("webhooks", {
            let task = WebhooksTask {
                store: store.clone(),
                clock: clock.clone(),
                sender: Arc::new(Sender::new(guard.clone(), clock.clone())),
                retention: config.retention,
                waker: webhooks.clone(),
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
                overtaken: overtaken.clone(),
                outstanding,
                settler: settler.clone(),
                webhooks: webhooks.clone(),
                counters: counters.clone(),
                incoming: incoming_receiver,
                asks: recorder_asks,
                stop: stop_rear.clone(),
            };
            task.run()
        });
        let opener = Opener {
            names: names.clone(),
            broker: broker.clone(),
            seal: secrets.seal.clone(),
            hub: hub.clone(),
            counters: counters.clone(),
        };
        rear.run("replies", {
            let task = RepliesTask {
                opener: opener.clone(),
                queues: queues.clone(),
                recorder: incoming.clone(),
                stop: stop_rear.clone(),
            };
            task.run()
        });
        rear.run("dead letters", {
            let task = DeadLettersTask {
                opener,
                queues: queues.clone(),
                events: recorder.clone(),
                replies: incoming,
                health: health.clone(),
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
                seal: secrets.seal,
                recorder: recorder.clone(),
                queues: queues.clone(),
                control: control.clone(),
                settler: settler.clone(),
                counters,
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
            QueuesTask {
                queues: queues.clone(),
                settler: settler.clone(),
                overtaken,
                health: health.clone(),
                asked: queues_asked,
                stop: stop_rear.clone(),
            }
            .run()
        });
        rear.run("room", {
            let stop = stop_rear.clone();
            RoomTask { room, stop }.run()
        });
        rear.run("keys", {
            let (keys, round, stop) = (keys.clone(), config.key_round, stop_rear.clone());
            KeysTask { keys, round, stop }.run()
        });
        let (home, homes) = watch::channel(None);
        let (broker_here, stop) = (broker.clone(), stop_rear.clone());
        rear.run(
            "canary",
            canary::run(broker_here, homes, health.clone(), stop),
        );
        rear.run("settler", {
            let (store, broker, names) = (store.clone(), broker.clone(), names.clone());
            let (queue, clock) = (notices, clock.clone());
            SettlerTask {
                names,
                store,
                broker,
                clock,
                settler,
                queue,
                health: health.clone(),
                home,
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
            hub,
            queues,
            guard,
            webhooks,
            health,
            draining: draining.clone(),
            keys,
            limits: Limits::new(&config),
            watch_seal: secrets.watch,
            cursor_secret: secrets.cursor,
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
