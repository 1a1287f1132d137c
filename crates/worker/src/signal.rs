//! How an attempt is told to stop, why, and how it is ended if it does not.

use std::sync::OnceLock;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why an attempt is to stop. The first reason counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A client cancelled the job.
    Cancelled,
    /// A clerk said that it is not wanted: superseded, or in other hands. Nobody is answered for it, unless it succeeds.
    Refused,
    /// It ran longer than it may.
    TimedOut,
    /// The worker drains and its grace is over.
    Draining,
}

/// The two signals of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    why: OnceLock<Why>,
    asked: CancellationToken,
    forced: Notify,
}

impl Signal {
    /// Asks the attempt to stop; says whether this was the first time.
    pub(crate) fn ask(&self, why: Why) -> bool {
        let first = self.why.set(why).is_ok();
        self.asked.cancel();
        first
    }

    /// Why it was asked to stop, if it was.
    pub(crate) fn why(&self) -> Option<Why> {
        self.why.get().copied()
    }

    /// The signal that handlers see.
    pub(crate) fn asked(&self) -> &CancellationToken {
        &self.asked
    }

    /// Ends the attempt where it stands.
    pub(crate) fn force(&self) {
        self.forced.notify_one();
    }

    /// Waits for [`Signal::force`]; for one waiter.
    pub(crate) async fn forced(&self) {
        self.forced.notified().await;
    }
}
