//! A stranger at the broker who knows the ids of jobs and not the seal.

use std::collections::BTreeSet;
use std::time::Duration;

use clerkwork_broker::{Envelope, Message};
use clerkwork_clerk::Config;
use clerkwork_core::{ClerkId, Correlation, JobId, Seal, Secret};
use clerkwork_wire::Names;

use crate::dice;
use crate::fleet::Fleet;

/// Answers open jobs for a while, in the words of its own seal.
pub(crate) async fn forge(fleet: &Fleet, span: Duration) {
    let Some(seal) = Seal::new(vec![Secret::random(1)]) else {
        return;
    };
    let end = tokio::time::Instant::now() + span;
    while tokio::time::Instant::now() < end {
        dice::pass(dice::millis(20..300)).await;
        if let Some(job) = open_job(fleet) {
            // The broker may have lost its queues: then there is nobody to deceive.
            let _ = fleet.post.office().publish(vec![reply(&seal, job)]).await;
        }
    }
}

fn open_job(fleet: &Fleet) -> Option<JobId> {
    let history = fleet.world.history();
    let jobs = history.jobs().filter(|job| !history.has_ended(job));
    // The history has them in an order of its own, which is another one in each process.
    let open: BTreeSet<&str> = jobs.collect();
    let place = dice::place(open.len().max(1));
    open.into_iter().nth(place)?.parse().ok()
}

/// A success that no run made, or a failure of nothing, as a plain worker would send it.
fn reply(seal: &Seal, job: JobId) -> Message {
    let word = seal.seal(&Correlation {
        job,
        attempt: 1 + u32::try_from(dice::place(2)).unwrap_or(0),
        rev: 1,
        clerk: ClerkId(1),
    });
    let mut envelope = Envelope {
        correlation_id: Some(word),
        content_type: Some("application/json".to_owned()),
        body: r#"{"token": "forged", "nonce": "forged"}"#.into(),
        ..Envelope::default()
    };
    if dice::odds(0.5) {
        envelope.headers.set("outcome", "failed".to_owned());
        envelope.headers.set("retry", "never".to_owned());
    }
    Message {
        exchange: String::new(),
        key: Names::new(&Config::default().prefix).replies(),
        durable: true,
        envelope,
    }
}
