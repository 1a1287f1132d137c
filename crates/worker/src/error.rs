//! What is wrong with a worker that does not start, or ends unasked.

/// Why a worker was refused at its start, or ended unasked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no queue.
    #[error("a worker needs at least one queue; add one with Worker::queue or --queue")]
    NoQueue,
    /// Two handlers for one queue.
    #[error("queue {0} has two handlers; a queue has one per worker")]
    DuplicateQueue(String),
    /// Not the name of a queue.
    #[error("{name:?} is not the name of a queue: {why}")]
    InvalidQueue {
        /// What was given.
        name: String,
        /// What a name looks like.
        why: String,
    },
    /// A concurrency was set for a queue that has no handler.
    #[error("queue {0} has a concurrency but no handler")]
    NoHandler(String),
    /// A concurrency out of range.
    #[error("the concurrency of queue {queue} is {given}; it must be 1 to 10000")]
    Concurrency {
        /// The queue.
        queue: String,
        /// What was given.
        given: usize,
    },
    /// A setting out of range.
    #[error("{setting} is {given:?}; it must be {range}")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// What was given.
        given: std::time::Duration,
        /// What is allowed.
        range: &'static str,
    },
    /// A command that is no command.
    #[error("the command of queue {0} is empty; give a program and its arguments")]
    EmptyCommand(String),
    /// A command whose program is nowhere.
    #[error("there is no program {0} that can be executed; give its path, or see PATH")]
    NoProgram(String),
    /// A URL that is no service's.
    #[error(
        "the URL of the service does not fit: {0}; it is written like http://127.0.0.1:9000/jobs"
    )]
    NoService(String),
    /// A part of it ended while it ran.
    #[error(
        "a part of the worker died, so it drained and ended: {0}; start it again, and report this"
    )]
    Part(String),
    /// A command line that a shell would not take.
    #[error("cannot split {line:?} into words: {why}")]
    Unquoted {
        /// The line.
        line: String,
        /// What is wrong.
        why: String,
    },
}
