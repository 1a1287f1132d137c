//! The worker of a run that is written with the library; its outputs say which run made them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clerkwork::{Attempt, Cancelled, Fleet, JobError, JobId, State};
use clerkwork_checker::How;
use serde::Serialize;

use crate::Failure;
use crate::journal::Journal;
use crate::task::Task;

/// The queue of its jobs.
pub(crate) const QUEUE: &str = "work";

#[derive(Debug, Serialize)]
pub(crate) struct Done {
    pub(crate) token: String,
    pub(crate) nonce: String,
}

/// The state of a worker.
#[derive(Debug)]
struct Runs {
    journal: Journal,
    count: AtomicU64,
}

async fn run(
    task: Task,
    job: JobId,
    Attempt(attempt): Attempt,
    cancelled: Cancelled,
    State(runs): State<Arc<Runs>>,
) -> Result<Done, JobError> {
    let Runs { journal, count } = &*runs;
    let number = count.fetch_add(1, Ordering::Relaxed);
    let (nonce, job) = (format!("{}-{number}", journal.worker), job.to_string());
    journal.start(&job, &task.token, &nonce)?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(task.ms)) => {}
        () = cancelled.cancelled() => {
            journal.end(&job, &nonce, How::Stopped)?;
            return Err(JobError::new("was told to stop"));
        }
    }
    if task.fatal {
        journal.end(&job, &nonce, How::Failed)?;
        return Err(JobError::fatal("was told to fail"));
    }
    if attempt <= task.fail {
        journal.end(&job, &nonce, How::Failed)?;
        return Err(JobError::new("was told to fail at first"));
    }
    journal.end(&job, &nonce, How::Succeeded)?;
    let token = task.token;
    Ok(Done { token, nonce })
}

/// Works until it is told to stop.
#[expect(clippy::print_stdout, reason = "whoever starts it waits for this line")]
pub(crate) async fn work() -> Result<(), Failure> {
    clerkwork_faults::arm()?;
    let runs = Runs {
        journal: Journal::open()?,
        count: AtomicU64::new(0),
    };
    let fleet = Fleet::from_environment()?;
    let worker = fleet
        .worker(Arc::new(runs))
        .queue(QUEUE, run)
        .concurrency(16);
    clerkwork::until_signal(|stop| fleet.run(worker, stop, || println!("ready"))).await??;
    Ok(())
}
