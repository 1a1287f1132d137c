//! A job followed live: its events, through lost connections and on any clerk.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use clerkwork_core::sse::{self, Parser};
use clerkwork_core::{Chunk, Gap, JobId, JobObject, LogLine, Progress};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::client::{Client, FIRST_PAUSE, Failed};
use crate::error::Error;
use crate::request::Request;
use crate::wait::AWAY;

/// The pause before a lost stream is asked for again, unless the server names one; doubled with
/// each failure up to the longest.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the server may take to begin its answer.
const BEGIN_LIMIT: Duration = Duration::from_secs(15);

/// How long a stream may be silent: three of the comments that servers send meanwhile.
const SILENCE: Duration = Duration::from_secs(45);

/// The largest event: a job with all that is shown of it there.
const LARGEST: usize = 4 * 1024 * 1024;

/// One thing that happened to a job.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "lowercase")]
pub enum Event {
    /// The job is so now. Where `attempt` rose, all chunks before it are void.
    State(Box<JobObject>),
    /// How far the attempt has come.
    Progress(Progress),
    /// A line of its log.
    Log(LogLine),
    /// A part of its output.
    Chunk(Chunk),
    /// Live events that are gone.
    Gap(Gap),
}

/// An event and its position.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// What to give to [`Client::events_after`] to go on after it.
    pub id: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A request for the stream, under way.
type Opening = Pin<Box<dyn Future<Output = Result<Option<Response>, Failed>> + Send>>;

/// The events of a job as they come.
pub struct Events {
    client: Client,
    job: JobId,
    /// The position of the last event.
    after: String,
    /// The request that is under way. It is kept here, so that it goes on when a wait is given up.
    opening: Option<Opening>,
    stream: Option<(Response, Parser)>,
    ready: VecDeque<sse::Event>,
    /// Nothing more can follow.
    over: bool,
    /// When the server was last heard, or we began.
    heard: Instant,
    /// When the first request or stream failed since then. Patience counts from here: a stream may
    /// have been silent for long before it breaks.
    failed: Option<Instant>,
    /// Whether it was ever heard.
    answered: bool,
    /// The pause that the server wants.
    asked_pause: Duration,
    /// The next pause.
    pause: Duration,
    not_before: Option<Instant>,
}

impl Client {
    /// Follows a job from its state now to its end.
    #[must_use]
    pub fn events(&self, id: JobId) -> Events {
        self.events_after(id, "")
    }

    /// Goes on after the event with this position, on any clerk.
    #[must_use]
    pub fn events_after(&self, id: JobId, position: &str) -> Events {
        Events {
            client: self.clone(),
            job: id,
            after: position.to_owned(),
            opening: None,
            stream: None,
            ready: VecDeque::new(),
            over: false,
            heard: Instant::now(),
            failed: None,
            answered: false,
            asked_pause: PAUSE,
            pause: FIRST_PAUSE,
            not_before: None,
        }
    }
}

