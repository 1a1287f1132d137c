//! What other clerks tell and are told, and the look at the store that makes up for what they miss.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clerkwork_broker::{Broker, Delivery, Message, Source};
use clerkwork_core::public::MAX_TOLD_OUTPUT;
use clerkwork_core::{ClerkId, Clock as _, JobId, SystemClock};
use clerkwork_store::Store;
use clerkwork_wire::Names;
use clerkwork_wire::v1::{Notice, NoticeEvent};
use tokio::sync::watch;

use super::{News, NoticeQueue, Settler, size};
use crate::canary::{Home, is_canary};
use crate::consuming::Consuming;
use crate::events::{LiveEvent, Teller, check};
use crate::health::Health;
use crate::waiters::Shown;

/// The most changes of one notice.
const NOTICE: usize = 1_000;
/// The most bytes of live events of one notice, beyond the first event.
const EVENTS_BYTES: usize = 1024 * 1024;
/// How often waiters are checked against the store, whatever notices say.
const SWEEP: Duration = Duration::from_secs(4);
/// The most ids of one look at the store.
const LOOK: usize = 500;
const PREFETCH: u16 = 200;
const AGAIN: Duration = Duration::from_millis(500);

/// Keeps local waiters right by what others tell and by what the store says.
pub(super) struct Listener {
    pub(super) names: Names,
    pub(super) store: Arc<dyn Store>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) settler: Settler,
    pub(super) health: Health,
    pub(super) home: watch::Sender<Home>,
}

impl Listener {
    pub(super) async fn send(&self, mut queue: NoticeQueue) {
        while let Some(mut news) = queue.0.recv().await {
            while news.told.len() < NOTICE
                && size(&news.events) < EVENTS_BYTES
                && let Ok(more) = queue.0.try_recv()
            {
                news.told.extend(more.told);
                news.events.extend(more.events);
                news.unread.extend(more.unread);
            }
            let here = news.told.iter().filter(|told| told.untold_here);
            let mut unread = std::mem::take(&mut news.unread);
            unread.extend(here.map(|told| told.job.id));
            unread.retain(|id| self.settler.waiters.has(*id));
            let bytes = size(&news.events);
            self.settler.waiting.fetch_sub(bytes, Ordering::Relaxed);
            if !self.settler.is_alone() {
                self.notify(news).await;
            }
            self.read(&unread).await;
        }
    }

    async fn notify(&self, mut news: News) {
        let clerk = *self.settler.incarnation.borrow();
        while !news.told.is_empty() || !news.events.is_empty() {
            let rest = News {
                told: news.told.split_off(news.told.len().min(NOTICE)),
                events: news.events.split_off(fitting(&news.events)),
                unread: Vec::new(),
            };
            let mut envelope = notice(clerk, std::mem::replace(&mut news, rest)).encode();
            envelope.user_id = Some(self.broker.user());
            let exchange = self.names.notices();
            let message = Message {
                exchange,
                key: String::new(),
                durable: false,
                envelope,
            };
            self.broker.send(vec![message]).await;
        }
    }

    pub(super) async fn listen(&self) {
        loop {
            let clerk = self.settler.incarnation.borrow().to_string();
            let from = Source::Private {
                prefix: format!("{}.{clerk}.", self.names.notices()),
                exchange: self.names.notices(),
                declare_exchange: true,
            };
            let begun = Consuming::begin(&*self.broker, from, PREFETCH, "notices").await;
            if let Some(mut consuming) = begun {
                self.home.send_replace(Some(consuming.queue().to_owned()));
                while let Some(deliveries) = consuming.next(usize::from(PREFETCH)).await {
                    self.take(deliveries).await;
                }
                self.home.send_replace(None);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn take(&self, deliveries: Vec<Delivery>) {
        let (mut changed, mut events) = (Vec::new(), Vec::new());
        let here = *self.settler.incarnation.borrow();
        for delivery in deliveries {
            if is_canary(&delivery) {
                self.health.round();
            } else if !Notice::is_from(&delivery.envelope, here)
                && let Ok(mut notice) = Notice::decode(&delivery.envelope)
            {
                events.append(&mut notice.events);
                self.take_told(&notice);
                self.take_notice(notice, here, &mut changed);
            }
            delivery.ack();
        }
        changed.extend(self.take_events(&events));
        self.read(&changed).await;
    }

    /// Notes how many live events jobs told before their ends, and what ended: before who follows is
    /// told of the ends.
    fn take_told(&self, notice: &Notice) {
        let hub = &self.settler.hub;
        for job in &notice.jobs {
            if let Some(told) = job.told {
                hub.told(job.id, told);
            }
        }
        let done = notice.jobs.iter().filter(|job| job.status.is_done());
        hub.ended(done.map(|job| job.id));
    }

    /// Tells live events that other clerks took; returns the jobs that must be read.
    fn take_events(&self, events: &[NoticeEvent]) -> Vec<JobId> {
        if events.is_empty() {
            return Vec::new();
        }
        let now = self.clock.now();
        let checked = events.iter().filter_map(|event| {
            let teller = Teller {
                job: event.job,
                attempt: event.attempt,
                seq: event.seq,
            };
            check(teller, event.event, &event.data, now)
        });
        self.settler.follow(checked.collect()).1
    }

    /// Tells outcomes that came along; gathers the jobs that must be read.
    fn take_notice(&self, mut notice: Notice, here: ClerkId, changed: &mut Vec<JobId>) {
        let waiters = &self.settler.waiters;
        let outcomes = notice.outcomes.remove(&here).unwrap_or_default();
        let mut revs: BTreeMap<JobId, u32> =
            notice.jobs.iter().map(|job| (job.id, job.rev)).collect();
        for object in outcomes {
            // A done state is the last one, so its revision is the one that the notice names.
            if let Some(rev) = revs.remove(&object.id) {
                waiters.tell(object.id, || Arc::new(Shown { rev, job: object }));
            }
        }
        changed.extend(revs.into_keys().filter(|id| waiters.has(*id)));
    }

    pub(super) async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.settler.hub.forget_ended();
            let waited = self.settler.waiters.waited_for();
            self.read(&waited).await;
        }
    }

    async fn read(&self, ids: &[JobId]) {
        for ids in ids.chunks(LOOK) {
            // A larger one is read by whoever shows it, once for all.
            match self.store.get(None, ids, MAX_TOLD_OUTPUT).await {
                Ok(kept) => kept
                    .into_iter()
                    .for_each(|kept| self.settler.tell_kept(kept)),
                Err(error) => {
                    tracing::debug!(%error, "waiters could not be read for; the sweep will");
                    return;
                }
            }
        }
    }
}

fn notice(clerk: ClerkId, news: News) -> Notice {
    let mut notice = Notice {
        clerk,
        jobs: Vec::new(),
        outcomes: BTreeMap::new(),
        events: news.events.iter().map(|event| event.notice()).collect(),
    };
    for told in news.told {
        notice.jobs.push(told.job);
        if let Some((clerk, object)) = told.outcome {
            notice.outcomes.entry(clerk).or_default().push(*object);
        }
    }
    notice
}

/// How many of these events one notice takes: one at least.
fn fitting(events: &[Arc<LiveEvent>]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Arc<LiveEvent>| {
        bytes += event.size();
        bytes <= EVENTS_BYTES
    };
    let count = events.iter().take_while(fits).count();
    count.max(1).min(events.len())
}
