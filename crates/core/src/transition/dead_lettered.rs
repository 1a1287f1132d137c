//! The end of an attempt that the broker gave up delivering: a job of a queue whose workers send no reports.

use super::{Change, Step};
use crate::event::DeadLetterCause;
use crate::outcome::{Failure, Retry};
use crate::state::State;

impl Step<'_> {
    /// One failure for each dead letter: no delivery is left, so it is no doubt. A job that a report has
    /// listed is guarded by its worker's lease.
    pub(super) fn dead_lettered(&self, attempt: u32, cause: DeadLetterCause) -> Option<Change> {
        let standing = &self.job.standing;
        let unseen = standing.state == State::Dispatched && standing.worker.is_none();
        if !unseen || !self.is_out(attempt) {
            return None;
        }
        let detail = match cause {
            DeadLetterCause::Rejected => "a worker that sends no reports rejected it",
            DeadLetterCause::DeliveryLimit => {
                "it came back unanswered from workers as often as its queue allows"
            }
        };
        let failure = Failure::new(Failure::WORKER_LOST, detail.to_owned(), attempt);
        Some(self.failed(failure, Retry::Policy, self.known()))
    }
}
