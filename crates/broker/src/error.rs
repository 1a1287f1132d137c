//! What can go wrong with a broker.

/// Why a broker did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker does not answer; it is tried again for ever.
    #[error("the broker is away: {0}")]
    Away(String),
    /// The channel or its connection is gone; consume again.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// There is no such queue.
    #[error("there is no queue {0}")]
    Missing(String),
    /// It exists with other arguments; names them.
    #[error("{queue} exists with other arguments: {detail}; delete it or use another --prefix")]
    Mismatch {
        /// The queue or exchange.
        queue: String,
        /// The broker's words.
        detail: String,
    },
    /// The broker refuses to make it, though it is not there otherwise: a limit is reached, perhaps.
    #[error("the broker refuses to make {queue}: {detail}")]
    Refused {
        /// The queue or exchange.
        queue: String,
        /// The broker's words.
        detail: String,
    },
    /// The broker allows fewer channels on a connection than are needed.
    #[error("the broker is not set up for this: {0}")]
    TooFewChannels(String),
    /// The broker's user may not do this.
    #[error("the broker refuses its user: {0}")]
    Forbidden(String),
    /// The address of the broker is no address.
    #[error("not a broker's address: {0}")]
    Address(String),
    /// [`crate::Broker::close`] or [`crate::Consumer::stop`] was called.
    #[error("closed")]
    Closed,
}
