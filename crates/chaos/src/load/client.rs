//! One client: it submits, waits, polls, follows, cancels, repeats and goes away, as the dice say.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{Op, Status, Submission, View};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Habits;
use super::call::{Caller, Letter, Node};
use crate::command;
use crate::dice::Dice;
use crate::task::{Task, size};
use crate::worker::QUEUE;

/// More attempts than any run of faults takes from a job.
const ATTEMPTS: u32 = 90;
/// The share of jobs that are commands, of a hundred, where there are any.
const COMMANDS: u64 = 25;

#[derive(Debug)]
pub(super) struct Client {
    name: String,
    caller: Arc<Caller>,
    hook: String,
    dice: Dice,
    habits: Habits,
    jobs: u64,
}

impl Client {
    pub(super) fn new(
        number: usize,
        caller: Arc<Caller>,
        hook: &str,
        dice: Dice,
        habits: Habits,
    ) -> Self {
        Self {
            name: format!("c{number}"),
            caller,
            hook: hook.to_owned(),
            dice,
            habits,
            jobs: 0,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.one(&stop).await;
            let pause = self.dice.millis(0, 20);
            sleep(pause).await;
        }
    }

    /// One job, from its submission on for as long as this client cares.
    async fn one(&mut self, stop: &CancellationToken) {
        let letter = self.letter();
        // Whoever has a key can come again.
        let leaves = if letter.key.is_some() { 40 } else { 6 };
        if self.dice.chance(leaves) {
            let patience = Duration::from_micros(self.dice.below(60_000));
            let node = self.node();
            self.caller
                .submit(&self.name, &node, &letter, Some(patience))
                .await;
            if letter.key.is_none() {
                return;
            }
        }
        let Some(view) = self.submit(&letter, stop).await else {
            sleep(Duration::from_millis(50)).await;
            return;
        };
        if self.dice.chance(30) {
            self.look(&view.job, 0).await;
        }
        if !view.status.is_final() {
            self.care(&view, stop).await;
        }
    }

    /// Submits, with a key again and again until it is known what became of it.
    async fn submit(&mut self, letter: &Letter, stop: &CancellationToken) -> Option<View> {
        let (one, other) = (self.node(), self.node());
        if letter.key.is_some() && self.dice.chance(30) {
            let racing = tokio::join!(
                self.caller.submit(&self.name, &one, letter, None),
                self.caller.submit(&self.name, &other, letter, None),
            );
            return racing.0.or(racing.1);
        }
        let first = self.caller.submit(&self.name, &one, letter, None).await;
        if first.is_some() || letter.key.is_none() {
            return first;
        }
        for _ in 0..10 {
            if stop.is_cancelled() {
                break;
            }
            sleep(Duration::from_millis(200)).await;
            let node = self.node();
            let again = self.caller.submit(&self.name, &node, letter, None).await;
            if again.is_some() {
                return again;
            }
        }
        None
    }

    async fn care(&mut self, view: &View, stop: &CancellationToken) {
        let job = &view.job;
        match self.dice.below(12) {
            0..=2 => {
                for _ in 0..4 {
                    let seen = self.look(job, 4).await;
                    if seen.is_some_and(|seen| seen.status.is_final()) || stop.is_cancelled() {
                        break;
                    }
                }
                self.look(job, 0).await;
            }
            3 | 4 => {
                let node = self.node();
                let end = self.caller.follow(&self.name, &node, job).await;
                if end.is_some() {
                    self.look(job, 0).await;
                }
            }
            5 => self.cancel(view).await,
            6 | 7 => {
                for _ in 0..3 {
                    let pause = self.dice.millis(5, 100);
                    sleep(pause).await;
                    self.look(job, 0).await;
                }
            }
            8 => {
                for node in self.caller.nodes.clone() {
                    let op = Op::Read { job: job.clone() };
                    self.caller.read(&self.name, &node, op, 0).await;
                }
            }
            _ => {}
        }
    }

    async fn cancel(&mut self, view: &View) {
        let job = &view.job;
        if view.status != Status::Scheduled {
            let pause = self.dice.millis(0, 300);
            sleep(pause).await;
        }
        let op = Op::Cancel { job: job.clone() };
        let node = self.node();
        self.caller.read(&self.name, &node, op, 2).await;
        self.look(job, 0).await;
    }

    async fn look(&mut self, job: &str, wait: u64) -> Option<View> {
        let node = self.node();
        let job = job.to_owned();
        let op = Op::Read { job };
        self.caller.read(&self.name, &node, op, wait).await
    }

    fn node(&mut self) -> Node {
        let index = self.dice.index(self.caller.nodes.len());
        self.caller.nodes[index].clone()
    }

    /// Draws what to submit.
    fn letter(&mut self) -> Letter {
        self.jobs += 1;
        let token = format!("{}-{}", self.name, self.jobs);
        let dice = &mut self.dice;
        let ms = match dice.below(100) {
            0..=2 => 3_000 + dice.below(9_000),
            3..=20 => 50 + dice.below(400),
            _ => dice.below(20),
        };
        let fatal = dice.chance(3);
        let fail = if dice.chance(5) { 1 } else { 0 };
        let delay_s = if dice.chance(6) { 1 + dice.below(3) } else { 0 };
        let start_within_s = dice.chance(4).then(|| match dice.chance(50) {
            true => 2 + dice.below(8),
            false => 3_600,
        });
        let webhook = dice.chance(10);
        let key = dice.chance(25).then(|| format!("k-{token}"));
        let wait = if dice.chance(40) {
            1 + dice.below(5)
        } else {
            0
        };
        let task = Task {
            token: token.clone(),
            ms,
            fail,
            fatal,
            size: 0,
            filling: String::new(),
        };
        let mut body = self.job(task);
        body["delay_s"] = delay_s.into();
        if let Some(seconds) = start_within_s {
            body["start_within_s"] = seconds.into();
        }
        if webhook {
            body["webhook"] = self.hook.as_str().into();
        }
        let ms = |seconds: u64| i64::try_from(seconds * 1_000).unwrap_or_default();
        let terms = Submission {
            token,
            delay_ms: ms(delay_s),
            start_within_ms: start_within_s.map(ms),
            may_fail: fatal,
            webhook,
        };
        Letter {
            terms,
            body,
            key,
            wait,
        }
    }
    /// Draws the queue of a task, and its size where that is one of commands.
    fn job(&mut self, task: Task) -> Value {
        let one_attempt = self.habits.spares_workers && task.ms >= 3_000 && task.fail == 0;
        let attempts = if one_attempt { 1 } else { ATTEMPTS };
        let tags = [task.token.clone()];
        let (queue, task) = if self.habits.commands && self.dice.chance(COMMANDS) {
            (command::QUEUE, task.filled(size(&mut self.dice)))
        } else {
            (QUEUE, task)
        };
        json!({
            "queue": queue, "input": task, "tags": tags, "max_attempts": attempts, "retry_delay_s": 1,
        })
    }
}
