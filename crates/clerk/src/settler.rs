//! The settler: tells what was committed to those who wait, here and on the other clerks.
//!
//! Nothing is told before its commit. A notice is a hint: a clerk that misses one is right again
//! after its next sweep of the store.

mod listener;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use clerkwork_broker::Broker;
use clerkwork_core::{ClerkId, Job, JobId, JobObject, Status, SystemClock};
use clerkwork_faults::{Point, reach};
use clerkwork_store::{Kept, Store};
use clerkwork_wire::Names;
use clerkwork_wire::v1::{NoticeJob, SMALL};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::canary::Home;
use crate::cancels::Control;
use crate::config::Config;
use crate::events::{Hub, LiveEvent};
use crate::health::Health;
use crate::job_log;
use crate::recorder::Settled;
use crate::room::Room;
use crate::waiters::{Shown, Waiters, inline};
use listener::Listener;

/// Tells what was committed; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    config: Arc<Config>,
    waiters: Waiters,
    hub: Hub,
    control: Control,
    room: Room,
    peers: Arc<AtomicUsize>,
    incarnation: watch::Receiver<ClerkId>,
    notices: mpsc::Sender<News>,
    /// The bytes of live events that wait to be put into notices.
    waiting: Arc<AtomicUsize>,
}

/// What waits to be put into notices.
#[derive(Debug, Default)]
struct News {
    told: Vec<Told>,
    events: Vec<Arc<LiveEvent>>,
    /// Jobs that must be read for who waits here.
    unread: Vec<JobId>,
}

/// A change that other clerks may want to know of.
#[derive(Debug)]
struct Told {
    job: NoticeJob,
    /// The object, for the clerk that dispatched it, if that is another.
    outcome: Option<(ClerkId, Box<JobObject>)>,
    /// Whether waiters here have not been told yet.
    untold_here: bool,
}

/// The most bytes of live events that wait to be put into notices; what is beyond, other clerks miss.
const WAITING: usize = 8 * 1024 * 1024;

impl Settler {
    pub(crate) fn new(
        config: &Config,
        waiters: Waiters,
        hub: Hub,
        control: Control,
        room: Room,
        incarnation: watch::Receiver<ClerkId>,
    ) -> (Self, NoticeQueue) {
        let (notices, receiver) = mpsc::channel(1_024);
        let peers = Arc::new(AtomicUsize::new(0));
        let config = Arc::new(config.clone());
        (
            Self {
                config,
                waiters,
                hub,
                control,
                room,
                peers,
                incarnation,
                notices,
                waiting: Arc::default(),
            },
            NoticeQueue(receiver),
        )
    }

    /// How many other clerks live; without any there is nobody to notify.
    pub(crate) fn set_peers(&self, peers: usize) {
        self.peers.store(peers, Ordering::Relaxed);
    }

    /// All clerks that live, this one included.
    pub(crate) fn clerks(&self) -> usize {
        self.peers.load(Ordering::Relaxed) + 1
    }

    /// Tells committed changes: local waiters at once, workers to stop at once, other clerks soon.
    pub(crate) fn settle(&self, settled: Vec<Settled>) {
        if self.config.log_jobs {
            settled
                .iter()
                .for_each(|settled| job_log::log(&settled.job));
        }
        let stops = settled
            .iter()
            .filter_map(|settled| Some((settled.job.id, settled.stop?)))
            .collect::<Vec<_>>();
        self.control.stop_attempts(&stops);
        let alone = self.is_alone();
        let done = settled.iter().filter(|settled| settled.job.is_done());
        self.hub.ended(done.map(|settled| settled.job.id));
        let mut told = Vec::new();
        for settled in settled {
            let (id, rev) = (settled.job.id, settled.job.standing.rev);
            if settled.job.is_done() {
                self.room.done(&settled.job.tenant, &settled.job.queue);
            }
            if !alone {
                told.push(self.told(&settled));
            }
            reach(Point::SettleBeforeNotice);
            self.waiters.tell(id, || {
                Arc::new(Shown {
                    rev,
                    job: self.object(&settled.job, settled.output.as_ref()),
                })
            });
        }
        self.notify(News {
            told,
            ..News::default()
        });
    }

