//! Reasons for which a broker gives up delivering a message, and what an operator can do about each.

use clerkwork_core::DeadLetterCause;

/// The broker's reason to give up delivering a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Rejected,
    DeliveryLimit,
    Expired,
    MaxLength,
    Unknown,
}

impl Reason {
    /// Reads the broker's word for it.
    pub(super) fn of(word: Option<&str>) -> Self {
        match word {
            Some("rejected") => Self::Rejected,
            Some("delivery_limit") => Self::DeliveryLimit,
            Some("expired") => Self::Expired,
            Some("maxlen") => Self::MaxLength,
            _ => Self::Unknown,
        }
    }

    /// The cause, where a worker had the message.
    pub(super) fn cause(self) -> Option<DeadLetterCause> {
        match self {
            Self::Rejected => Some(DeadLetterCause::Rejected),
            Self::DeliveryLimit => Some(DeadLetterCause::DeliveryLimit),
            Self::Expired | Self::MaxLength | Self::Unknown => None,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Rejected => "rejected by a worker",
            Self::DeliveryLimit => "delivered too often",
            Self::Expired => "expired",
            Self::MaxLength => "the queue was full",
            Self::Unknown => "unknown",
        }
    }

    /// The sentence for the log: a policy is an operator's to take away.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Expired => {
                "queue dropped jobs by a time limit; redispatching them: remove the policy with message-ttl"
            }
            Self::MaxLength => {
                "queue dropped jobs by a length limit; redispatching them: remove the policy with max-length"
            }
            Self::Rejected | Self::DeliveryLimit | Self::Unknown => {
                "broker gave up delivering jobs; redispatching them: look at the queue's workers"
            }
        }
    }
}
