//! The names of queues and exchanges.

use std::fmt::Write as _;

/// The names that one fleet uses on the broker; a prefix lets several fleets share a virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// The names of the fleet with this prefix; `clerkwork` unless set.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The queue of the jobs of one job queue.
    #[must_use]
    pub fn jobs(&self, queue: &str) -> String {
        format!("{}.jobs.{queue}", self.prefix)
    }

    /// The exchange of replies and reports, the queue of replies, and what `reply_to` says.
    #[must_use]
    pub fn replies(&self) -> String {
        self.named("replies")
    }

    /// The queue of reports, bound to the exchange [`Names::replies`] under its own name.
    #[must_use]
    pub fn reports(&self) -> String {
        self.named("reports")
    }

    /// Where the broker puts deliveries over the limit.
    #[must_use]
    pub fn dead(&self) -> String {
        self.named("dead")
    }

    /// Where clerks put replies for jobs that the store should know and does not.
    #[must_use]
    pub fn aside(&self) -> String {
        self.named("aside")
    }

    /// The fanout exchange of notices.
    #[must_use]
    pub fn notices(&self) -> String {
        self.named("notices")
    }

    /// The fanout exchange of control messages.
    #[must_use]
    pub fn control(&self) -> String {
        self.named("control")
    }

    /// The private queue of one clerk's connection for notices; `random` is new per connection.
    #[must_use]
    pub fn notices_of(&self, clerk: &str, random: u128) -> String {
        self.private("notices", clerk, random)
    }

    /// The private queue of one worker's connection for control messages.
    #[must_use]
    pub fn control_of(&self, user: &str, random: u128) -> String {
        self.private("control", user, random)
    }

    fn named(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    fn private(&self, what: &str, owner: &str, random: u128) -> String {
        let mut name = format!("{}.{what}.{owner}.", self.prefix);
        // Writing to a String cannot fail.
        let _ = write!(name, "{random:032x}");
        name
    }
}
