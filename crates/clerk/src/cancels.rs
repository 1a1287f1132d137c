//! Control messages: workers are told what is cancelled, what is paused, and what they may hold.
//!
//! Cancels of dispatched jobs are rows until their attempts are answered. They are told at once, and
//! every clerk reads the rows each second and tells what it has not told, so a clerk that dies
//! between commit and telling loses none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, Message};
use clerkwork_core::{ClerkId, JobId, QueueName};
use clerkwork_store::Store;
use clerkwork_wire::Names;
use clerkwork_wire::v1::{self, Stopped};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Sends control messages; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    messages: mpsc::Sender<(To, v1::Control)>,
}

/// Whom a control message is for.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// Every full worker.
    All,
    /// The worker with this control queue.
    One(String),
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct ControlTask {
    pub(crate) names: Names,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) messages: mpsc::Receiver<(To, v1::Control)>,
    pub(crate) stop: CancellationToken,
}

/// The most ids of one message.
pub(crate) const PART: usize = 1_000;
/// How often the rows are read.
const READ: Duration = Duration::from_secs(1);
/// How far back rows are read again: a row with a lower number may be committed later.
const OVERLAP: i64 = 1_000;

impl Control {
    pub(crate) fn new() -> (Self, mpsc::Receiver<(To, v1::Control)>) {
        let (messages, receiver) = mpsc::channel(4_096);
        (Self { messages }, receiver)
    }

    /// Sends a message; a hint, dropped where too many wait.
    pub(crate) fn send(&self, to: To, control: v1::Control) {
        if self.messages.try_send((to, control)).is_err() {
            tracing::warn!("control messages are behind; one was dropped");
        }
    }

    /// Tells every worker to stop these attempts, or not to start them.
    pub(crate) fn stop_attempts(&self, attempts: &[(JobId, u32)]) {
        for attempts in attempts.chunks(PART) {
            self.send(To::All, cancel(attempts.iter().copied()));
        }
    }

    /// Tells every worker of queues whether they are paused. A hint that is told again.
    pub(crate) fn paused<'q>(&self, queues: impl IntoIterator<Item = (&'q QueueName, bool)>) {
        let mut control = v1::Control::default();
        for (queue, paused) in queues {
            let names = match paused {
                true => &mut control.pause,
                false => &mut control.resume,
            };
            names.push(queue.to_string());
        }
        self.send(To::All, control);
    }

    /// Greets a worker: what is cancelled on its queues and which of them are paused.
    pub(crate) fn greet(
        &self,
        queue: &str,
        clerk: ClerkId,
        cancelled: &[Stopped],
        paused: &[String],
    ) {
        let mut parts: Vec<Vec<Stopped>> = cancelled.chunks(PART).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let last = parts.len() - 1;
        for (at, cancelled) in parts.into_iter().enumerate() {
            let control = v1::Control {
                hello: Some(clerk.to_string()),
                cancelled,
                paused: paused.to_vec(),
                complete: at == last,
                ..v1::Control::default()
            };
            self.send(To::One(queue.to_owned()), control);
        }
    }
}

fn cancel(attempts: impl Iterator<Item = (JobId, u32)>) -> v1::Control {
    let cancel = attempts.map(|(job, attempt)| Stopped {
        job: job.to_string(),
        attempt,
    });
    v1::Control {
        cancel: cancel.collect(),
        ..v1::Control::default()
    }
}

impl ControlTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(mut self) {
        let mut read = tokio::time::interval(READ);
        let mut told = HashSet::new();
        let mut highest = 0;
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = read.tick() => self.read(&mut told, &mut highest).await,
                Some((to, control)) = self.messages.recv() => self.send(to, &control).await,
            }
        }
    }

    async fn send(&self, to: To, control: &v1::Control) {
        let (exchange, key) = match to {
            To::All => (self.names.control(), String::new()),
            To::One(queue) => (String::new(), queue),
        };
        let mut envelope = control.encode();
        envelope.user_id = Some(self.broker.user());
        self.broker
            .send(vec![Message {
                exchange,
                key,
                durable: false,
                envelope,
            }])
            .await;
    }

    /// Tells what the rows say and this clerk has not told yet.
    async fn read(&self, told: &mut HashSet<i64>, highest: &mut i64) {
        loop {
            let after = *highest - OVERLAP;
            let rows = match self.store.cancels(after, 2 * OVERLAP as u32).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::debug!(%error, "cancels could not be read");
                    return;
                }
            };
            let news: Vec<_> = rows.iter().filter(|row| told.insert(row.seq)).collect();
            for news in news.chunks(PART) {
                let control = cancel(news.iter().map(|row| (row.job, row.attempt)));
                self.send(To::All, &control).await;
            }
            *highest = rows.last().map_or(*highest, |row| row.seq.max(*highest));
            let floor = *highest - OVERLAP;
            told.retain(|seq| *seq > floor);
            if news.is_empty() {
                return;
            }
        }
    }
}
