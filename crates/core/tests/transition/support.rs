//! Jobs, moments and events to try, and what a job is after a change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::{
    Before, Change, ClerkId, Content, DeadLetterCause, Dispatch, Event, Failure, Job, JobId,
    Moment, Reply, Retry, Spec, Standing, State, UnixMs, transition,
};
use proptest::prelude::*;

/// When the jobs of these tests are accepted.
pub(crate) const START: UnixMs = UnixMs(1_763_900_000_000);

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A queued job with three attempts and no start deadline.
pub(crate) fn job() -> Job {
    Job {
        id: JobId::at(START),
        tenant: "default".into(),
        queue: "render".parse().unwrap(),
        spec: Spec {
            tags: vec![],
            timeout_s: 600,
            start_within_s: None,
            max_attempts: 3,
            retry_delay_s: 1,
            webhook: None,
            trace: None,
        },
        input: Content {
            media_type: "application/json".to_owned(),
            size: 2,
        },
        created_at: START,
        standing: Standing::new(START, START),
        output: None,
        failure: None,
        retry_of: None,
        retried_as: None,
    }
}

/// A job whose first attempt is dispatched.
pub(crate) fn dispatched() -> Job {
    after(&job(), dispatch(), 0)
}

/// A job whose first attempt runs on the worker `w`.
pub(crate) fn running() -> Job {
    after(&dispatched(), started(1, "w", 10), 10)
}

/// `ms` milliseconds after the start.
pub(crate) fn moment(ms: i64) -> Moment {
    Moment {
        now: at(ms),
        lease: LEASE,
        chance: 0.5,
    }
}

/// `ms` milliseconds after the start.
pub(crate) fn at(ms: i64) -> UnixMs {
    UnixMs(START.0 + ms)
}

/// What follows from an event `ms` milliseconds after the start.
pub(crate) fn step(job: &Job, event: Event, ms: i64) -> Option<Change> {
    transition(job, event, &moment(ms))
}

/// The job after an event that must have a consequence.
pub(crate) fn after(job: &Job, event: Event, ms: i64) -> Job {
    let told = format!("{event:?}");
    match step(job, event, ms) {
        Some(change) => apply(job, &change),
        None => panic!("nothing follows from {told} for {:?}", job.standing),
    }
}

/// The job once the change is stored.
pub(crate) fn apply(job: &Job, change: &Change) -> Job {
    assert_eq!(change.id, job.id);
    assert_eq!(change.from_rev, job.standing.rev);
    assert_eq!(change.from_wake_at, job.standing.wake_at);
    let mut job = job.clone();
    change.apply_to(&mut job);
    job
}

pub(crate) fn dispatch() -> Event {
    Event::Dispatched {
        dispatch: Dispatch {
            clerk: ClerkId(1),
            number: 1,
        },
        wake_at: None,
    }
}

pub(crate) fn listed(attempt: u32, worker: &str) -> Event {
    Event::Listed {
        attempt,
        worker: worker.into(),
    }
}

pub(crate) fn started(attempt: u32, worker: &str, ms: i64) -> Event {
    Event::Started {
        attempt,
        worker: worker.into(),
        at: at(ms),
    }
}

pub(crate) fn held(attempt: u32, worker: &str, ms: i64) -> Event {
    Event::Held {
        attempt,
        worker: worker.into(),
        started_at: at(ms),
    }
}

pub(crate) fn asked(attempt: u32, worker: &str, before: Before) -> Event {
    Event::Asked {
        attempt,
        worker: worker.into(),
        before,
    }
}

/// A reply that says nothing of its worker or its start, as a plain worker's.
pub(crate) fn replied(attempt: u32, reply: Reply) -> Event {
    Event::Replied {
        attempt,
        reply,
        worker: None,
        started_at: None,
    }
}

pub(crate) fn success() -> Reply {
    Reply::Succeeded {
        media_type: "text/plain".to_owned(),
        output: Bytes::from_static(b"done"),
    }
}

pub(crate) fn failure(retry: Retry) -> Reply {
    Reply::Failed {
        failure: Failure::new(Failure::HANDLER_ERROR, "boom".to_owned(), 0),
        retry,
    }
}

/// Any answer.
pub(crate) fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(success()),
        Just(failure(Retry::Policy)),
        Just(failure(Retry::Never)),
        any::<u64>().prop_map(|ms| failure(Retry::AfterMs(ms))),
        Just(Reply::Cancelled),
        Just(Reply::Expired),
        Just(Reply::Returned),
        Just(Reply::NotStarted),
    ]
}

