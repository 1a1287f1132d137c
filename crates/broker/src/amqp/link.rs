//! One connection that is kept up: its supervisor, its epochs, and who waits for them.
//!
//! The client's own recovery is not used: it gives up silently, and never reopens a channel that the
//! broker closed. Any sign that a connection is gone ends its *epoch*, once and for good; the
//! supervisor shuts the socket and connects anew.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use lapin::{Channel, Connection, ErrorKind, Event};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::address::Address;
use super::board::{Board, Side, View};
use super::fault::words;
use super::socket::{Cause, Refusal, Socket, dial};
use crate::Error;

/// How long the broker may take to answer what is asked on a channel.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long a friendly goodbye may take; a connection that is blocked never says it.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A connection that lived this long has proved itself: the next attempt comes soon again.
const PROVED: Duration = Duration::from_secs(30);

/// How often to look whether the connection is still there: not every loss is told.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The bounds of the wait before the next attempt.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The wait after the broker said no.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// A connection as its users see it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    stop: CancellationToken,
}

#[derive(Clone, Debug)]
enum State {
    Down(String),
    Live(Arc<Epoch>),
}

/// One life of one connection.
#[derive(Debug)]
pub(super) struct Epoch {
    connection: Connection,
    socket: Socket,
    over: CancellationToken,
    /// The reason for which we gave the connection up, where we did.
    reason: OnceLock<String>,
    /// Tells that channel numbers of it cannot be used again.
    is_worn: AtomicBool,
    blocked: watch::Sender<bool>,
}

impl Link {
    /// Starts to connect, and connects again for ever until `stop`.
    pub(super) fn new(
        address: Address,
        name: String,
        side: Side,
        board: Arc<Board>,
        channels: u16,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let down = State::Down("connecting".to_owned());
        let (sender, state) = watch::channel(down);
        let supervisor = Supervisor {
            address,
            name,
            side,
            board,
            channels,
            state: sender,
            stop: stop.clone(),
        };
        (Self { state, stop }, supervisor.run())
    }

    /// The epoch that lives now.
    pub(super) fn now(&self) -> Result<Arc<Epoch>, Error> {
        match &*self.state.borrow() {
            _ if self.stop.is_cancelled() => Err(Error::Closed),
            State::Live(epoch) if !epoch.is_over() => Ok(Arc::clone(epoch)),
            State::Live(_) => Err(Error::Away("the connection was just lost".to_owned())),
            State::Down(reason) => Err(Error::Away(reason.clone())),
        }
    }

    /// Waits for a living epoch; `None` once the link is closed.
    pub(super) async fn live(&mut self) -> Option<Arc<Epoch>> {
        let living = self.state.wait_for(|state| match state {
            State::Live(epoch) => !epoch.is_over(),
            State::Down(_) => false,
        });
        tokio::select! {
            () = self.stop.cancelled() => None,
            state = living => match &*state.ok()? {
                State::Live(epoch) => Some(Arc::clone(epoch)),
                State::Down(_) => None,
            },
        }
    }
}

impl Epoch {
    /// Opens a channel; where none can be opened, the connection is replaced.
    ///
    /// The client never frees the number of a channel that the broker closed: whoever gets it again is
    /// told the old error, and the number is then passed over. So the numbers of a connection run out.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        loop {
            let opened = match self.within(self.connection.create_channel()).await {
                Ok(opened) => opened,
                Err(error) => {
                    // A connection that is blocked is not even written to.
                    if !*self.blocked.borrow() {
                        self.give_up("a channel was not opened in time".to_owned());
                    }
                    return Err(error);
                }
            };
            let error = match opened {
                Ok(channel) => return Ok(channel),
                Err(error) => error,
            };
            let taken = matches!(error.kind(), ErrorKind::ProtocolError(_));
            if taken && self.connection.status().connected() {
                self.is_worn.store(true, Ordering::Relaxed);
                continue;
            }
            let reason = match error.kind() {
                ErrorKind::ChannelsLimitReached => format!(
                    "all {} channel numbers of the connection are used up (channel_max)",
                    self.connection.configuration().channel_max()
                ),
                _ => format!("a channel cannot be opened: {}", words(&error)),
            };
            self.give_up(reason.clone());
            return Err(Error::Lost(reason));
        }
    }

    /// Waits for an answer of the broker, within [`ANSWER_LIMIT`] and this epoch.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = timeout(ANSWER_LIMIT, answer) => {
                answer.map_err(|_| Error::Away("no answer within 10 s".to_owned()))
            }
            () = self.over.cancelled() => Err(Error::Lost("the connection is gone".to_owned())),
        }
    }

    /// Whether the broker takes no publishes on this connection.
    pub(super) fn blocked(&self) -> watch::Receiver<bool> {
        self.blocked.subscribe()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Resolves when the epoch ends.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Ends the epoch for this reason.
    pub(super) fn give_up(&self, reason: String) {
        // The first reason is the one that is told.
        let _ = self.reason.set(reason);
        self.end();
    }

    /// Ends the epoch: the connection is of no more use.
    pub(super) fn end(&self) {
        self.over.cancel();
    }

    /// Ends the epoch if the connection is gone; to be called when a channel failed.
    pub(super) fn check(&self) {
        if !self.connection.status().connected() {
            self.end();
        }
    }
}

