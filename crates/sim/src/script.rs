//! What clients do: each job has a script of its own, drawn beforehand.

use std::time::Duration;

use clerkwork_checker::{Op, Submission};
use serde_json::json;

use crate::client::{Ask, Clients, Told};
use crate::dice;
use crate::fleet::QUEUES;
use crate::plan::Plan;
use crate::work::Order;

/// How often a submission is tried at most.
const TRIES: u32 = 8;

/// What is done with one job.
#[derive(Debug)]
pub(crate) struct Script {
    begins: Duration,
    submission: Submission,
    body: String,
    keyed: bool,
    wait_s: Option<u64>,
    steps: Vec<(Duration, Step)>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(Option<u64>),
    Cancel,
    List,
}

impl Script {
    /// Draws what is done with the job of this number.
    pub(crate) fn draw(number: u64, plan: &Plan) -> Self {
        let token = format!("t{number}");
        let attempts = dice::number(1..4);
        let fails = match dice::odds(0.15) {
            true => dice::number(1..4),
            false => 0,
        };
        let delay_s = match dice::odds(0.15) {
            true => dice::number(1..10),
            false => 0,
        };
        let within_s = dice::odds(0.2).then(|| match dice::odds(0.5) {
            true => dice::number(1..20),
            false => 3_600,
        });
        // In a calm run every job runs once and ends as its run did.
        let refused = dice::odds(0.03) && !plan.faults.is_empty();
        let order = Order {
            token: token.clone(),
            takes_ms: match dice::number(0..10) {
                0..5 => dice::number(0..20),
                5..8 => dice::number(20..2_000),
                8 => dice::number(2_000..8_000),
                _ => dice::number(5_000..20_000),
            },
            fails: u32::try_from(fails).unwrap_or(0),
            heeds: dice::odds(0.8),
            refused,
        };
        let body = json!({
            "queue": QUEUES[dice::place(QUEUES.len())],
            "input": order,
            "tags": [token],
            "timeout_s": 60,
            "delay_s": delay_s,
            "start_within_s": within_s,
            "max_attempts": attempts,
            "retry_delay_s": 1,
        });
        let ms = |s: u64| i64::try_from(s * 1_000).unwrap_or(0);
        Self {
            begins: dice::millis(0..plan.span_ms()),
            submission: Submission {
                token,
                delay_ms: ms(delay_s),
                start_within_ms: within_s.map(ms),
                may_fail: plan.may_fail || fails >= attempts || refused,
                webhook: false,
            },
            body: body.to_string(),
            keyed: dice::odds(0.6),
            wait_s: dice::odds(0.5).then(|| dice::number(1..30)),
            steps: steps(),
        }
    }

    /// Does it.
    pub(crate) async fn play(self, clients: Clients) {
        dice::pass(self.begins).await;
        let Some(job) = self.submit(&clients).await else {
            return;
        };
        for (pause, step) in self.steps {
            dice::pass(pause).await;
            let clerk = clients.any();
            match step {
                Step::Read(wait_s) => drop(clients.read(clerk, &job, wait_s).await),
                Step::Cancel => drop(clients.cancel(clerk, &job).await),
                Step::List => drop(clients.list(clerk).await),
            }
        }
    }

    /// Submits until it is known what became of it, or as often as one may without a key.
    async fn submit(&self, clients: &Clients) -> Option<String> {
        for _ in 0..TRIES {
            let ask = Ask {
                op: Op::Submit(self.submission.clone()),
                method: "POST",
                path: "/v1/jobs".to_owned(),
                body: self.body.clone(),
                key: self.keyed.then(|| self.submission.token.clone()),
                wait_s: self.wait_s,
            };
            match clients.call(clients.any(), ask).await {
                Told::Job(view) => return Some(view.job),
                Told::Unknown if !self.keyed => return None,
                Told::Nothing => return None,
                Told::Unknown | Told::Refused => dice::pass(dice::millis(100..2_500)).await,
            }
        }
        None
    }
}

impl Clients {
    /// Some clerk, there or not.
    fn any(&self) -> usize {
        dice::place(self.fleet.clerks.len())
    }
}

fn steps() -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    for _ in 0..dice::number(0..4) {
        let wait_s = dice::odds(0.6).then(|| dice::number(1..20));
        steps.push((dice::millis(0..4_000), Step::Read(wait_s)));
    }
    if dice::odds(0.15) {
        let at = dice::place(steps.len() + 1);
        steps.insert(at, (dice::millis(0..4_000), Step::Cancel));
    }
    if dice::odds(0.1) {
        steps.push((dice::millis(0..2_000), Step::List));
    }
    steps
}
