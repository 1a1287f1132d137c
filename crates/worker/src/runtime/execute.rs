//! The pipe for one delivery: cancelled? too late? run, outcome, reply.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Failure, Retry, UnixMs, event};
use clerkwork_faults::{Point, reach};
use clerkwork_wire::v1::Reply;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::desk::{Desk, MAX_REASON};
use super::hands::Hand;
use super::replier::{Answer, Owner};
use crate::call::Call;
use crate::registry::{Entry, RunError};
use crate::signal::Why;
use crate::{Input, JobError, Output};

/// No broker takes a longer one.
const MAX_MEDIA_TYPE: usize = 255;

/// The end of the run of a handler.
enum Ended {
    Returned(Result<Output, JobError>),
    Panicked(Box<dyn Any + Send>),
    /// It did not stop when told to, and was dropped.
    Dropped,
}

/// An attempt did not begin, for a reason that is not the job's: in words.
struct NotStarted(String);

/// The end of one delivery, as its queue counts it.
#[derive(Debug)]
pub(super) enum Executed {
    /// It ran for so long.
    Ran(Duration),
    /// It could not be started here; the reason in words.
    NotStarted(String),
    /// It says nothing of the queue's jobs.
    Uncounted,
}

/// The outcome of one delivery, and what its reply says beside.
struct Answered {
    outcome: event::Reply,
    started_at: Option<UnixMs>,
    /// The number of its last live event.
    told: Option<u64>,
    executed: Executed,
}

/// Takes one delivery from its slot to its reply.
pub(super) async fn execute(desk: Arc<Desk>, entry: Entry, hand: Arc<Hand>) -> Executed {
    let executed = AssertUnwindSafe(answer(&desk, &entry, &hand)).catch_unwind();
    // A handler's panic is caught where it runs; this one came as it was dropped.
    executed.await.unwrap_or_else(|panic| {
        let words = words(&*panic);
        tracing::error!(job.id = %hand.id, words, "an attempt panicked at its end; it is given back");
        desk.hands.give_back(&hand);
        Executed::Uncounted
    })
}

/// The reply is handed over, not awaited: the slot is free while it travels. Of what was refused nothing but a
/// success is told.
async fn answer(desk: &Desk, entry: &Entry, hand: &Arc<Hand>) -> Executed {
    let answered = match unrun(desk, hand) {
        Some(outcome) => Answered {
            outcome,
            started_at: None,
            told: None,
            executed: Executed::Uncounted,
        },
        None => attempt(desk, entry, hand).await,
    };
    let refused = hand.signal.why() == Some(Why::Refused);
    if refused && !matches!(answered.outcome, event::Reply::Succeeded { .. }) {
        desk.hands.drop_refused(hand);
        return Executed::Uncounted;
    }
    hand.answer();
    let mut reply = Reply::new(&hand.correlation, answered.outcome);
    reply.head.worker = Some(desk.id.clone());
    reply.head.started_at = answered.started_at.map(|at| at.0);
    if let (Some(reason), Executed::NotStarted(why)) =
        (&mut reply.head.not_started, &answered.executed)
    {
        why[..why.floor_char_boundary(MAX_REASON)].clone_into(reason);
    }
    reply.head.events = answered.told.and_then(|told| i64::try_from(told).ok());
    let to = hand.job.reply_to.clone();
    // Only a worker that ends at once closes the channel; then the delivery comes back.
    let _ = desk
        .answers
        .send(Answer {
            reply,
            to,
            owner: Owner::Hand(Arc::clone(hand)),
        })
        .await;
    answered.executed
}

/// Runs it; what could not be started is given back, and no failure of the job.
async fn attempt(desk: &Desk, entry: &Entry, hand: &Arc<Hand>) -> Answered {
    let started_at = desk.clock.now();
    reach(Point::WorkerBeforeStart);
    hand.start(started_at);
    let began = Instant::now();
    let ended = run(desk, entry, hand, started_at).await;
    reach(Point::WorkerAfterRun);
    let told = hand.teller.tell_last();
    match ended {
        Ok(ended) => Answered {
            outcome: outcome(desk, hand, ended),
            started_at: Some(started_at),
            told,
            // How long those wait that must be granted says nothing of how many may wait here.
            executed: match hand.is_granted() {
                true => Executed::Uncounted,
                false => Executed::Ran(began.elapsed()),
            },
        },
        Err(NotStarted(why)) => Answered {
            outcome: match hand.signal.why() {
                Some(Why::Cancelled) => event::Reply::Cancelled,
                _ => event::Reply::NotStarted,
            },
            started_at: None,
            told,
            executed: Executed::NotStarted(why),
        },
    }
}

