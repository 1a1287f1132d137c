//! Takes workers' reports: greets, records starts, lets workers hold, and keeps what they have in hand.

mod asking;
mod greeting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, Delivery};
use clerkwork_core::{
    ClerkId, Clock as _, Correlation, Event, Job, JobId, Seal, State, SystemClock, UnixMs,
};
use clerkwork_store::{Store, WorkerRow, keep_each_worker};
use clerkwork_wire::Names;
use clerkwork_wire::v1::{self, Held, Report};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cancels::{Control, To};
use crate::config::Config;
use crate::consuming::Consuming;
use crate::counters::Counters;
use crate::events::{LiveEvent, Teller, check};
use crate::health::Health;
use crate::queues::Queues;
use crate::recorder::RecorderHandle;
use crate::settler::Settler;

/// The task's state.
#[derive(Debug)]
pub(crate) struct ReportsTask {
    pub(crate) config: Config,
    pub(crate) names: Names,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) seal: Seal,
    pub(crate) recorder: RecorderHandle,
    pub(crate) queues: Queues,
    pub(crate) control: Control,
    pub(crate) settler: Settler,
    pub(crate) counters: Arc<Counters>,
    pub(crate) health: Health,
    pub(crate) incarnation: watch::Receiver<ClerkId>,
    pub(crate) stop: CancellationToken,
}

/// The reports of a worker as this clerk has recorded them.
#[derive(Debug)]
struct Recorded {
    stages: HashMap<(JobId, u32), Stage>,
    /// The attempts that its last report listed.
    listed: HashSet<(JobId, u32)>,
    /// The questions that wait for an answer, by their correlation ids, and since when.
    asks: HashMap<String, Instant>,
    row_at: Option<Instant>,
    /// The entry of its row about the queues whose jobs it cannot start.
    cannot_start: BTreeMap<String, String>,
    heard_at: Instant,
    /// Its heartbeat.
    every: Duration,
}

/// The progress of an attempt in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Listed,
    Started,
    Held,
}

/// An entry of a report that has to be recorded.
#[derive(Debug)]
struct News {
    worker: Arc<str>,
    control: String,
    job: JobId,
    attempt: u32,
    stage: Stage,
    /// Tells that the worker waits for an answer.
    asked: bool,
    event: Event,
}

/// The most reports that may be unsettled.
const PREFETCH: u16 = 256;
/// The longest wait after which no more reports wait at the broker: it hands out at once what it has.
const AWAITED: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(500);
/// The longest heartbeat that we believe, in ms.
const MOST_BEAT: u64 = 60_000;
/// The most queues of one worker that we believe.
const QUEUES: usize = 256;

