//! The worker of a run: it writes down when it starts and ends a job, and its output says which run made it.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clerkwork::{Attempt, Cancelled, Fleet, JobError, JobId, State};
use clerkwork_checker::{How, What};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::recorder::now;

/// The queue of all jobs.
pub(crate) const QUEUE: &str = "work";

/// What a job is to do.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    /// The submission's own word.
    pub(crate) token: String,
    /// How long it takes.
    pub(crate) ms: u64,
    /// How many attempts fail before one succeeds.
    pub(crate) fail: u32,
    /// Whether it fails for good.
    pub(crate) fatal: bool,
}

#[derive(Debug, Serialize)]
struct Done {
    token: String,
    nonce: String,
}

/// Where runs are written down.
#[derive(Debug)]
struct Journal {
    worker: String,
    file: File,
    runs: AtomicU64,
}

impl Journal {
    /// One write a line, so that a kill leaves whole lines.
    fn write(&self, what: What) -> io::Result<()> {
        let line = format!("{}\n", what.at(now()).to_line());
        (&self.file).write_all(line.as_bytes())
    }

    fn end(&self, job: JobId, nonce: &str, how: How) -> io::Result<()> {
        self.write(What::End {
            worker: self.worker.clone(),
            job: job.to_string(),
            nonce: nonce.to_owned(),
            how,
        })
    }
}

async fn run(
    task: Task,
    job: JobId,
    Attempt(attempt): Attempt,
    cancelled: Cancelled,
    State(journal): State<Arc<Journal>>,
) -> Result<Done, JobError> {
    let number = journal.runs.fetch_add(1, Ordering::Relaxed);
    let nonce = format!("{}-{number}", journal.worker);
    journal.write(What::Start {
        worker: journal.worker.clone(),
        job: job.to_string(),
        token: Some(task.token.clone()),
        nonce: nonce.clone(),
    })?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(task.ms)) => {}
        () = cancelled.cancelled() => {
            journal.end(job, &nonce, How::Stopped)?;
            return Err(JobError::new("was told to stop"));
        }
    }
    if task.fatal {
        journal.end(job, &nonce, How::Failed)?;
        return Err(JobError::fatal("was told to fail"));
    }
    if attempt <= task.fail {
        journal.end(job, &nonce, How::Failed)?;
        return Err(JobError::new("was told to fail at first"));
    }
    journal.end(job, &nonce, How::Succeeded)?;
    let token = task.token;
    Ok(Done { token, nonce })
}

/// Works until it is told to stop.
#[expect(clippy::print_stdout, reason = "whoever starts it waits for this line")]
pub(crate) async fn work() -> Result<(), Failure> {
    clerkwork_faults::arm()?;
    let path = std::env::var("CHAOS_JOURNAL")?;
    let journal = Journal {
        worker: format!("{}-{}", std::env::var("CHAOS_WORKER")?, std::process::id()),
        file: File::options().create(true).append(true).open(path)?,
        runs: AtomicU64::new(0),
    };
    let fleet = Fleet::from_environment()?;
    let worker = fleet
        .worker(Arc::new(journal))
        .queue(QUEUE, run)
        .concurrency(16);
    clerkwork::until_signal(|stop| fleet.run(worker, stop, || println!("ready"))).await??;
    Ok(())
}