/// The outcome of a delivery that is not to be started.
fn unrun(desk: &Desk, hand: &Hand) -> Option<event::Reply> {
    match hand.signal.why() {
        Some(Why::Cancelled) => return Some(event::Reply::Cancelled),
        Some(Why::Draining | Why::Refused) => return Some(event::Reply::Returned),
        Some(Why::TimedOut) | None => {}
    }
    // What was granted is on record as started, in time.
    let too_late = !hand.is_granted()
        && hand
            .job
            .start_by
            .is_some_and(|start_by| desk.clock.now() > start_by);
    too_late.then_some(event::Reply::Expired)
}

async fn run(
    desk: &Desk,
    entry: &Entry,
    hand: &Hand,
    started_at: UnixMs,
) -> Result<Ended, NotStarted> {
    let timeout = Duration::from_millis(hand.job.timeout_ms);
    let call = Call {
        job: hand.id,
        attempt: hand.attempt,
        queue: Arc::clone(&entry.queue),
        input: Input {
            content_type: hand.job.content_type.clone(),
            bytes: hand.job.input.clone(),
        },
        max_output: desk.options.max_output,
        deadline: started_at.after(timeout),
        timeout,
        trace: hand.job.trace.clone(),
        stop: hand.signal.asked().clone(),
        started: CancellationToken::new(),
        teller: Arc::clone(&hand.teller),
    };
    let span = tracing::info_span!(
        "attempt",
        job.id = %hand.id,
        attempt = hand.attempt,
        queue = %entry.queue,
    );
    let started = call.started.clone();
    let running = AssertUnwindSafe(async { entry.run.run(call).await }).catch_unwind();
    let mut running = std::pin::pin!(running.instrument(span));
    let begin = || {
        hand.begin();
        desk.can_start(&entry.queue);
    };
    let mut begun = entry.run.begins_at_once();
    if begun {
        begin();
    }
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut running => break match ended {
                Ok(Ok(output)) => Ok(Ended::Returned(Ok(output))),
                Ok(Err(RunError::Failed(error))) => Ok(Ended::Returned(Err(error))),
                Ok(Err(RunError::NotStarted(why))) => Err(NotStarted(why)),
                Err(panic) => Ok(Ended::Panicked(panic)),
            },
            () = started.cancelled(), if !begun => {
                begun = true;
                begin();
            }
            () = hand.signal.forced() => break match begun || started.is_cancelled() {
                true => Ok(Ended::Dropped),
                false => Err(NotStarted("it did not begin in time".to_owned())),
            },
        }
    };
    if !begun && started.is_cancelled() {
        begin();
    }
    ended
}

/// Judges the end of a run. A success is one however late; whatever else follows a signal to stop is
/// due to it.
fn outcome(desk: &Desk, hand: &Hand, ended: Ended) -> event::Reply {
    let error = match (ended, hand.signal.why()) {
        (Ended::Returned(Ok(output)), _) => return success(desk, hand, output),
        (_, Some(Why::Cancelled)) => return event::Reply::Cancelled,
        (_, Some(Why::Draining | Why::Refused)) => return event::Reply::Returned,
        (_, Some(Why::TimedOut)) => timed_out(hand),
        (Ended::Returned(Err(error)), None) => error,
        (Ended::Panicked(panic), None) => {
            JobError::new(format!("the handler panicked: {}", words(&*panic)))
        }
        (Ended::Dropped, None) => JobError::new("the attempt was dropped"),
    };
    tracing::info!(job.id = %hand.id, attempt = hand.attempt, %error, "attempt failed");
    failed(error, hand.attempt)
}

fn success(desk: &Desk, hand: &Hand, output: Output) -> event::Reply {
    if output.content_type.len() > MAX_MEDIA_TYPE {
        let (length, limit) = (output.content_type.len(), MAX_MEDIA_TYPE);
        let detail =
            format!("the output's media type has {length} bytes, and the limit is {limit}");
        let error = JobError::fatal(detail).with_type(Failure::INVALID_OUTPUT);
        return failed(error, hand.attempt);
    }
    if output.bytes.len() > desk.options.max_output {
        let error = too_large(output.bytes.len(), desk.options.max_output);
        return failed(error, hand.attempt);
    }
    event::Reply::Succeeded {
        media_type: output.content_type,
        output: output.bytes,
    }
}

fn timed_out(hand: &Hand) -> JobError {
    let limit = Duration::from_millis(hand.job.timeout_ms);
    JobError::new(format!("it did not end within {limit:?}")).with_type(Failure::TIMED_OUT)
}

/// The failure of an attempt whose output is over the limit: the next one's would be too.
pub(crate) fn too_large(bytes: usize, limit: usize) -> JobError {
    JobError::fatal(format!(
        "the output has {bytes} bytes, and the limit is {limit}"
    ))
    .with_type(Failure::OUTPUT_TOO_LARGE)
}

/// A failed attempt as it is told.
pub(super) fn failed(error: JobError, attempt: u32) -> event::Reply {
    let retry: Retry = error.retry();
    event::Reply::Failed {
        failure: error.into_failure(attempt),
        retry,
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no words")
}