impl Events {
    /// The next event; `None` after the state that is final. Dropping the future loses nothing, so
    /// it can wait beside other things.
    ///
    /// A stream that was cut off is taken up again where it was. Events of kinds that are not known
    /// are left out.
    ///
    /// # Errors
    /// [`Error`]; a server that goes away while we listen is given a minute to come back.
    pub async fn next(&mut self) -> Result<Option<Told>, Error> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if !event.id.is_empty() {
                    event.id.clone_into(&mut self.after);
                }
                if let Some(event) = read(&event)? {
                    self.over = matches!(&event, Event::State(job) if job.done);
                    let id = self.after.clone();
                    return Ok(Some(Told { id, event }));
                }
            }
            if self.over {
                return Ok(None);
            }
            if self.stream.is_none() {
                self.connect().await?;
            } else {
                self.listen().await;
            }
        }
    }

    /// Takes the next piece of the stream; without one, it is to be asked for again.
    async fn listen(&mut self) {
        let Some((response, parser)) = &mut self.stream else {
            return;
        };
        match timeout_at(self.heard + SILENCE, response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                self.ready.extend(parser.feed(&piece));
                if let Some(retry) = parser.retry() {
                    self.asked_pause = retry.clamp(FIRST_PAUSE, LONGEST_PAUSE);
                }
                self.pause = self.asked_pause;
                self.heard = Instant::now();
                self.failed = None;
            }
            // Its end, a broken connection, or silence.
            Ok(Ok(None) | Err(_)) | Err(_) => {
                self.stream = None;
                self.wait(None);
            }
        }
    }

    /// Asks for the stream, again and again for a while.
    async fn connect(&mut self) -> Result<(), Error> {
        loop {
            if let Some(until) = self.not_before {
                sleep_until(until).await;
                self.not_before = None;
            }
            let opening = self.opening.get_or_insert_with(|| {
                Box::pin(open(self.client.clone(), self.job, self.after.clone()))
            });
            let opened = opening.await;
            self.opening = None;
            let (error, asked) = match opened {
                Ok(Some(response)) => {
                    self.stream = Some((response, Parser::new(LARGEST)));
                    self.heard = Instant::now();
                    self.failed = None;
                    self.answered = true;
                    self.pause = self.pause.max(self.asked_pause);
                    return Ok(());
                }
                Ok(None) => {
                    self.over = true;
                    return Ok(());
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Passing(error, asked)) => (error, asked),
            };
            let patience = if self.answered {
                AWAY
            } else {
                self.client.patience
            };
            if self.wait(asked) > patience {
                return Err(error);
            }
        }
    }

    /// Has the next request wait, longer each time; how long after the first failure it will be.
    fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let now = Instant::now();
        let pause = self.pause.mul_f64(rand::random_range(0.75..1.25));
        let next = now + pause.max(asked.unwrap_or_default());
        self.not_before = Some(next);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        next.duration_since(*self.failed.get_or_insert(now))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} after {:?})", self.job, self.after)
    }
}

/// Asks for the stream once; `None` if the end was seen before.
async fn open(client: Client, job: JobId, after: String) -> Result<Option<Response>, Failed> {
    let away = |why: &str| Failed::Passing(client.away(why.to_owned()), None);
    let mut request =
        Request::get(format!("v1/jobs/{job}/events")).header(ACCEPT, "text/event-stream");
    if !after.is_empty() {
        request = request.header(HeaderName::from_static("last-event-id"), after);
    }
    let sent = timeout(BEGIN_LIMIT, client.prepare(&request)?.send()).await;
    let response = sent
        .map_err(|_| away("no answer in time"))?
        .map_err(|error| client.unreachable(&error))?;
    match response.status() {
        StatusCode::NO_CONTENT => return Ok(None),
        StatusCode::OK => {}
        _ => {
            let read = timeout(BEGIN_LIMIT, client.read(response)).await;
            read.map_err(|_| away("no answer in time"))??;
            return Err(away("an answer that is no stream"));
        }
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Err(away(
            "an answer that is no stream, from something before the server",
        ));
    }
    Ok(Some(response))
}

/// Reads an event; `None` where it is of a kind that is not known, or says more than is known.
fn read(event: &sse::Event) -> Result<Option<Event>, Error> {
    fn json<T: DeserializeOwned>(event: &sse::Event) -> Option<T> {
        serde_json::from_slice(&event.data).ok()
    }
    Ok(match event.kind.as_str() {
        "state" => match serde_json::from_slice(&event.data) {
            Ok(job) => Some(Event::State(job)),
            // Without its states a job cannot be followed.
            Err(error) => return Err(Error::Unexpected(format!("an event `state`: {error}"))),
        },
        "progress" => json(event).map(Event::Progress),
        "log" => json(event).map(Event::Log),
        "chunk" => json(event).map(Event::Chunk),
        "gap" => json(event).map(Event::Gap),
        _ => None,
    })
}
