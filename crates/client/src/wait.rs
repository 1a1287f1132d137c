//! Waiting for a job's end, however long it takes and whatever is between.

use std::time::Duration;

use clerkwork_core::{JobId, JobObject};
use reqwest::StatusCode;
use reqwest::header::IF_NONE_MATCH;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::Error;
use crate::request::Request;

/// How long one request is held at most: under the usual minute of what is between.
const TURN: Duration = Duration::from_secs(45);

/// How long a server that has answered before may be away, from the first request that fails.
pub(crate) const AWAY: Duration = Duration::from_secs(60);

/// The pause where the server does not hold requests and names none.
const PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// Waits for a job's end, for ever or for `most`. The job comes back as it is then: look at
    /// `done`.
    ///
    /// # Errors
    /// [`Error`]; a server that goes away while we wait is given a minute to come back.
    pub async fn wait(&self, id: JobId, most: Option<Duration>) -> Result<JobObject, Error> {
        self.follow(id, most, |_| {}).await
    }

    /// As [`Client::wait`], and shows the job to `seen` as it is now and after each change of
    /// state.
    ///
    /// # Errors
    /// As [`Client::wait`].
    pub async fn follow(
        &self,
        id: JobId,
        most: Option<Duration>,
        mut seen: impl FnMut(&JobObject),
    ) -> Result<JobObject, Error> {
        let begin = Instant::now();
        let left = || left(most, begin);
        // So long a wait that its end is no time is one for ever.
        let until = most.and_then(|most| begin.checked_add(most));
        let answer = self.send(&Request::get(target(id))).await?;
        let mut etag = answer.header("etag").map(str::to_owned);
        let mut job: JobObject = answer.json()?;
        seen(&job);
        while !job.done && left().is_none_or(|left| !left.is_zero()) {
            let asked = Instant::now();
            let wait = turn(left());
            let mut request = Request::get(target(id)).wait(Some(wait));
            if let Some(etag) = &etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            let answer = self.send_for(&request, AWAY, until).await.0?;
            let before = etag.take();
            if answer.status == StatusCode::NOT_MODIFIED {
                etag.clone_from(&before);
            } else {
                etag = answer.header("etag").map(str::to_owned);
                job = answer.json()?;
                seen(&job);
            }
            let changed = etag.is_some() && etag != before;
            let held = asked.elapsed() + PAUSE >= Duration::from_secs(wait);
            if job.done || changed || held {
                continue;
            }
            // A server that is full or drains does not hold us: come again when it says.
            let pause = answer.retry_after().unwrap_or(PAUSE).max(PAUSE);
            sleep(left().map_or(pause, |left| pause.min(left))).await;
        }
        Ok(job)
    }
}

/// What is left of a wait that began then.
pub(crate) fn left(most: Option<Duration>, begin: Instant) -> Option<Duration> {
    most.map(|most| most.saturating_sub(begin.elapsed()))
}

/// The seconds of the next turn of a wait that has `left` to go.
pub(crate) fn turn(left: Option<Duration>) -> u64 {
    let turn = left.map_or(TURN, |left| left.min(TURN));
    turn.as_secs() + u64::from(turn.subsec_nanos() > 0)
}

fn target(id: JobId) -> String {
    format!("v1/jobs/{id}")
}
