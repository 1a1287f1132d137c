//! A WebSocket at work: one task, which reads what the client says and writes what its jobs tell.
//!
//! Nothing waits in a queue for the client: each subscription is a follower that pulls its next frame
//! when the last one is written. A client that reads slowly sees newer states and gaps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Clock as _, JobId};
use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::{FusedStream as _, FuturesUnordered};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::close::Close;
use super::message::{self, Said};
use super::subscription::{Came, Following, Subscription, begin, is_too_much};
use crate::Desk;
use crate::events::Position;
use crate::http::auth::{Caller, Reader};
use crate::http::follow::Frame;
use crate::http::problem::Problem;
use crate::limits::OpenStream;

/// How many beats long a client may be silent.
const SILENT_BEATS: u32 = 3;
/// How long a client may take to say who it is.
const AUTH: Duration = Duration::from_secs(10);
/// How long a client may take to read what is sent; less than its connection is given.
const SLOW: Duration = Duration::from_secs(20);
/// How long a client may read nothing, however much waits for it.
const STALL: Duration = Duration::from_secs(1);
/// How long a close may take.
const CLOSE: Duration = Duration::from_secs(1);
/// The most subscriptions of a connection.
const MOST: usize = 1_000;
/// The most of what is awaited for subscriptions, those included that were replaced just now.
const MOST_PULLS: usize = 2 * MOST;

/// How a connection ends.
enum End {
    /// By us, for this reason.
    Close(Close),
    /// By the client, or by the network.
    Gone,
}

type Pulls = FuturesUnordered<Abortable<BoxFuture<'static, Came>>>;

/// One connection.
pub(super) struct Session {
    desk: Arc<Desk>,
    caller: Option<Caller>,
    /// Counts for the caller's key until it is dropped.
    counted: Option<OpenStream>,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    subscriptions: HashMap<JobId, Subscription>,
    pulls: Pulls,
    /// Counts subscriptions.
    count: u64,
    /// Whether anything was said.
    spoken: bool,
    began: Instant,
    heard_at: Instant,
}

impl Session {
    pub(super) fn new(
        desk: Arc<Desk>,
        caller: Option<Caller>,
        counted: Option<OpenStream>,
        socket: WebSocketStream<TokioIo<Upgraded>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            desk,
            caller,
            counted,
            socket,
            subscriptions: HashMap::new(),
            pulls: FuturesUnordered::new(),
            count: 0,
            spoken: false,
            began: now,
            heard_at: now,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        let End::Close(close) = self.serve().await else {
            return;
        };
        tracing::debug!(?close, "a WebSocket is closed");
        self.pulls.clear();
        let is_broken = self.socket.is_terminated();
        // Until the client has said that it knows, so that it surely learns the reason.
        let closing = async {
            if self.socket.close(Some(close.frame())).await.is_err() {
                return;
            }
            while let Some(Ok(_)) = self.socket.next().await {}
            // Where its frames cannot be read any more: what is not read would take the reason away.
            if is_broken {
                let _ = tokio::io::copy(self.socket.get_mut(), &mut tokio::io::sink()).await;
            }
        };
        // Whoever does not read cannot be told.
        let _ = timeout(CLOSE, closing).await;
    }

