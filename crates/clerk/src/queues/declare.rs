//! The broker's queues: declared at each connection, and anew where one is missing.

use std::time::Duration;

use clerkwork_broker::{Queue, QueueKind, Status};
use clerkwork_core::{Event, QueueName};
use tokio::sync::{mpsc, watch};

use super::{Queues, REFRESH};
use crate::error::Refusal;

/// The most dispatches that are doubted at once.
const UNSEEN: u32 = 1_000;
/// A queue that was missing is declared anew at most this often.
const REDECLARE: Duration = Duration::from_millis(500);
/// How often the fleet's own queues are declared though nothing is known to be missing.
const DECLARE_OWN: Duration = Duration::from_secs(30);

/// Why a queue could not be declared on the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undeclared {
    /// The broker is away, or refused.
    #[error(transparent)]
    Broker(#[from] clerkwork_broker::Error),
    /// What it may have held could not be doubted yet.
    #[error("what the queue may have held could not be doubted: {0}")]
    Record(#[from] Refusal),
}

impl Queues {
    /// Declares a queue on the broker. One that is not there may have been, with jobs on it: they are
    /// doubted first, since nobody could tell afterwards that it was gone.
    pub(super) async fn declare_on_broker(&self, queue: &QueueName) -> Result<(), Undeclared> {
        let inner = &self.0;
        let name = inner.names.jobs(queue.as_str());
        // One at a time, so that nobody declares a queue that somebody else here is not done with.
        let _turn = inner.declaring.lock().await;
        // A queue in this process goes only with all that is known of it.
        if !inner.broker.in_process() {
            self.doubt_what_is_gone(queue, &name).await?;
        }
        let queue = Queue {
            name,
            kind: QueueKind::Work,
            exchange: None,
            dead_letters: Some(inner.names.dead()),
        };
        inner.broker.declare(&queue).await?;
        Ok(())
    }

    /// Doubts every dispatch of a queue that no worker was seen with, if the queue is not there. Once it
    /// is there again, another clerk has done so for all of them, and what went out since then is on it:
    /// so whether it is there is asked after its dispatches are read.
    async fn doubt_what_is_gone(&self, queue: &QueueName, name: &str) -> Result<(), Undeclared> {
        let inner = &self.0;
        let recent = self.recent();
        let (mut doubted, mut after) = (0, None);
        if inner.broker.look(name).await?.is_some() {
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

/// Declares what the fleet itself needs; names what stands in the way.
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
    for queue in [keep(names.dead()), keep(names.aside()), reports, replies] {
        inner.broker.declare(&queue).await?;
    }
    for exchange in [names.notices(), names.control()] {
        inner.broker.declare_fanout(&exchange).await?;
    }
    Ok(())
}

/// Declares everything; names what stands in the way.
async fn declare_all(queues: &Queues) -> Result<(), Undeclared> {
    declare_own(queues).await?;
    let known: Vec<QueueName> = queues.known().keys().cloned().collect();
    for queue in known {
        match queues.declare_on_broker(&queue).await {
            Err(Undeclared::Record(refusal)) => {
                // The others need not wait for the store; whatever is sent to this one comes back.
                tracing::warn!(%queue, %refusal, "the queue is gone and not declared yet");
                queues.missing(&queue);
            }
            declared => declared?,
        }
    }
    Ok(())
}

pub(super) async fn declare_at_each_connect(queues: &Queues) {
    let mut status = queues.0.broker.status();
    loop {
        // The sender lives as long as the broker that we hold.
        let up = |status: &Status| *status == Status::Up;
        if status.wait_for(up).await.is_err() {
            return;
        }
        while let Err(error) = declare_all(queues).await {
            tracing::error!(%error, "the broker's queues could not be declared");
            tokio::time::sleep(REFRESH).await;
        }
        queues.set_declared(true);
        if until_undeclared(queues, &mut status).await.is_err() {
            return;
        }
        queues.set_declared(false);
    }
}

/// Waits until the connection is lost, or some of the fleet's own queues are. What nobody of us consumes
/// from, such as the exchange of control messages, is not missed by us: it is declared now and then.
async fn until_undeclared(
    queues: &Queues,
    status: &mut watch::Receiver<Status>,
) -> Result<(), watch::error::RecvError> {
    let down = |status: &Status| matches!(status, Status::Down(_));
    loop {
        tokio::select! {
            biased;
            lost = async { status.wait_for(down).await.map(|_| ()) } => return lost,
            () = queues.0.own_gone.notified() => return Ok(()),
            () = tokio::time::sleep(DECLARE_OWN) => {
                if let Err(error) = declare_own(queues).await {
                    tracing::warn!(%error, "the fleet's own queues could not be declared");
                }
            }
        }
    }
}

pub(super) async fn declare_missing(queues: &Queues, mut missing: mpsc::Receiver<QueueName>) {
    let mut again = tokio::time::interval(REDECLARE);
    while let Some(first) = missing.recv().await {
        let mut names = vec![first];
        while let Ok(name) = missing.try_recv() {
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            if let Err(error) = queues.declare_on_broker(&name).await {
                tracing::warn!(queue = %name, %error, "the queue could not be declared yet");
            }
        }
        again.tick().await;
    }
}
