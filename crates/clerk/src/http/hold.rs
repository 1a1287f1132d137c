//! Holding a request: subscribe, then read the store, then wait.

use std::sync::Arc;

use clerkwork_core::JobId;
use clerkwork_core::public::MAX_TOLD_OUTPUT;
use tokio::time::Instant;

use crate::http::prefer::Wait;
use crate::http::problem::Problem;
use crate::http::view;
use crate::{Desk, Shown, Watch};

/// What a held request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The job's end.
    Done,
    /// Any state newer than this one.
    NewerThan(u32),
}

/// Why a request was answered when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There was nothing to wait for, or no longer.
    Reached,
    /// It waited as long as it may.
    TimeUp,
    /// The clerk drains.
    Draining,
    /// The client sends no more, and may have gone.
    HalfClosed,
}

/// What a request has to answer.
#[derive(Debug)]
pub(crate) struct Held {
    /// The newest state that is known.
    pub(crate) newest: Arc<Shown>,
    /// Why now.
    pub(crate) end: End,
}

impl Held {
    /// A state that is answered at once.
    pub(crate) fn at_once(newest: Arc<Shown>) -> Self {
        Self {
            newest,
            end: End::Reached,
        }
    }
}

/// Reads a job, with its output unless that is large; `None` where the tenant, if it must be one's, has no such job.
pub(crate) async fn read(
    desk: &Desk,
    tenant: Option<&str>,
    id: JobId,
) -> Result<Option<Arc<Shown>>, Problem> {
    let kept = desk.store.get(tenant, &[id], MAX_TOLD_OUTPUT).await?;
    Ok(kept
        .into_iter()
        .next()
        .map(|kept| Arc::new(view::shown(desk, kept))))
}

/// Holds a request that was subscribed before `first` was read, for as long as it asked.
///
/// The answer never fails: what was accepted or read stays true when the store goes away.
pub(crate) async fn hold(
    desk: &Desk,
    tenant: Option<&str>,
    first: Arc<Shown>,
    watch: Option<Watch>,
    until: Until,
    wait: &Wait,
) -> Held {
    let (Some(mut watch), Some(span)) = (watch, wait.span()) else {
        return Held::at_once(first);
    };
    let mut newest = first;
    {
        let time_up = tokio::time::sleep_until(Instant::now() + span);
        let draining = desk.draining.cancelled();
        let half_closed = wait.half_closed();
        tokio::pin!(time_up, draining, half_closed);
        while !until.is_reached(&newest) {
            tokio::select! {
                biased;
                shown = watch.next() => if shown.rev > newest.rev { newest = shown },
                () = &mut draining => return Held { newest, end: End::Draining },
                () = &mut half_closed => return Held { newest, end: End::HalfClosed },
                () = &mut time_up => break,
            }
        }
    }
    if until.is_reached(&newest) {
        return Held::at_once(newest);
    }
    // A hint may have been lost: the answer at the end of a wait is the current state.
    if let Ok(Some(read)) = read(desk, tenant, newest.job.id).await
        && read.rev > newest.rev
    {
        newest = read;
    }
    let end = if until.is_reached(&newest) {
        End::Reached
    } else {
        End::TimeUp
    };
    Held { newest, end }
}

impl Until {
    fn is_reached(self, shown: &Shown) -> bool {
        shown.job.done
            || match self {
                Self::Done => false,
                Self::NewerThan(rev) => shown.rev > rev,
            }
    }
}
