//! Delivery limits of queues that were made with another one than new queues get.
//!
//! A queue keeps its arguments for life, and RabbitMQ refuses a declaration that differs. A limit that
//! differs is no reason to do without the queue, so it is used as it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::{Declared, Error, Queue, QueueKind};

/// The limits that queues were found to have. Each refusal costs a channel, so they are remembered for
/// the life of the process.
#[derive(Debug, Default)]
pub(super) struct DeliveryLimits(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_queue: HashMap<String, Limit>,
    /// The limit that was found last: the queues of an older fleet mostly have the same.
    last: Option<Limit>,
}

/// A delivery limit; `None`: the queue has no such argument.
pub(super) type Limit = Option<i64>;

/// The most queues whose limits are remembered.
const MOST: usize = 10_000;

impl DeliveryLimits {
    /// Declares a queue by `declare`, which takes the delivery limit that it has if it is there; by the
    /// right one at last, where it differs in nothing else. `new` is the limit of a new queue.
    pub(super) async fn declare<F>(
        &self,
        queue: &Queue,
        new: Limit,
        declare: impl Fn(Limit) -> F,
    ) -> Result<Declared, Error>
    where
        F: Future<Output = Result<Declared, Error>>,
    {
        let tried = self.guess(queue).unwrap_or(new);
        let (declared, limit) = match declare(tried).await {
            Ok(declared) => (declared, tried),
            Err(refusal) => match current_limit(&refusal) {
                Some(current) if current != tried => (declare(current).await?, current),
                _ => return Err(refusal),
            },
        };
        let limit = if declared.created { new } else { limit };
        if self.remember(queue, limit) && limit != new {
            let limit = limit.map_or("none".to_owned(), |limit| limit.to_string());
            warn!(
                queue = queue.name,
                limit,
                "the queue was made with another delivery limit than new queues get and is used as it \
                 is; to change that, delete it while it is empty"
            );
        }
        Ok(declared)
    }

    /// The limit that a queue has or may have, if it is there.
    fn guess(&self, queue: &Queue) -> Option<Limit> {
        let known = self.known();
        let last = known.last.filter(|_| queue.kind == QueueKind::Work);
        known.by_queue.get(&queue.name).copied().or(last)
    }

    /// Remembers a queue's limit; whether that is news.
    fn remember(&self, queue: &Queue, limit: Limit) -> bool {
        let mut known = self.known();
        if queue.kind == QueueKind::Work {
            known.last = Some(limit);
        }
        if known.by_queue.len() >= MOST && !known.by_queue.contains_key(&queue.name) {
            return false;
        }
        known.by_queue.insert(queue.name.clone(), limit) != Some(limit)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
