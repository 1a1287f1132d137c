//! `GET /v1/jobs/{id}/events`: a job followed live, as server-sent events.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::Desk;
use crate::events::Position;
use crate::http::auth::Reader;
use crate::http::follow::{Follower, Frame};
use crate::http::half_close::HalfClose;
use crate::http::path::JobRef;
use crate::http::problem::Problem;
use crate::http::{query, rates, respond};
use crate::limits::OpenStream;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How long a stream lives; the client goes on with another.
const LIFE: Duration = Duration::from_secs(3600);
/// A comment line. No blank line follows, since some clients take that for the end of an empty event.
const COMMENT: Bytes = Bytes::from_static(b":\n");
/// The pause before something is written once more to a client that sends no more.
const SECOND_WRITE: Duration = Duration::from_secs(1);

/// Follows a job.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    reader: Reader,
    JobRef(id): JobRef,
    uri: Uri,
    half_close: HalfClose,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [after, _token] = query::params(uri.query(), ["after", "token"])?;
    let last = headers.get(LAST_EVENT_ID);
    // Whoever reconnects by itself repeats the first URL, so what it has seen since counts more.
    let after = last
        .and_then(|last| Position::read(last.to_str().ok()?))
        .or_else(|| Position::read(&after?));
    // The headers lie in the connection's buffer: a stream must not keep that alive.
    drop((headers, uri));
    let stream = desk.limits.stream(reader.viewer(id));
    let stream = stream.map_err(rates::too_many_streams)?;
    let Some(follower) = Follower::begin(&desk, &reader, id, after).await? else {
        return Ok(respond::empty(StatusCode::NO_CONTENT));
    };
    let told = Telling::new(desk, reader, follower, stream, half_close).told();
    let mut response = Response::new(Body::from_stream(told));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// A stream's state.
struct Telling {
    desk: Arc<Desk>,
    reader: Reader,
    follower: Follower,
    /// Counts for the reader's key or token until it is dropped.
    _stream: OpenStream,
    /// Says that the stream lives, so that no proxy takes it for dead.
    beat: Interval,
    end: Instant,
    /// There until the client sends no more.
    half_close: Option<HalfClose>,
    progress: Progress,
}

/// The part of a stream that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing was sent.
    Fresh,
    /// No event was sent.
    Begun,
    /// Events were sent.
    Live,
    /// The last event was sent.
    Ended,
}

impl Telling {
    fn new(
        desk: Arc<Desk>,
        reader: Reader,
        follower: Follower,
        stream: OpenStream,
        half_close: HalfClose,
    ) -> Self {
        let now = Instant::now();
        let every = desk.config.beat;
        let mut beat = interval_at(now + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            desk,
            reader,
            follower,
            _stream: stream,
            beat,
            end: now + LIFE,
            half_close: Some(half_close),
            progress: Progress::Fresh,
        }
    }

    /// The bytes of the stream, as its reader takes them.
    fn told(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        unfold(self, |mut telling| async {
            let bytes = telling.next().await?;
            Some((Ok(bytes), telling))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self.progress {
            Progress::Fresh => {
                self.progress = Progress::Begun;
                return Some(COMMENT);
            }
            Progress::Ended => return None,
            Progress::Begun | Progress::Live => {}
        }
        let half_closed = async {
            match &self.half_close {
                Some(half_close) => half_close.seen().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.desk.draining.cancelled() => None,
            () = tokio::time::sleep_until(self.end) => None,
            () = half_closed => {
                // A client that has gone shows in the second write from now.
                self.half_close = None;
                self.beat.reset_after(SECOND_WRITE);
                Some(COMMENT)
            }
            _ = self.beat.tick() => {
                // A key that was revoked meanwhile ends what it opened.
                let may_stay = self.reader.may_stay(&self.desk).await;
                may_stay.then_some(COMMENT)
            }
            frame = self.follower.next() => {
                let frame = frame.ok()?;
                let is_first = self.progress == Progress::Begun;
                self.progress = if frame.last { Progress::Ended } else { Progress::Live };
                Some(written(&frame, is_first))
            }
        }
    }
}

/// An event as its lines; the first of a stream also says when a client may connect again.
fn written(frame: &Frame, is_first: bool) -> Bytes {
    let retry = if is_first { "retry: 2000\n" } else { "" };
    let head = format!("{retry}id: {}\nevent: {}\ndata: ", frame.id, frame.event);
    let mut bytes = Vec::with_capacity(head.len() + frame.data.len() + 2);
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(&frame.data);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}
