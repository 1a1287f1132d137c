//! How many jobs of each tenant are not done, where that is limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{Clock as _, SystemClock};
use clerkwork_store::{Error, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Refusal;

/// What tenants have that is not done: as of the last count, plus what this clerk was asked for since.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tenants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: Option<u64>,
    unfinished: Mutex<HashMap<Arc<str>, u64>>,
}

/// How often the store counts, at most.
const COUNT: Duration = Duration::from_secs(1);
/// A count that takes long comes seldom: this many times as long as it took lies between two.
const REST: u32 = 20;

impl Tenants {
    pub(crate) fn new(most: Option<u64>) -> Self {
        Self(Arc::new(Inner {
            most,
            unfinished: Mutex::default(),
        }))
    }

    /// Lets a tenant have so many more jobs that are not done.
    pub(crate) fn admit(&self, tenant: &Arc<str>, jobs: u64) -> Result<(), Refusal> {
        let Some(most) = self.0.most else {
            return Ok(());
        };
        let mut all = self.unfinished();
        let unfinished = all.entry(tenant.clone()).or_default();
        if *unfinished + jobs > most {
            return Err(Refusal::TenantFull(most));
        }
        *unfinished += jobs;
        Ok(())
    }

    fn unfinished(&self) -> MutexGuard<'_, HashMap<Arc<str>, u64>> {
        let guard = self.0.unfinished.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct TenantsTask {
    pub(crate) tenants: Tenants,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) stop: CancellationToken,
}

impl TenantsTask {
    /// Counts until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(self) {
        if self.tenants.0.most.is_none() {
            return std::future::pending().await;
        }
        loop {
            let begin = Instant::now();
            if let Err(error) = self.count().await {
                tracing::debug!(%error, "the tenants' unfinished jobs could not be counted");
            }
            tokio::time::sleep(COUNT.max(begin.elapsed() * REST)).await;
        }
    }

    async fn count(&self) -> Result<(), Error> {
        let counted = self.store.unfinished(self.clock.now()).await?;
        let counted = counted
            .into_iter()
            .map(|(tenant, jobs)| (tenant.into(), jobs));
        *self.tenants.unfinished() = counted.collect();
        Ok(())
    }
}
