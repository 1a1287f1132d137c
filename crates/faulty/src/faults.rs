//! The way to a store on which calls go wrong by a plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clerkwork_store::{Error, Store};
use tokio::time::sleep;

use crate::layer::over;
use crate::plan::{Fate, Plan};
use crate::way::{Call, Does, Way};

/// A store whose calls go wrong by this plan, with the errors that a database gives: what was surely not
/// done is unavailable, what may have been done is unknown.
#[must_use]
pub fn store(plan: &Plan, inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let plan = plan.clone();
    over(Faults { plan, lost: None }, inner)
}

#[derive(Clone, Debug)]
struct Faults {
    plan: Plan,
    /// On the connection of one writer or recorder: whether it was given up over a fault.
    lost: Option<Arc<AtomicBool>>,
}

impl Faults {
    fn is_lost(&self) -> bool {
        self.lost
            .as_ref()
            .is_some_and(|lost| lost.load(Ordering::Relaxed))
    }

    /// The connection is given up over a call; what its caller is told.
    fn lose(&self, known: bool) -> Error {
        if let Some(lost) = &self.lost {
            lost.store(true, Ordering::Relaxed);
        }
        let why = "a planned fault".to_owned();
        if known {
            Error::Unavailable(why)
        } else {
            Error::Unknown(why)
        }
    }
}

impl Way for Faults {
    async fn call<T, F>(&self, call: Call, work: impl Fn() -> F + Send + Sync) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        if self.is_lost() {
            let why = "this connection was given up: open another one";
            return Err(Error::Unavailable(why.to_owned()));
        }
        let reads = call.does == Does::Reads;
        match self.plan.fate(call.what) {
            Fate::Made => work().await,
            Fate::Late(there, back) => {
                sleep(there).await;
                let done = work().await;
                sleep(back).await;
                done
            }
            Fate::Undone => Err(self.lose(true)),
            Fate::Lost => Err(self.lose(reads)),
            Fate::Untold => {
                work().await?;
                Err(self.lose(reads))
            }
        }
    }

    fn session(&self) -> Self {
        Self {
            plan: self.plan.clone(),
            lost: (!self.plan.care().sessions_last).then(Arc::default),
        }
    }
}
