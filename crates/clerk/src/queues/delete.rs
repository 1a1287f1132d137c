//! Deleting a queue, here and on the broker, taking back one that was refused, and forgetting one that another clerk
//! deleted.

use clerkwork_core::{Clock as _, QueueName};
use clerkwork_store::QueueDeletion;

use super::Queues;
use crate::error::Refusal;

impl Queues {
    /// Deletes a queue that has no unfinished jobs, and the broker's queue if nothing waits on it.
    ///
    /// # Errors
    /// The store is away or did not answer.
    pub async fn delete(&self, queue: &QueueName) -> Result<QueueDeletion, Refusal> {
        let inner = &self.0;
        let deletion = inner.store.delete_queue(queue, inner.clock.now()).await?;
        if deletion != QueueDeletion::Deleted {
            return Ok(deletion);
        }
        self.forget(queue);
        let name = inner.names.jobs(queue.as_str());
        let _turn = inner.declaring.lock().await;
        if self.is_stored(queue).await? {
            // It was declared again meanwhile.
            return Ok(deletion);
        }
        match inner.broker.delete(&name).await {
            Ok(true) => tracing::info!(%queue, "the queue is deleted"),
            Ok(false) => tracing::warn!(
                %queue,
                "the queue is deleted, but not on the broker, where messages of cancelled jobs wait: \
                 delete {name} by hand"
            ),
            Err(error) => tracing::warn!(
                %queue, %error,
                "the queue is deleted, but not on the broker: delete {name} by hand"
            ),
        }
        self.find_stranded(queue).await;
        Ok(deletion)
    }

    /// Makes a queue known again to which jobs were dispatched while it was deleted: their messages are gone with it,
    /// or wait where nobody looks. What goes out from now on comes back, and what waits in the backlog is found there.
    async fn find_stranded(&self, queue: &QueueName) {
        match self.0.store.dispatched(queue, self.recent(), None, 1).await {
            Ok(out) if out.is_empty() => {}
            Ok(_) => {
                tracing::info!(%queue, "jobs were dispatched to the queue while it was deleted; it is declared again");
                self.has_jobs(queue);
            }
            Err(error) => {
                tracing::warn!(%queue, %error, "jobs may be dispatched to the deleted queue; declare it again to see them");
            }
        }
    }

    /// Takes back a new queue that the broker refused. That it was refused is remembered for a while, and shown.
    pub(super) async fn unmake(&self, queue: &QueueName) -> Result<(), Refusal> {
        let inner = &self.0;
        let deletion = inner.store.delete_queue(queue, inner.clock.now()).await?;
        // Where jobs came in by another clerk it stays, and is tried again.
        if deletion != QueueDeletion::Unfinished {
            self.known().remove(queue);
            inner.window.forget(queue);
        }
        Ok(())
    }

    /// Tells whether the store has a queue, which what is known of it here may be behind.
    pub(super) async fn is_stored(&self, queue: &QueueName) -> Result<bool, Refusal> {
        let stored = self.0.store.queues().await?;
        Ok(stored.iter().any(|known| known.name == *queue))
    }

    /// Knows a queue no more.
    pub(super) fn forget(&self, queue: &QueueName) {
        let inner = &self.0;
        self.known().remove(queue);
        inner.window.forget(queue);
        inner.failures.forget(&inner.names.jobs(queue.as_str()));
    }
}
