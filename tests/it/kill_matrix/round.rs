//! One kill after another on one system: jobs of every sort go in until the process dies, and what
//! became of each is looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use clerkwork_core::{Clock as _, JobId, JobObject, Status, SystemClock};
use clerkwork_faults::Point;
use clerkwork_tests::{Api, Inbox, Journal, Kind, Process, System, eventually};
use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{HEALED, Kill};

/// Jobs that come at once; more follow until the process dies.
const JOBS: u64 = 20;
/// How long a process may take until it comes to its point.
const KILLED: Duration = Duration::from_secs(30);
/// The longest that a waiting client may be left alone with an outcome: the sweep, and a busy machine.
const TOLD: Duration = Duration::from_secs(30);
/// Longer than the claim that a killed clerk had on a webhook.
const SENT: Duration = Duration::from_secs(60);

/// Which process kills itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// Everything, in one process.
    All,
    /// A clerk beside another one.
    Clerk,
    /// A worker beside another one.
    Worker,
}

/// What a job is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Quick,
    Slow,
    FailsOnce,
    Told,
    Delayed,
    Held,
}

/// A system, and everything that was asked of it.
pub(super) struct Site {
    system: System,
    journal: Journal,
    inbox: Inbox,
    next: u64,
    told: Vec<JobId>,
    known: BTreeSet<JobId>,
    all_die: bool,
}

/// A job that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u64,
    sort: Sort,
}

/// An accepted job, and who waits for its end.
struct Accepted {
    asked: Asked,
    id: JobId,
    waits: JoinHandle<(JobObject, Duration)>,
}

/// What came of the jobs of a round.
#[derive(Default)]
struct Round {
    accepted: Vec<Accepted>,
    unanswered: Vec<Asked>,
}

/// Whether a clerk that dies here has nothing to do with dispatches: then no job runs again.
fn records(point: Point) -> bool {
    let parts = ["record.", "settle.", "webhook."];
    parts.iter().any(|part| point.name().starts_with(part))
}

impl Asked {
    fn body(self, webhook: &str) -> Value {
        let Self { number, sort } = self;
        let mut job = json!({
            "queue": "work",
            "input": format!("{sort:?} {number}"),
            "retry_delay_s": 0,
        });
        match sort {
            Sort::Told => job["webhook"] = webhook.into(),
            Sort::Delayed => job["delay_s"] = 1.into(),
            _ => {}
        }
        job
    }

    /// Quick and delayed jobs have none: they take the way of a statement that commits itself.
    fn key(self) -> Option<String> {
        let keyed = !matches!(self.sort, Sort::Quick | Sort::Delayed);
        keyed.then(|| format!("\"key-{}\"", self.number))
    }