/// Any event, of one of the first attempts and one of two workers, at any time a worker may claim.
pub(crate) fn events() -> impl Strategy<Value = Event> {
    let attempt = 0u32..4;
    let worker = prop_oneof![Just("a"), Just("b")].prop_map(Arc::<str>::from);
    let time = prop_oneof![
        any::<i64>().prop_map(UnixMs),
        (-1_000i64..400_000).prop_map(at)
    ];
    let seen = (attempt, worker, time.clone());
    prop_oneof![
        3 => Just(Event::Due),
        1 => proptest::option::of(1u32..4).prop_map(|attempt| Event::TooLate { attempt }),
        5 => (any::<i64>(), proptest::option::of(time.clone())).prop_map(|(number, wake_at)| {
            let dispatch = Dispatch { clerk: ClerkId(7), number };
            Event::Dispatched { dispatch, wake_at }
        }),
        1 => (0u32..4).prop_map(|attempt| Event::Doubted { attempt }),
        1 => (0u32..4).prop_map(|attempt| Event::Undelivered { attempt }),
        1 => (0u32..4, any::<bool>()).prop_map(|(attempt, rejected)| {
            let cause = if rejected { DeadLetterCause::Rejected } else { DeadLetterCause::DeliveryLimit };
            Event::DeadLettered { attempt, cause }
        }),
        2 => seen.clone().prop_map(|(attempt, worker, _)| Event::Listed { attempt, worker }),
        3 => seen.clone().prop_map(|(attempt, worker, at)| Event::Started { attempt, worker, at }),
        2 => seen.clone().prop_map(|(attempt, worker, started_at)| {
            Event::Held { attempt, worker, started_at }
        }),
        1 => (time, any::<bool>())
            .prop_map(|(wake_at, unlisted)| Event::Watched { wake_at, unlisted }),
        1 => (0u32..4).prop_map(|attempt| Event::Lost { attempt }),
        4 => (seen, replies(), any::<bool>()).prop_map(|((attempt, worker, at), reply, says)| {
            Event::Replied {
                attempt,
                reply,
                worker: says.then_some(worker),
                started_at: says.then_some(at),
            }
        }),
        3 => questions(),
        1 => Just(Event::CancelAsked),
    ]
}

/// Any question of one of three workers, of which two may have had the job before.
pub(crate) fn questions() -> impl Strategy<Value = Event> {
    let known = prop_oneof![Just("a"), Just("b")].prop_map(Arc::<str>::from);
    let before = prop_oneof![
        Just(Before::Unknown),
        known.clone().prop_map(Before::Silent),
        known.clone().prop_map(Before::Without),
        known.clone().prop_map(Before::Lives),
    ];
    let worker = prop_oneof![known, Just("c".into())];
    (0u32..4, worker, before).prop_map(|(attempt, worker, before)| Event::Asked {
        attempt,
        worker,
        before,
    })
}

/// Events with the moments at which they are judged; two clerks' clocks differ a little.
pub(crate) fn histories() -> impl Strategy<Value = Vec<(Event, Moment)>> {
    let when = (-50i64..400_000, 0.0..=1.0f64).prop_map(|(ms, chance)| Moment {
        chance,
        ..moment(ms)
    });
    proptest::collection::vec((events(), when), 0..30)
}

/// Any job as it is accepted.
pub(crate) fn jobs() -> impl Strategy<Value = Job> {
    let within = proptest::option::of(1u32..300);
    (1u32..5, 0u32..5, within, 0i64..100_000, any::<bool>()).prop_map(
        |(max_attempts, retry_delay_s, start_within_s, delay, delayed)| {
            let mut job = job();
            job.spec.max_attempts = max_attempts;
            job.spec.retry_delay_s = retry_delay_s;
            job.spec.start_within_s = start_within_s;
            job.standing = Standing::new(START, at(if delayed { delay } else { 0 }));
            job.standing.wake_at = job.undispatched_wake_at();
            job
        },
    )
}

/// Any job somewhere in its life.
pub(crate) fn lived() -> impl Strategy<Value = Job> {
    (jobs(), histories()).prop_map(|(job, history)| {
        history.into_iter().fold(job, |job, (event, moment)| {
            match transition(&job, event, &moment) {
                Some(change) if !change.standing.state.is_final() => apply(&job, &change),
                _ => job,
            }
        })
    })
}

/// Ends a job by a success of its current attempt, dispatching it first if need be.
pub(crate) fn ended(job: &Job) -> Job {
    let mut job = job.clone();
    if job.standing.state == State::Scheduled {
        let ms = job.standing.due_at.0 - START.0;
        job = after(&job, Event::Due, ms);
    }
    if job.standing.state == State::Queued {
        job = after(&job, dispatch(), 0);
    }
    let attempt = job.standing.attempt;
    after(&job, replied(attempt, success()), 500_000)
}

/// Its start deadline passed while it was not dispatched.
pub(crate) fn too_late() -> Event {
    Event::TooLate { attempt: None }
}

/// Its start deadline passed while it was dispatched as this attempt.
pub(crate) fn too_late_as(attempt: u32) -> Event {
    Event::TooLate {
        attempt: Some(attempt),
    }
}
