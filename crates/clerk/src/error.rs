//! Why a request could not be done, whatever it asked for.

/// Why the clerk could not do what a request asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was done: the store cannot be reached, or the clerk drains.
    #[error("{0}")]
    Unavailable(String),
    /// The store did not answer in time: it may or may not be done.
    #[error("the store did not answer in time: the request may or may not have been done")]
    OutcomeUnknown,
    /// The queue has its most unfinished jobs.
    #[error("queue {0} is full")]
    QueueFull(String),
    /// The tenant has its most unfinished jobs.
    #[error("the tenant has {0} unfinished jobs, which is the most")]
    TenantFull(u64),
    /// A bug of ours.
    #[error("internal error")]
    Internal,
}

impl From<clerkwork_store::Error> for Refusal {
    fn from(error: clerkwork_store::Error) -> Self {
        use clerkwork_store::Error;
        match error {
            Error::Unavailable(_) | Error::Fenced | Error::Setting(_) => {
                Self::Unavailable("the store is away".to_owned())
            }
            Error::Unknown(_) => Self::OutcomeUnknown,
            error @ (Error::Refused(_)
            | Error::Corrupt { .. }
            | Error::Older { .. }
            | Error::Newer { .. }) => {
                tracing::error!(%error, "the store answered what it never should");
                Self::Internal
            }
        }
    }
}