impl ReportsTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.consume()).await;
    }

    async fn consume(&self) {
        let mut workers = HashMap::new();
        loop {
            let (broker, queue) = (&*self.broker, self.names.reports());
            let begun =
                Consuming::begin_own(broker, &self.queues, queue, PREFETCH, "reports").await;
            if let Some(mut consuming) = begun {
                self.health.reports(true);
                while let Some(deliveries) = self.next(&mut consuming).await {
                    let all = !consuming.is_full();
                    self.health.reports_taken(all);
                    self.take(deliveries, &mut workers).await;
                    self.health.reports_heeded(all);
                }
            }
            self.health.reports(false);
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The next reports; `None` once the consumer is lost.
    async fn next(&self, consuming: &mut Consuming) -> Option<Vec<Delivery>> {
        let was_full = consuming.is_full();
        // Not within the time in which reports are awaited: the broker may take its time for it.
        consuming.prepare().await?;
        let mut next = pin!(consuming.next(usize::from(PREFETCH)));
        if was_full {
            // Well within the time after which reports that wait are judged to be late.
            let limit = AWAITED.min(self.config.lease / 8);
            match tokio::time::timeout(limit, &mut next).await {
                Ok(more) => return more,
                Err(_) => self.health.reports_awaited(),
            }
        }
        next.await
    }

    async fn take(&self, deliveries: Vec<Delivery>, workers: &mut HashMap<String, Recorded>) {
        let reports: Vec<Report> = deliveries
            .iter()
            .filter_map(|delivery| Report::decode(&delivery.envelope).ok())
            .collect();
        // A report is a hint: what is lost here comes with the next one.
        deliveries.into_iter().for_each(Delivery::ack);
        self.tell_live(&reports);
        self.heed(&reports, workers).await;
        let silent = self.config.lease * 4;
        workers.retain(|_, recorded| recorded.heard_at.elapsed() < silent);
    }

    /// Passes on what attempts tell, before anything waits for the store.
    fn tell_live(&self, reports: &[Report]) {
        let now = self.clock.now();
        let mut live = Vec::new();
        // An attempt's events come in a row, so its word is opened once.
        let mut opened: Option<(&str, Option<Correlation>)> = None;
        for event in reports.iter().flat_map(|report| &report.events) {
            let word = event.correlation.as_str();
            let teller = match opened {
                Some((last, teller)) if last == word => teller,
                _ => self.seal.open(word),
            };
            opened = Some((word, teller));
            let event = teller.and_then(|teller| {
                let teller = Teller {
                    job: teller.job,
                    attempt: teller.attempt,
                    seq: event.seq,
                };
                check(teller, event.event, &event.data, now)
            });
            if event.as_ref().is_none_or(LiveEvent::is_unfit) {
                Counters::count(&self.counters.events);
            }
            live.extend(event);
        }
        if !live.is_empty() {
            self.settler.live(live);
        }
    }

    async fn heed(&self, reports: &[Report], workers: &mut HashMap<String, Recorded>) {
        let mut news = Vec::new();
        let mut rows = Vec::new();
        for report in reports {
            let recorded = workers
                .entry(report.worker.id.clone())
                .or_insert_with(|| Recorded {
                    stages: HashMap::new(),
                    listed: HashSet::new(),
                    asks: HashMap::new(),
                    row_at: None,
                    cannot_start: BTreeMap::new(),
                    heard_at: Instant::now(),
                    every: Duration::ZERO,
                });
            recorded.heard_at = Instant::now();
            recorded.every = Duration::from_millis(report.worker.every_ms.min(MOST_BEAT));
            let in_hand = self.in_hand(report);
            recorded.listed = in_hand.iter().map(|(_, key)| *key).collect();
            let listed = &recorded.listed;
            recorded.stages.retain(|key, _| listed.contains(key));
            news.extend(self.news(report, &in_hand, recorded));
            let fresh = recorded
                .row_at
                .is_some_and(|at| at.elapsed() < self.config.lease / 6);
            let news =
                report.worker.draining || recorded.cannot_start != report.worker.cannot_start;
            if !fresh || news {
                recorded.row_at = Some(Instant::now());
                recorded
                    .cannot_start
                    .clone_from(&report.worker.cannot_start);
                rows.push(self.row(report, &in_hand));
            }
            self.queues.served(report.worker.queues.keys().take(QUEUES));
            for queue in report.worker.missing.iter().take(QUEUES) {
                if let Ok(queue) = queue.parse() {
                    self.queues.reported_missing(&queue);
                }
            }
        }
        if let Err(error) = keep_each_worker(&*self.store, &rows).await {
            tracing::warn!(%error, "workers' rows could not be kept");
            self.health.reports_lost();
            for row in rows {
                workers
                    .entry(row.id)
                    .and_modify(|recorded| recorded.row_at = None);
            }
        }
        // First those who wait for it.
        self.answer(reports, workers).await;
        self.record(news, workers).await;
        self.greet(reports).await;
    }

    /// The attempts that a report lists, as far as their correlation ids are ours.
    fn in_hand<'r>(&self, report: &'r Report) -> Vec<(&'r v1::InHand, (JobId, u32))> {
        let open = |hand: &'r v1::InHand| {
            let correlation = self.seal.open(&hand.correlation)?;
            Some((hand, (correlation.job, correlation.attempt)))
        };
        report.in_hand.iter().filter_map(open).collect()
    }

    fn news(
        &self,
        report: &Report,
        in_hand: &[(&v1::InHand, (JobId, u32))],
        recorded: &Recorded,
    ) -> Vec<News> {
        let worker: Arc<str> = report.worker.id.as_str().into();
        let mut news = Vec::new();
        for (hand, (job, attempt)) in in_hand {
            let (job, attempt) = (*job, *attempt);
            let stage = match (hand.started_at, hand.held) {
                (None, _) => Stage::Listed,
                (Some(_), Held::No) => Stage::Started,
                (Some(_), Held::Asked | Held::Yes) => Stage::Held,
            };
            let asked = hand.held == Held::Asked;
            let known = recorded.stages.get(&(job, attempt));
            if !asked && known.is_some_and(|known| *known >= stage) {
                continue;
            }
            let at = UnixMs(hand.started_at.unwrap_or_default());
            let event = match stage {
                Stage::Listed => Event::Listed {
                    attempt,
                    worker: worker.clone(),
                },
                Stage::Started => Event::Started {
                    attempt,
                    worker: worker.clone(),
                    at,
                },
                Stage::Held => Event::Held {
                    attempt,
                    worker: worker.clone(),
                    started_at: at,
                },
            };
            let control = report.worker.control.clone();
            news.push(News {
                worker: worker.clone(),
                control,
                job,
                attempt,
                stage,
                asked,
                event,
            });
        }
        news
    }

    /// Records news and answers those that asked to hold.
    async fn record(&self, news: Vec<News>, workers: &mut HashMap<String, Recorded>) {
        let events = news
            .iter()
            .map(|news| (news.job, news.event.clone()))
            .collect();
        let followed = match self.recorder.events(events).await {
            Ok(followed) => followed,
            Err(refusal) => {
                tracing::debug!(%refusal, "reports could not be recorded; the next ones will");
                return;
            }
        };
        for (news, followed) in news.into_iter().zip(followed) {
            if let Some(recorded) = workers.get_mut(&*news.worker) {
                recorded.stages.insert((news.job, news.attempt), news.stage);
            }
            if !news.asked || !self.is_control_queue(&news.control) {
                continue;
            }
            let message = vec![format!("{}:{}", news.job, news.attempt)];
            let control = match hold(followed.job.as_ref(), &news) {
                Hold::Yes => v1::Control {
                    held: message,
                    ..v1::Control::default()
                },
                Hold::No => v1::Control {
                    refused: message,
                    ..v1::Control::default()
                },
                // It asks again.
                Hold::Undecided => continue,
            };
            self.control.send(To::One(news.control), control);
        }
    }

    fn row(&self, report: &Report, in_hand: &[(&v1::InHand, (JobId, u32))]) -> WorkerRow {
        WorkerRow {
            id: report.worker.id.clone(),
            seq: report.seq,
            seen_at: self.clock.now(),
            in_hand: in_hand.iter().map(|(_, key)| *key).collect(),
            about: serde_json::to_string(&report.worker).unwrap_or_default(),
        }
    }

    /// We publish to a queue that a worker names only if it can be a control queue.
    fn is_control_queue(&self, name: &str) -> bool {
        name.strip_prefix(&self.names.control())
            .is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The answer to a worker that asked to hold what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Yes,
    No,
    Undecided,
}

/// By the job as it is after the question. It may have been left to the worker as a later attempt than that
/// which the worker knows. One that waits to be dispatched anew, or was, may still be left to it.
fn hold(job: Option<&Job>, news: &News) -> Hold {
    let Some(standing) = job.map(|job| &job.standing) else {
        return Hold::No;
    };
    let known = news.attempt <= standing.attempt;
    let its_own = standing.worker.as_ref() == Some(&news.worker);
    match standing.state {
        State::Running if known && its_own && standing.held => Hold::Yes,
        State::Queued | State::Dispatched if known => Hold::Undecided,
        _ => Hold::No,
    }
}
