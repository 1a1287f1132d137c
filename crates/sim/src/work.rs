//! What the workers of a run do: take their time, fail as they are told, and say so in the history.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{How, What};
use clerkwork_core::JobId;
use clerkwork_worker::{Cancelled, JobError, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::world::World;

/// What the handlers of one life of a worker share.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) worker: Arc<str>,
}

/// What a job tells its worker to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    /// The submission's word.
    pub(crate) token: String,
    /// How long to take.
    pub(crate) takes_ms: u64,
    /// How many runs fail.
    pub(crate) fails: u32,
    /// Whether the signal to stop is heeded.
    pub(crate) heeds: bool,
    /// Whether the store refuses what the job answers.
    pub(crate) refused: bool,
}

/// The word for which the store of a run refuses outputs and failures.
pub(crate) const REFUSED: &str = "unstorable";

/// Runs a job.
pub(crate) async fn run(
    order: Order,
    State(stage): State<Stage>,
    job: JobId,
    cancelled: Cancelled,
) -> Result<Value, JobError> {
    let Stage { world, worker } = stage;
    let nonce = format!("n{}", world.number());
    world.saw(What::Start {
        worker: worker.to_string(),
        job: job.to_string(),
        token: Some(order.token.clone()),
        nonce: nonce.clone(),
    });
    let ended = |how| {
        world.saw(What::End {
            worker: worker.to_string(),
            job: job.to_string(),
            nonce: nonce.clone(),
            how,
        });
    };
    tokio::select! {
        biased;
        () = cancelled.cancelled(), if order.heeds => {
            ended(How::Stopped);
            return Err(JobError::new("it was told to stop"));
        }
        () = tokio::time::sleep(Duration::from_millis(order.takes_ms)) => {}
    }
    if world.fails(&order.token, order.fails) {
        ended(How::Failed);
        let detail = if order.refused {
            REFUSED
        } else {
            "it was told to fail"
        };
        return Err(JobError::new(detail));
    }
    ended(How::Succeeded);
    let note = order.refused.then_some(REFUSED);
    Ok(json!({ "token": order.token, "nonce": nonce, "note": note }))
}
