//! The layers under which a test lets calls of the broker and the store go wrong.
//!
//! They are there only where debug assertions are on: `CLERKWORK_FAULTS=SEED:RATE` lets that share of the
//! calls of clerks, workers and `dev` go wrong from their start on. In a release build the environment is
//! not looked at.

use std::sync::{Arc, OnceLock};

use clerkwork_broker::Broker;
use clerkwork_faults::ARMED;
use clerkwork_faulty::{NoPlan, Plan};
use clerkwork_store::Store;

static PLAN: OnceLock<Plan> = OnceLock::new();

/// Takes the plan of the environment.
pub(crate) fn arm() -> Result<(), NoPlan> {
    if !ARMED {
        return Ok(());
    }
    if let Ok(text) = std::env::var("CLERKWORK_FAULTS") {
        // A process is armed once.
        let _ = PLAN.set(text.parse()?);
    }
    Ok(())
}

fn planned() -> Option<&'static Plan> {
    PLAN.get().filter(|_| ARMED)
}

/// The store as this process sees it.
pub(crate) fn store(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    match planned() {
        Some(plan) => clerkwork_faulty::store(plan, inner),
        None => inner,
    }
}

/// The broker as this process sees it.
pub(crate) fn broker(inner: Arc<dyn Broker>) -> Arc<dyn Broker> {
    match planned() {
        Some(plan) => clerkwork_faulty::broker(plan, inner),
        None => inner,
    }
}

/// The start is over, which ends with a process that finds no store: from now on things go wrong.
pub(crate) fn begin() {
    if let Some(plan) = planned() {
        plan.begin();
    }
}
