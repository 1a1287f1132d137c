//! The states of a job.

use crate::public::Status;

/// Where a job is in its life. The number is what the store keeps; final states are the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum State {
    /// Not due yet: a delay, or a retry that waits.
    Scheduled = 0,
    /// Due, in the store only.
    Queued = 1,
    /// Given to the broker under an attempt's number; not known to have started.
    Dispatched = 2,
    /// A worker said that it started.
    Running = 3,
    /// Final: there is an output.
    Succeeded = 10,
    /// Final: no attempts left, or an error that no attempt can mend.
    Failed = 11,
    /// Final: a client asked for it.
    Cancelled = 12,
    /// Final: not started by its start deadline.
    Expired = 13,
}

impl State {
    /// All states, in order.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Queued,
        Self::Dispatched,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The number of the first final state: every state from here on is final.
    pub const FIRST_FINAL: i16 = Self::Succeeded as i16;

    /// Whether nothing can happen to the job any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self >= Self::Succeeded
    }

    /// Whether an attempt is under way as far as we know.
    #[must_use]
    pub fn is_out(self) -> bool {
        matches!(self, Self::Dispatched | Self::Running)
    }

    /// The number that the store keeps.
    #[must_use]
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The state with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// What clients see: a dispatched job is queued to them.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Scheduled => Status::Scheduled,
            Self::Queued | Self::Dispatched => Status::Queued,
            Self::Running => Status::Running,
            Self::Succeeded => Status::Succeeded,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
            Self::Expired => Status::Expired,
        }
    }
}
