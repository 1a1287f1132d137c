//! The way of a job through a worker.

use crate::support::{Clerk, Working, options, text};
use clerkwork_broker::memory;
use clerkwork_worker::{JobError, Worker};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Upper {
    text: String,
}

async fn upper(input: Upper) -> Result<Upper, JobError> {
    Ok(Upper {
        text: input.text.to_uppercase(),
    })
}

#[tokio::test]
async fn a_job_is_run_by_its_handler_and_answered() {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "p", &["upper"]).await;
    let worker = Worker::new(()).queue("upper", upper).options(options("p"));
    let working = Working::start(worker, &broker);
    let job = clerk.submit("upper", r#"{"text": "abc"}"#).await;
    assert_eq!(text(&clerk.outcome(&job).await), r#"{"text":"ABC"}"#);
    working.stop().await;
    let depth = broker
        .look(&clerk.names.jobs("upper"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(depth.ready, 0, "it was acknowledged");
}
