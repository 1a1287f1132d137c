//! One of the jobs that a WebSocket follows.

use std::collections::HashMap;
use std::sync::Arc;

use clerkwork_core::JobId;
use futures_util::future::AbortHandle;

use crate::Desk;
use crate::events::{Hub, Position};
use crate::http::auth::Reader;
use crate::http::follow::{Follower, Frame};
use crate::http::problem::Problem;
use crate::http::rates;
use crate::limits::FollowedJob;

/// The most bytes of live events that may wait for a client that reads nothing.
const MOST_WAITING: usize = 4 * 1024 * 1024;

/// A job that is followed.
pub(super) struct Subscription {
    /// Which one of this connection.
    pub(super) number: u64,
    /// Ends the wait for what comes next.
    pub(super) pull: AbortHandle,
    /// How far the client has come, once it was sent anything.
    pub(super) at: Option<Position>,
}

/// What comes of a subscription.
pub(super) struct Came {
    pub(super) job: JobId,
    /// As the client wrote it.
    pub(super) name: String,
    /// Which subscription of this connection.
    pub(super) number: u64,
    pub(super) what: Result<(Box<Following>, Frame), Problem>,
}

/// A job that is followed, as long as it is counted.
pub(super) struct Following {
    pub(super) follower: Follower,
    _counted: FollowedJob,
}

/// Begins to follow. Who has seen the end already is shown it once more, because that ends a
/// subscription.
pub(super) async fn begin(
    desk: Arc<Desk>,
    reader: Reader,
    job: JobId,
    after: Option<Position>,
) -> Result<(Box<Following>, Frame), Problem> {
    let counted = desk.limits.follow(reader.viewer(job));
    let counted = counted.map_err(rates::too_many_streams)?;
    let follower = match Follower::begin(&desk, &reader, job, after).await? {
        Some(follower) => Some(follower),
        None => Follower::begin(&desk, &reader, job, None).await?,
    };
    let mut following = Box::new(Following {
        follower: follower.ok_or_else(Problem::no_such_job)?,
        _counted: counted,
    });
    let frame = following.follower.next().await?;
    Ok((following, frame))
}

/// Whether more live events wait for the client than may, beside what is just being written.
pub(super) fn is_too_much(hub: &Hub, subscriptions: &HashMap<JobId, Subscription>) -> bool {
    let positions = subscriptions.iter();
    let mut positions = positions.filter_map(|(job, subscription)| Some((*job, subscription.at?)));
    let mut bytes = 0;
    positions.any(|(job, at)| {
        bytes += hub.waiting(job, at);
        bytes > MOST_WAITING
    })
}