    /// Tells what attempts say while they run: to who follows here at once, to other clerks soon.
    pub(crate) fn live(&self, events: Vec<LiveEvent>) {
        let (fresh, unread) = self.follow(events);
        let mut news = News {
            unread,
            ..News::default()
        };
        let bytes = size(&fresh);
        if !self.is_alone() && self.waiting.load(Ordering::Relaxed) + bytes <= WAITING {
            self.waiting.fetch_add(bytes, Ordering::Relaxed);
            news.events = fresh;
        }
        self.notify(news);
    }

    /// Tells who follows here; returns what was new, and the jobs that must be read first: their
    /// attempt may be one that nobody here was shown yet.
    fn follow(&self, events: Vec<LiveEvent>) -> (Vec<Arc<LiveEvent>>, Vec<JobId>) {
        let put = self.hub.put(events);
        let jobs: BTreeSet<JobId> = put.fresh.iter().map(|event| event.job).collect();
        jobs.into_iter().for_each(|job| self.waiters.nudge(job));
        let mut unread = put.begun;
        unread.retain(|job| self.waiters.has(*job));
        (put.fresh, unread)
    }

    /// Tells of jobs that are not at hand, by their revisions: waiters read them from the store.
    pub(crate) fn unread(&self, jobs: Vec<(JobId, u32)>, status: Status) {
        let told = |(id, rev)| Told {
            job: NoticeJob {
                id,
                rev,
                status,
                told: self.hub.what_was_told(id),
            },
            outcome: None,
            untold_here: true,
        };
        let told: Vec<Told> = jobs.into_iter().map(told).collect();
        let done = told.iter().filter(|told| told.job.status.is_done());
        self.hub.ended(done.map(|told| told.job.id));
        self.notify(News {
            told,
            ..News::default()
        });
    }

    fn notify(&self, news: News) {
        if news.told.is_empty() && news.events.is_empty() && news.unread.is_empty() {
            return;
        }
        if let Err(error) = self.notices.try_send(news) {
            let bytes = size(&error.into_inner().events);
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            tracing::debug!("notices are behind; waiters will be told by the sweep");
        }
    }

    fn is_alone(&self) -> bool {
        self.peers.load(Ordering::Relaxed) == 0
    }

    fn told(&self, settled: &Settled) -> Told {
        let job = &settled.job;
        let here = *self.incarnation.borrow();
        let small = settled.output.as_ref().map_or(0, bytes::Bytes::len) < SMALL - 1_024;
        let to = settled
            .dispatched_by
            .filter(|clerk| *clerk != here && job.is_done() && small);
        Told {
            job: NoticeJob {
                id: job.id,
                rev: job.standing.rev,
                status: job.standing.state.status(),
                told: self.hub.what_was_told(job.id),
            },
            outcome: to.map(|to| (to, Box::new(self.object(job, settled.output.as_ref())))),
            untold_here: false,
        }
    }

    fn object(&self, job: &Job, output: Option<&Bytes>) -> JobObject {
        let mut object = JobObject::of(job, self.config.retention);
        if let Some(output) = output.cloned().and_then(inline) {
            object.show_output(output);
        }
        object
    }

    fn tell_kept(&self, kept: Kept) {
        let retention = self.config.retention;
        self.waiters
            .tell(kept.job.id, || Arc::new(Shown::of(kept, retention)));
    }
}

fn size(events: &[Arc<LiveEvent>]) -> usize {
    events.iter().map(|event| event.size()).sum()
}

/// Changes that wait to be put into notices.
#[derive(Debug)]
pub(crate) struct NoticeQueue(mpsc::Receiver<News>);

/// The task's state.
#[derive(Debug)]
pub(crate) struct SettlerTask {
    pub(crate) names: Names,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) settler: Settler,
    pub(crate) queue: NoticeQueue,
    pub(crate) health: Health,
    /// Where messages to ourselves go.
    pub(crate) home: watch::Sender<Home>,
    pub(crate) stop: CancellationToken,
}

impl SettlerTask {
    /// Runs until it is stopped: sends notices, takes those of others, and sweeps.
    pub(crate) async fn run(self) {
        let Self {
            names,
            store,
            broker,
            clock,
            settler,
            queue,
            health,
            home,
            stop,
        } = self;
        let listener = Listener {
            names,
            store,
            broker,
            clock,
            settler,
            health,
            home,
        };
        let work =
            async { tokio::join!(listener.send(queue), listener.listen(), listener.sweep()) };
        let _ = stop.run_until_cancelled(work).await;
    }
}
