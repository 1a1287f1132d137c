//! A caller of a store that tries again, and claims about one that is spared nothing.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Event, JobId, State, transition};
use clerkwork_faulty::{Call, Care, Plan, Way, over};
use clerkwork_store::conformance::{End, Fixture, Open, listed, success};
use clerkwork_store::{Accepted, Error, Filter, NewJob, Recorder, Store, Succeeded, Writer};

/// All that is claimed of the store whose opening and end `$parts` are.
macro_rules! claims {
    ($parts:expr) => {
        clerkwork_store::conformance!(fixture());

        async fn fixture() -> clerkwork_store::conformance::Fixture {
            let (open, end) = $parts;
            crate::stores::patient(open, end).await
        }

        async fn plain() -> clerkwork_store::conformance::Fixture {
            let (open, end) = $parts;
            clerkwork_store::conformance::Fixture::new(open, end).await
        }

        #[tokio::test]
        async fn jobs_that_a_next_incarnation_sends_again_are_there_once() {
            let fixture = plain().await;
            crate::stores::jobs_sent_again_are_there_once(&fixture).await;
            fixture.end().await;
        }

        #[tokio::test]
        async fn outcomes_that_are_stored_again_are_recorded_once() {
            let mut fixture = plain().await;
            crate::stores::outcomes_stored_again_are_recorded_once(&mut fixture).await;
            fixture.end().await;
        }
    };
}
pub(crate) use claims;

/// The share of calls that goes wrong.
const RATE: f64 = 0.1;

/// What the suite cannot bear, in one place: the answers of these calls are what they did just now. Whoever
/// was not told and asks again is told nothing new, and looks at the record instead, which the claims
/// below do for jobs. Nor does the suite open writers anew: an incarnation that ended is another one.
const CARE: Care = Care {
    spared: &[],
    told: &[
        "accept",
        "hand out",
        "close",
        "succeed",
        "apply",
        "purge",
        "delete",
        "declare queues",
        "delete queue",
        "take over",
        "add key",
        "claim due",
        "watch",
        "prune",
        "claim webhooks",
        "keep webhooks",
        "rotate webhook secret",
    ],
    sessions_last: true,
    wait: Duration::from_millis(4),
};

/// Makes each call again until its answer is no planned fault.
#[derive(Clone, Debug)]
struct Patient;

impl Way for Patient {
    async fn call<T, F>(&self, _: Call, work: impl Fn() -> F + Send + Sync) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        loop {
            match work().await {
                Err(Error::Unavailable(why) | Error::Unknown(why)) if is_planned(&why) => {}
                answer => return answer,
            }
        }
    }
}

fn is_planned(why: &str) -> bool {
    why == "a planned fault"
}

/// A store of one claim's own whose calls go wrong, behind a caller that tries again.
pub(crate) async fn patient(open: Open, end: End) -> Fixture {
    let open = Box::new(move || {
        let opening = open();
        Box::pin(async move {
            let plan = Plan::with(11, RATE, CARE);
            let faulty = clerkwork_faulty::store(&plan, opening.await?);
            plan.begin();
            Ok(over(Patient, faulty))
        }) as _
    });
    Fixture::new(open, end).await
}

/// A plan that spares nothing.
fn plan(seed: u64) -> Plan {
    let care = Care {
        wait: CARE.wait,
        ..Care::default()
    };
    let plan = Plan::with(seed, 0.3, care);
    plan.begin();
    plan
}

fn may_come_right(error: &Error) {
    let comes = matches!(error, Error::Unavailable(_) | Error::Unknown(_));
    assert!(comes, "{error}");
}

async fn writer(store: &Arc<dyn Store>) -> Box<dyn Writer> {
    loop {
        match store.writer("clerk").await {
            Ok(writer) => return writer,
            Err(error) => may_come_right(&error),
        }
    }
}

async fn recorder(store: &Arc<dyn Store>) -> Box<dyn Recorder> {
    loop {
        match store.recorder().await {
            Ok(recorder) => return recorder,
            Err(error) => may_come_right(&error),
        }
    }
}

/// As a clerk does it: the incarnation is over, and the next one sends the same jobs again.
pub(crate) async fn jobs_sent_again_are_there_once(fixture: &Fixture) {
    let (plan, mut ids) = (plan(21), Vec::new());
    let store = clerkwork_faulty::store(&plan, fixture.store.clone());
    let mut writing = writer(&store).await;
    for _ in 0..60 {
        let jobs: Vec<NewJob> = (0..3).map(|_| fixture.job()).collect();
        let mut is_first = true;
        let answers = loop {
            match writing.accept(&jobs).await {
                Ok(answers) => break answers,
                Err(error) => may_come_right(&error),
            }
            is_first = false;
            writing = writer(&store).await;
        };
        let same = answers.iter().all(|answer| *answer == answers[0]);
        assert!(same, "a batch is there whole or not at all: {answers:?}");
        let known = [Accepted::New, Accepted::Already].contains(&answers[0]);
        assert!(known && !(is_first && answers[0] == Accepted::Already));
        ids.extend(jobs.iter().map(|new| new.job.id));
    }
    assert!(plan.fired() > 20, "{} faults", plan.fired());
    let all = Filter {
        limit: 1_000,
        ..Filter::default()
    };
    let listed = listed(&*fixture.store, "default", &all).await;
    let mut listed: Vec<JobId> = listed.iter().map(|kept| kept.job.id).collect();
    listed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(listed, ids);
}

/// As a recorder does it: opened anew, it stores the same successes again, and decides changes anew.
pub(crate) async fn outcomes_stored_again_are_recorded_once(fixture: &mut Fixture) {
    let plan = plan(22);
    let store = clerkwork_faulty::store(&plan, fixture.store.clone());
    let mut recording = recorder(&store).await;
    let ids = fixture.accept_dispatched(120).await;
    let revs: Vec<u32> = fixture
        .recorder
        .load(&ids)
        .await
        .unwrap()
        .iter()
        .map(|job| job.standing.rev)
        .collect();
    assert!(revs.iter().all(|rev| *rev == revs[0]));
    let (succeed, cancel) = ids.split_at(60);
    for batch in succeed.chunks(3) {
        let batch: Vec<_> = batch.iter().copied().map(success).collect();
        loop {
            match recording.succeed(&batch, fixture.now).await {
                Ok(answers) => {
                    let known = |answer: &Succeeded| {
                        matches!(answer, Succeeded::Recorded(_) | Succeeded::Late)
                    };
                    assert!(answers.iter().all(known), "{answers:?}");
                    break;
                }
                Err(error) => may_come_right(&error),
            }
            recording = recorder(&store).await;
        }
    }
    let moment = fixture.moment();
    for id in cancel {
        loop {
            let done = async {
                let job = recording.load(&[*id]).await?.remove(0);
                match transition(&job, Event::CancelAsked, &moment) {
                    Some(change) => recording.apply(&[change]).await.map(drop),
                    None => Ok(()),
                }
            };
            match done.await {
                Ok(()) => break,
                Err(error) => may_come_right(&error),
            }
            recording = recorder(&store).await;
        }
    }
    assert!(plan.fired() > 20, "{} faults", plan.fired());
    for (at, id) in ids.iter().enumerate() {
        let standing = fixture.get(*id).await.standing;
        let expected = [State::Succeeded, State::Cancelled][usize::from(at >= 60)];
        assert_eq!(
            (standing.state, standing.rev),
            (expected, revs[0] + 1),
            "once"
        );
    }
}
