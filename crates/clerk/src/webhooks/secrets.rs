//! The tenants' secrets as this clerk last read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clerkwork_core::{UnixMs, WebhookSecret};
use clerkwork_store::{Error, Store};
use tokio::time::Instant;

/// How long a secret is used without a look at the store: a rotation is heeded within 40 s.
const FRESH: Duration = Duration::from_secs(20);
/// The most tenants that are remembered.
const TENANTS: usize = 1_000;

/// The secrets; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Arc<Mutex<HashMap<Arc<str>, Known>>>);

#[derive(Clone, Debug)]
struct Known {
    secrets: Arc<[WebhookSecret]>,
    read_at: Instant,
}

impl Secrets {
    /// Those that sign a tenant's webhooks, the newest first.
    pub(super) async fn of(
        &self,
        store: &dyn Store,
        tenant: &Arc<str>,
        now: UnixMs,
    ) -> Result<Arc<[WebhookSecret]>, Error> {
        let known = self.known(tenant);
        if let Some(known) = known.filter(|known| known.read_at.elapsed() < FRESH) {
            return Ok(known.secrets);
        }
        let read_at = Instant::now();
        let secrets: Arc<[WebhookSecret]> = store.webhook_secrets(tenant, now).await?.into();
        let known = Known {
            secrets: secrets.clone(),
            read_at,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TENANTS {
            all.clear();
        }
        all.insert(tenant.clone(), known);
        Ok(secrets)
    }

    fn known(&self, tenant: &str) -> Option<Known> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(tenant).cloned()
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_store::sqlite;

    use super::*;

    #[tokio::test]
    async fn a_rotation_is_heeded_within_40_s_and_the_store_is_seldom_asked() {
        let store = sqlite::memory().await.unwrap();
        let (secrets, tenant) = (Secrets::default(), "default".into());
        let now = store.now().await.unwrap();
        let read = async || secrets.of(&*store, &tenant, now).await.unwrap();
        let first = read().await;
        let both = store.rotate_webhook_secret(&tenant, now).await.unwrap();
        assert_eq!(read().await, first, "it was read a moment ago");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(40)).await;
        tokio::time::resume();
        assert_eq!(*read().await, both);
        assert_eq!(both.len(), 2);
    }
}
