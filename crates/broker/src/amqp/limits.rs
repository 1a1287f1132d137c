//! Delivery limits of queues that were made with another one than new queues get.
//!
//! A queue keeps its arguments for life, and RabbitMQ refuses a declaration that differs. A limit that
//! differs is no reason to do without the queue, so it is used as it is.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tracing::warn;

use crate::{Error, Queue};

/// The queues that were found to have another limit, each of which is named in the log once.
#[derive(Debug, Default)]
pub(super) struct DeliveryLimits(Mutex<HashSet<String>>);

/// A delivery limit; `None`: the queue has no such argument.
pub(super) type Limit = Option<i64>;

/// The most queues that are remembered.
const MOST: usize = 10_000;

impl DeliveryLimits {
    /// The delivery limit that a queue has, if its declaration was refused for that and nothing else.
    pub(super) fn current(&self, queue: &Queue, refusal: &Error) -> Option<Limit> {
        let current = current_limit(refusal)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST && known.insert(queue.name.clone()) {
            let limit = current.map_or("none".to_owned(), |limit| limit.to_string());
            warn!(
                queue = queue.name,
                limit,
                "the queue was made with another delivery limit than new queues get and is used as it \
                 is; to change that, delete it while it is empty"
            );
        }
        Some(current)
    }
}

/// The delivery limit that a queue has, where the broker refused a declaration because of that one.
fn current_limit(refusal: &Error) -> Option<Limit> {
    let Error::Mismatch { detail, .. } = refusal else {
        return None;
    };
    let rest = detail.split_once("inequivalent arg 'x-delivery-limit'")?.1;
    let current = rest.rsplit_once("but current is ")?.1;
    if current.starts_with("none") {
        return Some(None);
    }
    let value = current.strip_prefix("the value ").unwrap_or(current);
    let value = value.strip_prefix('\'')?.split_once('\'')?.0;
    Some(Some(value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arg: &str, current: &str) -> Error {
        let detail = format!(
            "PRECONDITION_FAILED - inequivalent arg '{arg}' for queue 'clerkwork.jobs.q' in vhost '/': \
             received the value '20' of type 'long' but current is {current}"
        );
        Error::Mismatch {
            queue: "clerkwork.jobs.q".to_owned(),
            detail,
        }
    }

    #[test]
    fn a_refusal_tells_the_delivery_limit_and_no_other_argument() {
        let limit = "x-delivery-limit";
        let current = |arg, current| current_limit(&refusal(arg, current));
        let long = current(limit, "the value '1000' of type 'long'");
        assert_eq!(long, Some(Some(1_000)));
        assert_eq!(current(limit, "'1000'"), Some(Some(1_000)));
        assert_eq!(current(limit, "none"), Some(None));
        let other = current("x-max-length", "the value '1000' of type 'long'");
        assert_eq!(other, None);
        assert_eq!(current(limit, "the value 'x' of type 'longstr'"), None);
        assert_eq!(current_limit(&Error::Missing("q".to_owned())), None);
    }
}
