//! The broker's queues: declared at each connection, and anew where one is missing.

use std::time::Duration;

use clerkwork_broker::{Queue, QueueKind, Status};
use clerkwork_core::{Event, QueueName};
use clerkwork_faults::{Defect, has};
use tokio::sync::{Notify, mpsc};

use super::failures::is_refusal;
use super::{Queues, REFRESH};
use crate::error::Refusal;

/// The most dispatches that are doubted at once.
const UNSEEN: u32 = 1_000;
/// A queue that was missing is declared anew at most this often.
const REDECLARE: Duration = Duration::from_millis(500);
/// The interval at which the fleet's own queues are declared though nothing is known to be missing.
const DECLARE_OWN: Duration = Duration::from_secs(30);
/// The longest wait before the fleet's own queues are declared again.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The reason why a queue could not be declared on the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undeclared {
    /// The broker is away, or refused.
    #[error(transparent)]
    Broker(#[from] clerkwork_broker::Error),
    /// The jobs that it may have held could not be doubted yet.
    #[error("what the queue may have held could not be doubted: {0}")]
    Record(#[from] Refusal),
}

impl Undeclared {
    /// Tells whether the broker refuses this queue and would do so again: that is noted, and tried later.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Broker(error) if is_refusal(error))
    }
}

impl Queues {
    /// Declares a queue on the broker, and notes where it is refused. One that is not there may have been,
    /// with jobs on it: they are doubted first, since nobody could tell afterwards that it was gone. Also one
    /// that is new in the store may have held some, before it was deleted.
    pub(super) async fn declare_on_broker(
        &self,
        queue: &QueueName,
        is_new: bool,
    ) -> Result<(), Undeclared> {
        let inner = &self.0;
        let name = inner.names.jobs(queue.as_str());
        // One at a time, so that nobody declares a queue that somebody else here is not done with.
        let _turn = inner.declaring.lock().await;
        let declared = async {
            // A queue in this process goes only with all that is known of it.
            if !inner.broker.in_process() {
                self.doubt_what_is_gone(queue, &name, is_new).await?;
            }
            let work = Queue {
                name: name.clone(),
                kind: QueueKind::Work,
                exchange: None,
                dead_letters: Some(inner.names.dead()),
            };
            inner.broker.declare(&work).await?;
            Ok(())
        };
        let declared = declared.await;
        match &declared {
            Ok(()) => {
                if inner.failures.forget(&name) {
                    tracing::info!(%queue, "the queue is declared: it was refused before");
                }
            }
            Err(Undeclared::Broker(error)) => _ = inner.failures.note(&name, error),
            Err(Undeclared::Record(_)) => {}
        }
        declared
    }

    /// Declares a queue that may be missing, unless it was refused lately, or deleted.
    async fn redeclare(&self, queue: &QueueName) -> Result<(), Undeclared> {
        let inner = &self.0;
        let is_waiting = inner.failures.is_waiting(&inner.names.jobs(queue.as_str()));
        // Another clerk may just have deleted it.
        if is_waiting || !self.is_stored(queue).await? {
            return Ok(());
        }
        self.declare_on_broker(queue, false).await
    }

    /// Doubts every dispatch of a queue that no worker was seen with, if the queue is not there. Once it
    /// is there again, another clerk has done so for all of them, and what went out since then is on it:
    /// so whether it is there is asked after its dispatches are read. One that is new mostly has none, and is not
    /// asked about: each question about a missing queue uses up a channel. None is known to be gone, since one that
    /// was on its way may reach the queue that another clerk has just declared.
    async fn doubt_what_is_gone(
        &self,
        queue: &QueueName,
        name: &str,
        is_new: bool,
    ) -> Result<(), Undeclared> {
        let inner = &self.0;
        let recent = self.recent();
        let (mut doubted, mut after) = (0, None);
        if !is_new && inner.broker.look(name).await?.is_some() {
            return Ok(());
        }
        loop {
            let out = inner.store.dispatched(queue, recent, after, UNSEEN).await;
            let out = out.map_err(Refusal::from)?;
            let Some(last) = out.last() else { break };
            if inner.broker.look(name).await?.is_some() {
                break;
            }
            after = Some(last.id);
            let unseen = out.iter().filter(|job| job.standing.worker.is_none());
            let events = unseen.map(|job| {
                let attempt = job.standing.attempt;
                (job.id, Event::Doubted { attempt })
            });
            let followed = inner.recorder.events(events.collect()).await?;
            doubted += followed.iter().filter(|followed| followed.changed).count();
        }
        if doubted > 0 {
            tracing::warn!(%queue, doubted, "the queue was gone: what it held is dispatched anew");
        }
        Ok(())
    }
}

/// Declares what the fleet itself needs, each queue by itself. One that is there with other arguments is
/// noted, and serves as it is.
async fn declare_own(queues: &Queues) -> Result<(), clerkwork_broker::Error> {
    let inner = &queues.0;
    let names = &inner.names;
    let keep = |name| Queue {
        name,
        kind: QueueKind::Keep,
        exchange: None,
        dead_letters: None,
    };
    let reports = Queue {
        name: names.reports(),
        kind: QueueKind::Hints,
        exchange: Some(names.replies()),
        dead_letters: None,
    };
    let replies = Queue {
        name: names.replies(),
        kind: QueueKind::Replies,
        exchange: Some(names.replies()),
        dead_letters: Some(names.dead()),
    };
    let mut all = Ok(());
    for queue in [keep(names.dead()), keep(names.aside()), reports, replies] {
        let declared = inner.broker.declare(&queue).await.map(|_| ());
        all = all.and(queues.own_declared(&queue.name, declared)?);
    }
    for exchange in [names.notices(), names.control()] {
        let declared = inner.broker.declare_fanout(&exchange).await;
        all = all.and(queues.own_declared(&exchange, declared)?);
    }
    all
}

