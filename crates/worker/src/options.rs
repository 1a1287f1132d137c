//! The settings of a worker.

use std::time::Duration;

use crate::Error;

/// The settings of a worker; the defaults are those of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Begins the names of queues and exchanges.
    pub prefix: String,
    /// How often a worker reports at least.
    pub heartbeat: Duration,
    /// How long an attempt runs before its delivery is acknowledged and the lease alone guards it.
    pub hold_after: Duration,
    /// How long a draining worker lets its attempts go on.
    pub grace: Duration,
    /// The largest output.
    pub max_output: usize,
    /// The broker user that control messages must carry; unset, any.
    pub clerk_user: Option<String>,
    /// The kind of worker, as reports say it.
    pub sdk: String,
    /// The version of that.
    pub version: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "clerkwork".to_owned(),
            heartbeat: Duration::from_secs(5),
            hold_after: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            max_output: 4 * 1024 * 1024,
            clerk_user: None,
            sdk: "rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (low, high) = (Duration::from_millis(50), Duration::from_secs(60));
        if self.heartbeat < low || self.heartbeat > high {
            return Err(Error::OutOfRange {
                setting: "heartbeat",
                given: self.heartbeat,
                range: "50ms to 60s",
            });
        }
        Ok(())
    }
}