    async fn serve(&mut self) -> End {
        let draining = self.desk.draining.clone();
        let beat = self.desk.config.beat;
        let mut ping = interval_at(self.began + beat, beat);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (deadline, late) = self.deadline();
            let has_room = self.pulls.len() < MOST_PULLS;
            // The times come first: a client that sends and sends must not hold them off.
            let end = tokio::select! {
                biased;
                () = draining.cancelled() => Err(End::Close(Close::Draining)),
                () = sleep_until(deadline) => self.hear_the_last(late).await,
                _ = ping.tick() => self.beat().await,
                said = self.socket.next(), if has_room => self.hear(said).await,
                Some(came) = self.pulls.next() => self.tell(came).await,
            };
            if let Err(end) = end {
                return end;
            }
        }
    }

    /// Until when the client has to say something, and why it is closed otherwise.
    fn deadline(&self) -> (Instant, Close) {
        match self.may_speak() {
            true => {
                let silence = self.desk.config.beat * SILENT_BEATS;
                (self.heard_at + silence, Close::Silent)
            }
            false => (self.began + AUTH, Close::NoAuth),
        }
    }

    /// Ends the connection, unless what was awaited is here and was not read yet.
    async fn hear_the_last(&mut self, late: Close) -> Result<(), End> {
        if let Some(said) = self.socket.next().now_or_never() {
            self.hear(said).await?;
        }
        match self.deadline() {
            (deadline, _) if deadline > Instant::now() => Ok(()),
            _ => Err(End::Close(late)),
        }
    }

    async fn hear(&mut self, said: Option<Result<Message, Error>>) -> Result<(), End> {
        let text = match said {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_))) => {
                self.heard_at = Instant::now();
                // Nothing more is read until its pong is written, so that pongs cannot pile up.
                return in_time(self.socket.flush()).await;
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {
                self.heard_at = Instant::now();
                return Ok(());
            }
            Some(Ok(Message::Close(_)) | Err(Error::Protocol(ResetWithoutClosingHandshake)))
            | None => return Err(End::Gone),
            Some(
                Ok(Message::Binary(_))
                | Err(Error::Capacity(_) | Error::Utf8(_) | Error::Protocol(_)),
            ) => return Err(End::Close(self.not_understood())),
            Some(Err(_)) => return Err(End::Gone),
        };
        self.heard_at = Instant::now();
        let said = message::read(&text).ok_or_else(|| End::Close(self.not_understood()))?;
        match said {
            Said::Auth { token } => self.authenticate(&token).await?,
            Said::Subscribe { job, after, token } => {
                let after = after.as_deref().and_then(Position::read);
                self.subscribe(job, after, token.as_deref()).await?;
            }
            Said::Unsubscribe { job } if self.may_speak() => {
                if let Ok(job) = job.parse() {
                    self.unsubscribe(job);
                }
            }
            Said::Unsubscribe { .. } => return Err(End::Close(Close::NotAuthenticated)),
        }
        self.spoken = true;
        Ok(())
    }

    /// Whether the client has said who it is, or shown a token of a job.
    fn may_speak(&self) -> bool {
        self.caller.is_some() || self.spoken
    }

    /// The reason for closing when something comes that is no message: whoever has yet to say who it is
    /// learns nothing else.
    fn not_understood(&self) -> Close {
        match self.may_speak() {
            true => Close::BadMessage,
            false => Close::NotAuthenticated,
        }
    }

    async fn authenticate(&mut self, key: &str) -> Result<(), End> {
        let caller = Caller::by_key(&self.desk, key).await;
        let caller = caller.map_err(|_| End::Close(Close::NotAuthenticated))?;
        // Its subscriptions are of the key that opened them, and end with that one.
        if self
            .caller
            .as_ref()
            .is_some_and(|known| known.key() != caller.key())
        {
            return Err(End::Close(Close::BadMessage));
        }
        // Who says it twice is counted once.
        self.counted = None;
        let counted = self.desk.limits.stream(caller.viewer());
        self.counted = Some(counted.map_err(|too_many| End::Close(too_many.into()))?);
        self.caller = Some(caller);
        Ok(())
    }

    async fn subscribe(
        &mut self,
        name: String,
        after: Option<Position>,
        token: Option<&str>,
    ) -> Result<(), End> {
        let job: Option<JobId> = name.parse().ok();
        let by_token = job
            .zip(token)
            .and_then(|(job, token)| Reader::by_token(&self.desk, job, token));
        let by_key = self.caller.clone().map(Reader::Caller);
        let Some(reader) = by_token.or(by_key) else {
            return match self.spoken {
                // Another token of this connection is good, so only this subscription is not.
                true => self.refuse(&name, &Problem::no_such_job()).await,
                false => Err(End::Close(Close::NotAuthenticated)),
            };
        };
        let Some(job) = job else {
            return self.refuse(&name, &Problem::no_such_job()).await;
        };
        self.unsubscribe(job);
        if self.subscriptions.len() >= MOST {
            return Err(End::Close(Close::TooMany));
        }
        self.count += 1;
        let begun = begin(self.desk.clone(), reader, job, after);
        self.pull(job, name, self.count, None, begun);
        Ok(())
    }

    /// Waits, beside all else, for what comes next of a subscription.
    fn pull(
        &mut self,
        job: JobId,
        name: String,
        number: u64,
        at: Option<Position>,
        next: impl Future<Output = Result<(Box<Following>, Frame), Problem>> + Send + 'static,
    ) {
        let pull: BoxFuture<'static, Came> = Box::pin(async move {
            let what = next.await;
            Came {
                job,
                name,
                number,
                what,
            }
        });
        let (handle, registration) = AbortHandle::new_pair();
        let subscription = Subscription {
            number,
            pull: handle,
            at,
        };
        self.subscriptions.insert(job, subscription);
        self.pulls.push(Abortable::new(pull, registration));
    }

    fn unsubscribe(&mut self, job: JobId) {
        if let Some(subscription) = self.subscriptions.remove(&job) {
            subscription.pull.abort();
        }
    }

    /// Writes what came of a subscription, and pulls what comes next.
    async fn tell(&mut self, came: Result<Came, Aborted>) -> Result<(), End> {
        let Ok(came) = came else { return Ok(()) };
        let (job, name, number) = (came.job, came.name, came.number);
        let known = self.subscriptions.get(&job);
        if known.is_none_or(|known| known.number != number) {
            return Ok(());
        }
        self.subscriptions.remove(&job);
        let (mut following, frame) = match came.what {
            Ok(came) => came,
            Err(problem) => return self.refuse(&name, &problem).await,
        };
        let (at, last) = (frame.id, frame.last);
        self.send(message::event(job, &frame)).await?;
        if last {
            return Ok(());
        }
        let next = async move {
            let frame = following.follower.next().await?;
            Ok((following, frame))
        };
        self.pull(job, name, number, Some(at), next);
        Ok(())
    }

    async fn refuse(&mut self, job: &str, problem: &Problem) -> Result<(), End> {
        let problem = problem.told(JobId::at(self.desk.clock.now()));
        self.send(message::error(job, &problem)).await
    }

    /// Sends a ping; ends what may not be here any more.
    async fn beat(&mut self) -> Result<(), End> {
        if let Some(caller) = &self.caller
            && !caller.may_stay(&self.desk).await
        {
            return Err(End::Close(Close::NotAuthenticated));
        }
        self.write(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        self.write(Message::text(text)).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        let Self {
            desk,
            socket,
            subscriptions,
            ..
        } = self;
        let too_much_waits = async {
            sleep(STALL).await;
            while !is_too_much(&desk.hub, subscriptions) {
                sleep(STALL).await;
            }
        };
        tokio::select! {
            biased;
            written = in_time(socket.send(message)) => written,
            () = too_much_waits => Err(End::Close(Close::TooSlow)),
        }
    }
}

/// Writes, unless the client is too slow to read that.
async fn in_time(writing: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    match timeout(SLOW, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Close(Close::TooSlow)),
    }
}
