//! The stations of the tour: each asks something of the clerk and checks the answer.

use std::time::{Duration, Instant};

use clerkwork_client::{Client, Event, JobId, JobObject, Status, Submission};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::server::Server;
use crate::exit::Failure;
use crate::terminal::announce;

/// How long one station may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The pause between two polls.
const POLL: Duration = Duration::from_millis(50);

/// How many jobs survive the kill.
const SURVIVORS: usize = 20;

/// The tour of one clerk.
#[derive(Debug)]
pub(super) struct Tour {
    client: Client,
    url: String,
}

impl Tour {
    pub(super) fn new(client: Client, url: &str) -> Self {
        Self {
            client: client.patience(LIMIT),
            url: url.to_owned(),
        }
    }

    pub(super) async fn run(&self, server: &mut Server) -> Result<(), Failure> {
        self.long_wait().await?;
        self.poll().await?;
        self.follow().await?;
        self.retries().await?;
        self.cancel().await?;
        self.survive(server).await
    }

    async fn long_wait(&self) -> Result<(), Failure> {
        let begin = Instant::now();
        let job = self.client.run(&shout("hello")?, Some(LIMIT)).await?;
        expect(&job, Status::Succeeded, Some("\"HELLO\""))?;
        let answer = format!(
            "{} in one request of {} ms",
            shown(&job),
            begin.elapsed().as_millis()
        );
        let curl = self.submit("shout", "\"hello\"", "-H 'Prefer: wait=10' ");
        self.tell("Awaited by long-wait", &answer, &curl)
    }

    async fn poll(&self) -> Result<(), Failure> {
        let id = self.client.submit(&shout("and again")?).await?.job.id;
        let (job, polls) = self.poll_until(id, |job| job.done).await?;
        expect(&job, Status::Succeeded, Some("\"AND AGAIN\""))?;
        let answer = format!("{} after {polls} polls", shown(&job));
        self.tell(
            "Polled",
            &answer,
            &format!("curl {}/v1/jobs/{id}", self.url),
        )
    }

    async fn follow(&self) -> Result<(), Failure> {
        let submission = Submission::json("paint", &json!("three pages"))?;
        let id = self.client.submit(&submission).await?.job.id;
        let mut events = self.client.events(id);
        let mut told = Vec::new();
        let job = loop {
            let next = timeout(LIMIT, events.next()).await;
            let next = next.map_err(|_| Failure::error(format!("job {id} tells nothing")))?;
            match next?.map(|told| told.event) {
                Some(Event::Progress(progress)) => told.extend(progress.message),
                Some(Event::State(job)) if job.done => break *job,
                Some(_) => {}
                None => return Err(Failure::error(format!("the stream of {id} ended early"))),
            }
        };
        expect(&job, Status::Succeeded, Some("\"THREE PAGES\""))?;
        if told.last().map(String::as_str) != Some("page 3 of 3") {
            return Err(wrong(&job, "its last progress was not told"));
        }
        let answer = format!("{}, then {}", told.join(", "), shown(&job));
        let curl = format!("curl -N {}/v1/jobs/{id}/events", self.url);
        self.tell("Followed live", &answer, &curl)
    }

    async fn retries(&self) -> Result<(), Failure> {
        let submission = Submission::json("stumble", &json!("up again"))?
            .max_attempts(3)
            .retry_delay(Duration::ZERO);
        let job = self.client.run(&submission, Some(LIMIT)).await?;
        expect(&job, Status::Succeeded, Some("\"UP AGAIN\""))?;
        let attempts = self.client.attempts(job.id).await?;
        let failed = attempts
            .iter()
            .filter(|attempt| attempt.error.is_some())
            .count();
        if (job.attempt, failed) != (3, 2) {
            return Err(wrong(
                &job,
                &format!("{failed} failures and attempt {}", job.attempt),
            ));
        }
        let answer = format!("{} at attempt 3, after 2 failures", shown(&job));
        let curl = format!("curl {}/v1/jobs/{}/attempts", self.url, job.id);
        self.tell("Retried until it succeeds", &answer, &curl)
    }

    async fn cancel(&self) -> Result<(), Failure> {
        let submission = Submission::json("linger", &json!("for ever"))?;
        let id = self.client.submit(&submission).await?.job.id;
        self.poll_until(id, |job| job.status == Status::Running)
            .await?;
        let begin = Instant::now();
        self.client.cancel(id).await?;
        let job = self.client.wait(id, Some(LIMIT)).await?;
        expect(&job, Status::Cancelled, None)?;
        let answer = format!("cancelled within {} ms", begin.elapsed().as_millis());
        let curl = format!("curl -X POST {}/v1/jobs/{id}/cancel", self.url);
        self.tell("Cancelled while it runs", &answer, &curl)
    }

    async fn survive(&self, server: &mut Server) -> Result<(), Failure> {
        let mut ids = Vec::new();
        for n in 0..SURVIVORS {
            let submission =
                Submission::json("ponder", &json!(format!("job {n}")))?.retry_delay(Duration::ZERO);
            ids.push(self.client.submit(&submission).await?.job.id);
        }
        server.kill().await?;
        server.restart().await?;
        for (n, id) in ids.iter().enumerate() {
            let job = self.client.wait(*id, Some(LIMIT)).await?;
            expect(&job, Status::Succeeded, Some(&format!("\"JOB {n}\"")))?;
        }
        let answer = format!("all {SURVIVORS} accepted jobs ended after the restart");
        let curl = format!("curl '{}/v1/jobs?queue=ponder'", self.url);
        self.tell("Killed (kill -9) and started again", &answer, &curl)
    }

    async fn poll_until(
        &self,
        id: JobId,
        reached: impl Fn(&JobObject) -> bool,
    ) -> Result<(JobObject, u32), Failure> {
        let begin = Instant::now();
        let mut polls = 0;
        loop {
            let job = self.client.get(id).await?;
            polls += 1;
            if reached(&job) {
                return Ok((job, polls));
            }
            if job.done || begin.elapsed() > LIMIT {
                return Err(wrong(&job, "it did not come so far"));
            }
            sleep(POLL).await;
        }
    }

    fn tell(&self, what: &str, answer: &str, curl: &str) -> Result<(), Failure> {
        Ok(announce(&format!("{what}: {answer}\n  {curl}"))?)
    }

    fn submit(&self, queue: &str, input: &str, more: &str) -> String {
        format!(
            "curl {more}-H 'Content-Type: application/json' \
             -d '{{\"queue\":\"{queue}\",\"input\":{input}}}' {}/v1/jobs",
            self.url
        )
    }
}

fn shout(text: &str) -> Result<Submission, Failure> {
    Ok(Submission::json("shout", &json!(text))?)
}

fn shown(job: &JobObject) -> &str {
    job.output.as_ref().map_or("nothing", |output| output.get())
}

fn expect(job: &JobObject, status: Status, output: Option<&str>) -> Result<(), Failure> {
    if job.status == status && output.is_none_or(|output| shown(job) == output) {
        return Ok(());
    }
    Err(wrong(
        job,
        &format!(
            "{status} was expected, with {}",
            output.unwrap_or("nothing")
        ),
    ))
}

fn wrong(job: &JobObject, what: &str) -> Failure {
    let error = job
        .error
        .as_ref()
        .and_then(|error| error.detail.as_deref())
        .unwrap_or("");
    Failure::error(format!(
        "job {} of {} is {}: {what} {error}",
        job.id, job.queue, job.status
    ))
}