impl Queues {
    /// Notes what came of one of the fleet's own: the inner answer is whether it can be used, the outer one
    /// whether others can be declared.
    fn own_declared(
        &self,
        name: &str,
        declared: Result<(), clerkwork_broker::Error>,
    ) -> Result<Result<(), clerkwork_broker::Error>, clerkwork_broker::Error> {
        let failures = &self.0.failures;
        match declared {
            Ok(()) => {
                failures.forget(name);
                Ok(Ok(()))
            }
            Err(error) if failures.note(name, &error) => Ok(match error {
                clerkwork_broker::Error::Mismatch { .. } => Ok(()),
                refused => Err(refused),
            }),
            Err(away) => Err(away),
        }
    }
}

pub(super) async fn declare_at_each_connect(queues: &Queues) {
    let mut status = queues.0.broker.status();
    loop {
        // The sender lives as long as the broker that we hold.
        let up = |status: &Status| *status == Status::Up;
        if status.wait_for(up).await.is_err() {
            return;
        }
        let down = |status: &Status| matches!(status, Status::Down(_));
        tokio::select! {
            biased;
            lost = status.wait_for(down) => if lost.is_err() {
                return;
            },
            () = keep_declared(queues) => {}
        }
        queues.set_declared(false);
    }
}

/// Declares the fleet's own queues first, since replies come through them, then those of jobs, and all of
/// them anew when some of its own are gone. Never ends.
async fn keep_declared(queues: &Queues) {
    let own_are_there = Notify::new();
    let own = async {
        loop {
            declare_own_patiently(queues).await;
            while has(Defect::MismatchStopsAll) && !queues.failed().mismatched.is_empty() {
                tokio::time::sleep(REFRESH).await;
            }
            queues.set_declared(true);
            own_are_there.notify_one();
            until_own_are_gone(queues).await;
        }
    };
    let jobs = async {
        loop {
            own_are_there.notified().await;
            declare_job_queues(queues).await;
        }
    };
    tokio::join!(own, jobs);
}

async fn declare_own_patiently(queues: &Queues) {
    let mut wait = REFRESH;
    while let Err(error) = declare_own(queues).await {
        tracing::error!(
            %error,
            "the fleet's own queues cannot be declared: nothing is consumed until they are"
        );
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Waits until some of the fleet's own queues are gone. What nobody of us consumes from, such as the
/// exchange of control messages, is not missed by us: it is declared now and then.
async fn until_own_are_gone(queues: &Queues) {
    loop {
        tokio::select! {
            biased;
            () = queues.0.own_gone.notified() => return,
            () = tokio::time::sleep(DECLARE_OWN) => {
                if let Err(error) = declare_own(queues).await {
                    tracing::warn!(%error, "the fleet's own queues could not be declared");
                }
            }
        }
    }
}

/// Declares the queues of jobs, each by itself: one that is refused holds up no other.
async fn declare_job_queues(queues: &Queues) {
    let known: Vec<QueueName> = queues.known().keys().cloned().collect();
    for queue in known {
        while let Err(error) = queues.redeclare(&queue).await {
            if error.is_refusal() {
                break;
            }
            tracing::warn!(%queue, %error, "the queue could not be declared yet");
            if matches!(error, Undeclared::Record(_)) {
                // The others need not wait for the store; whatever is sent to this one comes back.
                queues.missing(&queue);
                break;
            }
            tokio::time::sleep(REFRESH).await;
        }
    }
}

/// Declares again what was missing, and now and then what was refused.
pub(super) async fn declare_missing(queues: &Queues, mut missing: mpsc::Receiver<QueueName>) {
    let mut again = tokio::time::interval(REDECLARE);
    let mut retry = tokio::time::interval(REFRESH);
    loop {
        let mut names = tokio::select! {
            biased;
            _ = retry.tick() => queues.refused_and_due(),
            first = missing.recv() => match first {
                Some(first) => vec![first],
                None => return,
            },
        };
        while let Ok(name) = missing.try_recv() {
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        for name in &names {
            if let Err(error) = queues.redeclare(name).await
                && !error.is_refusal()
            {
                tracing::warn!(queue = %name, %error, "the queue could not be declared yet");
            }
        }
        if !names.is_empty() {
            again.tick().await;
        }
    }
}

impl Queues {
    /// The queues that were refused and that it is time to declare again.
    fn refused_and_due(&self) -> Vec<QueueName> {
        let inner = &self.0;
        if *inner.broker.status().borrow() != Status::Up {
            return Vec::new();
        }
        let of_jobs = inner.names.jobs("");
        let mut due = Vec::new();
        for name in inner.failures.due() {
            // The others are the fleet's own.
            let Some(Ok(queue)) = name.strip_prefix(&of_jobs).map(str::parse) else {
                continue;
            };
            if self.is_known(&queue) {
                due.push(queue);
            } else {
                inner.failures.forget_old(&name);
            }
        }
        due
    }
}
