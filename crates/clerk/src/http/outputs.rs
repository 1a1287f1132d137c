//! Large outputs on their way to clients: one copy of each, however many read it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::JobId;
use clerkwork_store::Blob;
use serde::de::IgnoredAny;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::Desk;
use crate::bytes_in_flight::{Owner, Reserved, TooManyBytes};
use crate::http::problem::Problem;
use crate::http::rates;

/// The longest wait for an output, others' tries to read it included.
const PATIENCE: Duration = Duration::from_secs(8);

/// The outputs that are on their way; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs(Arc<Mutex<HashMap<JobId, Weak<Slot>>>>);

/// An output that is being read from the store, or was: by whoever needed it first.
#[derive(Debug)]
struct Slot {
    outputs: Outputs,
    job: JobId,
    output: OnceCell<Option<Output>>,
}

/// An output, which never changes.
#[derive(Debug)]
struct Output {
    blob: Blob,
    is_json: bool,
    _reserved: Reserved,
}

/// Somebody's use of an output, which stays in memory until nobody uses it; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SharedOutput(Arc<Slot>);

impl Outputs {
    /// The output of a job, which has this many bytes and which the caller may see; `None` where it is
    /// gone.
    pub(crate) async fn get(
        &self,
        desk: &Desk,
        owner: Owner,
        job: JobId,
        bytes: u64,
    ) -> Result<Option<SharedOutput>, Problem> {
        let slot = self.slot(job);
        let read = async || {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let reserved = desk.limits.bytes().reserve(owner, bytes).await;
            let reserved = reserved.map_err(rates::too_many_bytes)?;
            let read = desk.store.output(None, job).await?;
            Ok::<_, Problem>(read.map(|blob| Output {
                is_json: serde_json::from_slice::<IgnoredAny>(&blob.bytes).is_ok(),
                blob,
                _reserved: reserved,
            }))
        };
        let there = timeout(PATIENCE, slot.output.get_or_try_init(read)).await;
        let there = there.map_err(|_| rates::too_many_bytes(TooManyBytes::OfClerk))?;
        let there = there?.is_some();
        Ok(there.then_some(SharedOutput(slot)))
    }

    fn slot(&self, job: JobId) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&job).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Arc::new(Slot {
            outputs: self.clone(),
            job,
            output: OnceCell::new(),
        });
        slots.insert(job, Arc::downgrade(&slot));
        slot
    }

    /// Locks the slots, which are whole at every point: a panic of another holder does not matter.
    fn slots(&self) -> MutexGuard<'_, HashMap<JobId, Weak<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.outputs.slots();
        // Another may have taken its place since its last use ended.
        if slots
            .get(&self.job)
            .is_some_and(|slot| slot.strong_count() == 0)
        {
            slots.remove(&self.job);
        }
    }
}

impl SharedOutput {
    /// Its media type.
    pub(crate) fn media_type(&self) -> &str {
        let output = self.output();
        output.map_or("", |output| &output.blob.content.media_type)
    }

    /// Tells whether it can stand in a JSON text.
    pub(crate) fn is_json(&self) -> bool {
        self.output().is_some_and(|output| output.is_json)
    }

    /// Its bytes, which keep it in memory.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    fn output(&self) -> Option<&Output> {
        self.0.output.get()?.as_ref()
    }
}

impl AsRef<[u8]> for SharedOutput {
    fn as_ref(&self) -> &[u8] {
        self.output().map_or(&[], |output| &output.blob.bytes)
    }
}
