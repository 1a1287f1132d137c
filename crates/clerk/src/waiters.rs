//! Who waits for which job on this clerk.
//!
//! A waiter subscribes, then reads the store, then waits: so no change falls between. The settler
//! tells each change once; a waiter sees the newest state, not every one.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::{JobId, JobObject};
use clerkwork_store::Kept;
use serde_json::value::RawValue;
use tokio::sync::watch;

/// A state of a job that was committed, as clients see it.
#[derive(Debug)]
pub struct Shown {
    /// Its revision.
    pub rev: u32,
    /// The object, with its JSON output whatever its size.
    pub job: JobObject,
}

impl Shown {
    /// A job as it was read, with its output inlined; `retention` is how long it stays readable.
    pub(crate) fn of(kept: Kept, retention: Duration) -> Self {
        let Kept {
            job,
            output,
            webhook,
        } = kept;
        let mut object = JobObject::of(&job, retention);
        if let Some(output) = output.and_then(inline) {
            object.show_output(output);
        }
        if let Some(webhook) = webhook {
            object.show_webhook(webhook);
        }
        Self {
            rev: job.standing.rev,
            job: object,
        }
    }
}

/// `None` where the bytes are no JSON after all: then they are shown at their own address only.
pub(crate) fn inline(bytes: Bytes) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(bytes.into()).ok()?).ok()
}

/// The registry of waiters.
#[derive(Clone, Debug, Default)]
pub struct Waiters(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    waiting: AtomicUsize,
}

/// The newest state told of each job that somebody waits for.
type Shard = HashMap<JobId, watch::Sender<Option<Arc<Shown>>>>;

const SHARDS: usize = 32;

impl Waiters {
    /// Subscribes to the changes of a job from now on.
    #[must_use]
    pub fn subscribe(&self, id: JobId) -> Watch {
        let mut shard = self.0.shard(id);
        let receiver = shard
            .entry(id)
            .or_insert_with(|| watch::channel(None).0)
            .subscribe();
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        Watch {
            id,
            seen: None,
            receiver: Some(receiver),
            registry: self.0.clone(),
        }
    }

    /// Tells everybody who waits for this job; a state that is not newer than the last told is dropped.
    pub fn tell(&self, id: JobId, shown: impl FnOnce() -> Arc<Shown>) {
        let shard = self.0.shard(id);
        let Some(sender) = shard.get(&id) else { return };
        let shown = shown();
        sender.send_if_modified(|last| {
            let newer = last.as_ref().is_none_or(|last| shown.rev > last.rev);
            if newer {
                *last = Some(shown);
            }
            newer
        });
    }

    /// Wakes everybody who follows this job: there is something new beside its state.
    pub(crate) fn nudge(&self, id: JobId) {
        if let Some(sender) = self.0.shard(id).get(&id) {
            sender.send_modify(|_| ());
        }
    }

    /// Whether anybody waits for this job here.
    #[must_use]
    pub fn has(&self, id: JobId) -> bool {
        self.0.shard(id).contains_key(&id)
    }

    /// The jobs that somebody waits for.
    #[must_use]
    pub fn waited_for(&self) -> Vec<JobId> {
        let ids = |shard: &Mutex<Shard>| lock(shard).keys().copied().collect::<Vec<_>>();
        let mut ids: Vec<JobId> = self.0.shards.iter().flat_map(ids).collect();
        ids.sort_unstable();
        ids
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One waiter's subscription; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    id: JobId,
    /// The revision of the last state that `next` returned.
    seen: Option<u32>,
    /// There until it is dropped.
    receiver: Option<watch::Receiver<Option<Arc<Shown>>>>,
    registry: Arc<Registry>,
}

impl Watch {
    /// Waits for the next state that was not seen yet. Cancel safe.
    pub async fn next(&mut self) -> Arc<Shown> {
        loop {
            self.changed().await;
            if let Some(shown) = self.newest().filter(|shown| self.seen < Some(shown.rev)) {
                self.seen = Some(shown.rev);
                return shown;
            }
        }
    }

    /// Waits until there is something new: a state, or something beside it. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in the registry as long as this subscription does.
        let changed = match &mut self.receiver {
            Some(receiver) => receiver.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }

    /// The newest state told since the subscription's job was first waited for; what is new from now
    /// on is new to `changed`.
    pub(crate) fn newest(&mut self) -> Option<Arc<Shown>> {
        self.receiver.as_mut()?.borrow_and_update().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.registry.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut shard = self.registry.shard(self.id);
        // Under the lock, so that of two that go at once the last one is the last.
        drop(self.receiver.take());
        let unheard = |sender: &watch::Sender<_>| sender.receiver_count() == 0;
        if shard.get(&self.id).is_some_and(unheard) {
            shard.remove(&self.id);
        }
    }
}

impl Registry {
    fn shard(&self, id: JobId) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(id) % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[at])
    }
}

/// What the lock guards is whole at every point, so a panic of another holder does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_inlined() {
        assert_eq!(
            inline(b"{\"a\":1}".to_vec().into()).unwrap().get(),
            "{\"a\":1}"
        );
        assert!(inline(b"{".to_vec().into()).is_none());
        assert!(inline(b"\xff".to_vec().into()).is_none());
    }
}
