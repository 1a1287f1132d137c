//! A worker gives a job back that it could not start.

use super::{Change, Seen, Step};
use crate::state::State;

impl Step<'_> {
    /// Nothing of it ran: it waits for its turn as before, and its start deadline holds on.
    ///
    /// Of an attempt after the first, whose start is on record since it was granted or listed, nobody can
    /// tell whether an earlier one ran; so that counts as a start.
    pub(super) fn not_started(&self, seen: Seen) -> Change {
        let standing = &self.job.standing;
        if standing.cancel_requested_at.is_some() {
            return self.returned(seen);
        }
        if standing.state == State::Dispatched {
            return self.queue(standing.due_at);
        }
        if standing.attempt > 1 {
            return self.returned(seen);
        }
        let mut job = self.job.clone();
        job.standing.started_at = None;
        Step::new(&job, self.moment).queue(standing.due_at)
    }
}