    async fn submit(self, api: &Api, webhook: &str) -> Option<JobObject> {
        let request = api.request(Method::POST, "/jobs").json(&self.body(webhook));
        let request = match self.key() {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        let answer: Response = request.send().await.ok()?;
        let status = answer.status();
        // An answer that is cut off is none.
        let text = answer.text().await.ok()?;
        assert!(status.is_success(), "{status}: {text}");
        Some(serde_json::from_str(&text).unwrap())
    }
}

impl Site {
    pub(super) async fn open(kind: Kind) -> Self {
        let plan = kind.plan().lease(Duration::from_secs(3));
        let plan = plan.clerk_setting("webhook-allow", "127.0.0.0/8").clerks(1);
        let plan = match kind {
            Kind::Embedded => plan,
            Kind::Fleet => plan.worker_setting("hold-after", "1s"),
        };
        let journal = plan.journal("runs");
        let script = format!(
            r#"input=$(cat); {}; case "$input" in
               *Slow*) sleep 0.4;;
               *Held*) sleep 3;;
               *FailsOnce*) [ "$CLERKWORK_ATTEMPT" = 1 ] && exit 1;;
               esac; printf '%s' "$input""#,
            journal.note()
        );
        Self {
            system: plan.shell("work", 4, &script).start().await,
            journal,
            inbox: Inbox::open().await,
            next: 0,
            told: Vec::new(),
            known: BTreeSet::new(),
            all_die: false,
        }
    }

    /// Lets a process kill itself while jobs come, and sees everything end.
    pub(super) async fn kill(&mut self, victim: Victim, (point, time): Kill) {
        let began = Instant::now();
        let held = point.name().contains("held");
        let (mut process, api) = self
            .doomed(victim, &format!("{}=abort@{time}", point.name()))
            .await;
        let mut round = Round::default();
        self.send(&mut round, &api, JOBS, held).await;
        let limit = Instant::now() + KILLED;
        let mut rounds = 0;
        while process.is_running() {
            rounds += 1;
            assert!(
                Instant::now() < limit,
                "{point:?} was not reached {time} times"
            );
            // Long jobs are few, or nothing else would find a slot.
            let long = held && rounds % 20 == 0;
            self.send(&mut round, &api, 5, long).await;
            sleep(Duration::from_millis(50)).await;
        }
        process.killed_within(Duration::from_secs(1)).await;
        let killed = Instant::now();
        if victim == Victim::All {
            self.system.add_clerk().await;
        }
        let more = self.settle(round).await;
        if victim == Victim::Clerk && records(point) {
            assert_eq!(
                more, 0,
                "{point:?}: what has run and is answered does not run again"
            );
        }
        eprintln!(
            "{point:?}@{time}: dead after {:?}, all ended {:?} later, {more} runs more",
            killed - began,
            killed.elapsed()
        );
    }

    /// Kills every clerk at once while jobs come, and starts one that is new.
    pub(super) async fn kill_all_clerks(&mut self) {
        self.system.add_clerk().await;
        self.all_die = true;
        let mut round = Round::default();
        for index in 0..2 {
            let api = self.system.clerk(index);
            self.send(&mut round, &api, JOBS, false).await;
        }
        let (one, other) = self.system.clerks.split_at_mut(1);
        tokio::join!(one[0].process.kill(), other[0].process.kill());
        self.system.clerks.clear();
        self.system.add_clerk().await;
        self.all_die = false;
        self.settle(round).await;
    }

    /// Sees that each job with a webhook was told by one event, and that no job was left over.
    pub(super) async fn close(self) {
        for job in &self.told {
            eventually("the webhook is sent", SENT, async || {
                (!self.inbox.events_of(*job).is_empty()).then_some(())
            })
            .await;
        }
        for job in &self.told {
            assert_eq!(self.inbox.events_of(*job).len(), 1, "job {job}");
        }
    }

    /// A process that will kill itself, and the clerk to which jobs go meanwhile.
    async fn doomed(&mut self, victim: Victim, plan: &str) -> (Process, Api) {
        self.system.kill_at(Some(plan.to_owned()));
        let doomed = match victim {
            Victim::All => {
                self.system.clerks[0].process.kill().await;
                self.system.clerks.clear();
                self.system.add_clerk().await;
                let clerk = self.system.clerks.remove(0);
                (clerk.process, clerk.api)
            }
            Victim::Clerk => {
                self.system.add_clerk().await;
                let clerk = self.system.clerks.remove(1);
                (clerk.process, clerk.api)
            }
            Victim::Worker => {
                self.system.add_worker(0).await;
                (self.system.workers.remove(1), self.system.api())
            }
        };
        self.system.kill_at(None);
        doomed
    }

    async fn send(&mut self, round: &mut Round, api: &Api, count: u64, held: bool) {
        let first = self.next;
        self.next += count;
        let asked = (first..self.next).map(|number| Asked {
            number,
            sort: match number % 5 {
                0 if held => Sort::Held,
                0 => Sort::Quick,
                1 => Sort::Slow,
                2 => Sort::FailsOnce,
                3 => Sort::Told,
                _ => Sort::Delayed,
            },
        });
        let webhook = self.inbox.url();
        let sent = asked.map(|asked| async move { (asked, asked.submit(api, webhook).await) });
        for (asked, job) in join_all(sent).await {
            match job {
                Some(job) => self.accept(round, asked, job),
                None => round.unanswered.push(asked),
            }
        }
    }

    /// Somebody waits for the end of what is accepted, at a clerk that lives on.
    fn accept(&mut self, round: &mut Round, asked: Asked, job: JobObject) {
        if asked.sort == Sort::Told {
            self.told.push(job.id);
        }
        let id = job.id;
        let survivor = self.system.clerks.first().filter(|_| !self.all_die);
        let survivor = survivor.map(|clerk| clerk.api.clone());
        let waits = tokio::spawn(async move {
            let Some(api) = survivor else {
                return (job, Duration::ZERO);
            };
            let ended = api.ended_within(&job, HEALED).await;
            let late = ended
                .finished_at
                .map(|end| SystemClock::new().now().since(end));
            (ended, late.unwrap_or_default())
        });
        round.accepted.push(Accepted { asked, id, waits });
    }

    /// Asks again for what was not answered, waits for everything and looks at it; how many runs there
    /// were beyond the first ones.
    async fn settle(&mut self, mut round: Round) -> usize {
        let api = self.system.api();
        let unanswered = std::mem::take(&mut round.unanswered);
        let mut unknown = 0;
        for asked in unanswered {
            if asked.key().is_none() {
                unknown += 1;
                continue;
            }
            let job = asked.submit(&api, self.inbox.url()).await;
            let job = job.expect("a clerk that lives answers");
            self.accept(&mut round, asked, job);
        }
        let mut more = 0;
        let mut ids = BTreeSet::new();
        for Accepted { asked, id, waits } in round.accepted {
            let (mut job, late) = waits.await.unwrap();
            if !job.done {
                job = api.ended_within(&job, HEALED).await;
            }
            assert!(late < TOLD, "{job:?} was told {late:?} after its end");
            assert!(ids.insert(id), "{id} is one job");
            more += self.look(asked, &job);
        }
        self.look_for_others(&api, ids, unknown).await;
        more
    }

    /// One outcome, which is that of its input, and no more runs than there were kills.
    fn look(&self, asked: Asked, job: &JobObject) -> usize {
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
        let output = job.output.as_ref().map(|output| output.get().to_owned());
        let input = asked.body("")["input"].to_string();
        assert_eq!(output, Some(input), "{job:?}");
        let runs = self.journal.counts();
        let runs = runs.get(&job.id.to_string()).copied().unwrap_or(0);
        let wanted = if asked.sort == Sort::FailsOnce { 2 } else { 1 };
        assert!(
            (1..=wanted + 1).contains(&runs),
            "{asked:?} has run {runs} times: {job:?}"
        );
        runs.saturating_sub(wanted)
    }

    /// Whatever else there is was asked for without a key and not answered; it ends all the same.
    async fn look_for_others(&mut self, api: &Api, ids: BTreeSet<JobId>, unknown: usize) {
        let mut others = Vec::new();
        let mut cursor = String::new();
        'pages: loop {
            let path = format!("/jobs?limit=200&cursor={cursor}");
            let page = api.json(Method::GET, &path, None).await;
            for job in page["jobs"].as_array().unwrap() {
                let job: JobObject = serde_json::from_value(job.clone()).unwrap();
                if self.known.contains(&job.id) {
                    break 'pages;
                }
                if !ids.contains(&job.id) {
                    others.push(job);
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert!(others.len() <= unknown, "{others:?} and {unknown} unknown");
        self.known.extend(ids);
        for job in others {
            let ended = api.ended_within(&job, HEALED).await;
            assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
            self.known.insert(job.id);
        }
    }
}
