//! A worker at work: its parts are started here, and here they are drained.

mod cancels;
mod control;
mod desk;
mod execute;
mod hands;
mod lane;
mod pace;
mod questions;
mod replier;
mod reporter;
mod sweeper;
mod trouble;
mod unread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::registry::Entry;
use crate::signal::Why;
use crate::{Error, Options};
use desk::Desk;
pub(crate) use execute::too_large;

/// How many replies wait for the one who publishes them.
const REPLIES_BOUND: usize = 1_024;
/// How long an attempt may take to stop once the grace is over.
const LAST_STOP: Duration = Duration::from_secs(2);
/// So long after the grace those that did not stop are dropped, …
const ATTEMPTS_END: Duration = Duration::from_millis(2_500);
/// … what is not confirmed by now is left to others, …
const REPLIES_END: Duration = Duration::from_millis(3_250);
/// … and nothing is left of the worker, so that the connection to the broker can be closed within the
/// 5 seconds that a worker has beyond its grace.
const HELPERS_END: Duration = Duration::from_millis(3_750);

/// How a worker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether a clerk has greeted it, so that it may start jobs.
    pub greeted: bool,
    /// Those of its queues that are not on the broker.
    pub missing: Vec<String>,
    /// Those of its queues whose jobs it cannot start, each with the reason in words.
    pub cannot_start: BTreeMap<String, String>,
    /// Whether it takes no more jobs because it is about to end.
    pub draining: bool,
}

/// Everything that a worker is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) entries: Vec<Entry>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: watch::Sender<Health>,
}

/// Works until `shutdown` is cancelled or a clerk says stop, then drains. So it does where one of its parts
/// dies: what went on without it would be listed and never run, or run and never told.
///
/// Dropping the future ends everything at once; what was in hand comes back.
pub(crate) async fn run(parts: Parts, shutdown: CancellationToken) -> Result<(), Error> {
    let entries = parts.entries.clone();
    let (answers, ready) = mpsc::channel(REPLIES_BOUND);
    let desk = Arc::new(Desk::new(parts, answers));
    let (helpers_stop, replies_finish) = (CancellationToken::new(), CancellationToken::new());

    let mut lanes = JoinSet::new();
    let mut helpers = JoinSet::new();
    let mut replier = JoinSet::new();
    replier.spawn(replier::run(
        Arc::clone(&desk),
        ready,
        replies_finish.clone(),
    ));
    helpers.spawn(control::run(Arc::clone(&desk), helpers_stop.clone()));
    helpers.spawn(reporter::run(Arc::clone(&desk), helpers_stop.clone()));
    helpers.spawn(sweeper::run(Arc::clone(&desk), helpers_stop.clone()));
    for entry in entries {
        lanes.spawn(lane::run(Arc::clone(&desk), entry));
    }

    let died = tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        () = desk.stop_ordered.cancelled() => None,
        ended = lanes.join_next() => Some(ended),
        ended = helpers.join_next() => Some(ended),
        ended = replier.join_next() => Some(ended),
    };
    let died = died.map(|ended| Error::Part(last_words(ended)));
    if let Some(error) = &died {
        tracing::error!(%error, "a part of the worker died");
    }
    tracing::info!(grace = ?desk.options.grace, "draining");
    desk.order(|orders| orders.draining = true);
    let grace_over = Instant::now() + desk.options.grace;
    drain_lanes(&desk, &mut lanes, grace_over).await;
    replies_finish.cancel();
    let end = grace_over + REPLIES_END;
    if timeout_at(end, replier.join_next()).await.is_err() {
        tracing::warn!("not every reply was confirmed in time; their jobs will be run again");
    }
    reporter::last(&desk).await;
    helpers_stop.cancel();
    let all = async { while helpers.join_next().await.is_some() {} };
    if timeout_at(grace_over + HELPERS_END, all).await.is_err() {
        tracing::warn!("a part of the worker did not end in time; it is dropped");
    }
    died.map_or(Ok(()), Err)
}

fn last_words(ended: Option<Result<(), JoinError>>) -> String {
    match ended {
        Some(Err(error)) => error.to_string(),
        _ => "it ended unasked".to_owned(),
    }
}

/// Waits for the attempts that run; at the end of the grace they are told to stop, then ended.
async fn drain_lanes(desk: &Desk, lanes: &mut JoinSet<()>, grace_over: Instant) {
    let all = async { while lanes.join_next().await.is_some() {} };
    if timeout_at(grace_over, all).await.is_ok() {
        return;
    }
    desk.hands.each(|hand| {
        hand.stop(Why::Draining, LAST_STOP);
    });
    let all = async { while lanes.join_next().await.is_some() {} };
    if timeout_at(grace_over + ATTEMPTS_END, all).await.is_err() {
        tracing::warn!("some attempts did not stop; they are dropped");
        lanes.abort_all();
    }
}