/// The end of an epoch.
struct End {
    reason: String,
    is_worn: bool,
}

struct Supervisor {
    address: Address,
    name: String,
    side: Side,
    board: Arc<Board>,
    channels: u16,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        let mut attempt = 0_u32;
        loop {
            let dialled = tokio::select! {
                dialled = dial(&self.address, &self.name, self.channels) => dialled,
                () = self.stop.cancelled() => return,
            };
            let wait = match dialled {
                Ok((connection, socket)) => {
                    let since = Instant::now();
                    let Some(End { reason, is_worn }) = self.live(connection, socket).await else {
                        return;
                    };
                    warn!(connection = self.name, reason, "lost the broker");
                    self.down(reason);
                    // The broker is well where only the connection was worn out.
                    attempt = if is_worn || since.elapsed() > PROVED {
                        0
                    } else {
                        attempt
                    };
                    backoff(attempt)
                }
                Err(Refusal { reason, cause }) => {
                    warn!(
                        connection = self.name,
                        reason, "cannot connect to the broker"
                    );
                    self.down(reason);
                    match cause {
                        Cause::Away => backoff(attempt),
                        Cause::Denied | Cause::TooFewChannels => REFUSED_WAIT,
                    }
                }
            };
            attempt = attempt.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    fn down(&self, reason: String) {
        self.state.send_replace(State::Down(reason.clone()));
        self.board.set(self.side, View::Down(reason));
    }

    /// Lives through one epoch; its end, or `None` if it was closed by us.
    async fn live(&self, connection: Connection, socket: Socket) -> Option<End> {
        let blocked = watch::Sender::new(connection.status().blocked());
        let over = CancellationToken::new();
        let epoch = Arc::new(Epoch {
            connection,
            socket,
            over,
            reason: OnceLock::new(),
            is_worn: AtomicBool::new(false),
            blocked,
        });
        info!(connection = self.name, "connected to the broker");
        // Before the status says so: who waits for that wants to use it.
        self.state.send_replace(State::Live(Arc::clone(&epoch)));
        self.board.set(self.side, View::Up);
        let reason = self.watch(&epoch).await;
        epoch.end();
        if reason.is_none() {
            // It fails where the connection is gone, or never answers: then the socket is shut.
            let goodbye = epoch.connection.close(200, "bye".into());
            let _ = timeout(CLOSE_LIMIT, goodbye).await;
        }
        epoch.socket.shut();
        let is_worn = epoch.is_worn.load(Ordering::Relaxed);
        reason.map(|reason| End { reason, is_worn })
    }

    async fn watch(&self, epoch: &Epoch) -> Option<String> {
        let mut events = pin!(epoch.connection.events_listener());
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = epoch.over() => {
                    let reason = epoch.reason.get().cloned();
                    return Some(reason.unwrap_or_else(|| {
                        last_words(events.as_mut(), "the connection failed")
                    }));
                }
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        warn!(connection = self.name, reason, "the broker blocks publishers");
                        epoch.blocked.send_replace(true);
                        self.board.set(self.side, View::Blocked);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        info!(connection = self.name, "the broker takes publishes again");
                        epoch.blocked.send_replace(false);
                        self.board.set(self.side, View::Up);
                    }
                    Some(Event::Error(error)) if !epoch.connection.status().connected() => {
                        return Some(words(&error));
                    }
                    Some(_) => {}
                    None => return Some("the connection ended".to_owned()),
                },
                _ = look.tick() => {
                    if !epoch.connection.status().connected() {
                        return Some(last_words(events.as_mut(), "the connection ended"));
                    }
                }
            }
        }
    }
}

/// Why a connection that is gone ended, where the client has said so by now: others may notice it first.
fn last_words(mut events: Pin<&mut impl Stream<Item = Event>>, unsaid: &str) -> String {
    while let Some(Some(event)) = events.next().now_or_never() {
        if let Event::Error(error) = event {
            return words(&error);
        }
    }
    unsaid.to_owned()
}

/// Full jitter: anything up to a limit that doubles with every attempt.
fn backoff(attempt: u32) -> Duration {
    let limit = SHORTEST_WAIT
        .saturating_mul(1 << attempt.min(10))
        .min(LONGEST_WAIT);
    limit.mul_f64(rand::random_range(0.1..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_ten_seconds_and_never_beyond() {
        assert!(backoff(0) <= SHORTEST_WAIT);
        for attempt in 0..40 {
            let wait = backoff(attempt);
            assert!(
                wait >= SHORTEST_WAIT / 10 && wait <= LONGEST_WAIT,
                "{attempt}: {wait:?}"
            );
        }
        assert!((0..100).any(|_| backoff(30) > LONGEST_WAIT / 2));
    }
}
