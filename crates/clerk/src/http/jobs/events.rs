//! `GET /v1/jobs/{id}/events`: a job followed live, as server-sent events.

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
use crate::http::path::JobRef;
use crate::http::problem::Problem;
use crate::http::{query, rates, respond};
use crate::limits::OpenStream;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How long a stream lives; the client goes on with another.
const LIFE: Duration = Duration::from_secs(3600);

/// Follows a job.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    reader: Reader,
    JobRef(id): JobRef,
    uri: Uri,
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
    let stream = desk.limits.stream(reader.viewer());
    let stream = stream.map_err(rates::too_many_streams)?;
    let Some(follower) = Follower::begin(&desk, &reader, id, after).await? else {
        return Ok(respond::empty(StatusCode::NO_CONTENT));
    };
    let told = Telling::new(desk, reader, follower, stream).told();
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
    /// Counts for the reader's key until it is dropped.
    _stream: OpenStream,
    /// Says that the stream lives, so that no proxy takes it for dead.
    beat: Interval,
    end: Instant,
    began: bool,
    ended: bool,
}

impl Telling {
    fn new(desk: Arc<Desk>, reader: Reader, follower: Follower, stream: OpenStream) -> Self {
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
            began: false,
            ended: false,
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
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.began, true) {
            return Some(Bytes::from_static(b"retry: 2000\n\n"));
        }
        tokio::select! {
            biased;
            () = self.desk.draining.cancelled() => None,
            () = tokio::time::sleep_until(self.end) => None,
            _ = self.beat.tick() => {
                // A key that was revoked meanwhile ends what it opened.
                let may_stay = self.reader.may_stay(&self.desk).await;
                may_stay.then(|| Bytes::from_static(b":\n\n"))
            }
            frame = self.follower.next() => {
                let frame = frame.ok()?;
                self.ended = frame.last;
                Some(written(&frame))
            }
        }
    }
}

fn written(frame: &Frame) -> Bytes {
    let head = format!("id: {}\nevent: {}\ndata: ", frame.id, frame.event);
    let mut bytes = Vec::with_capacity(head.len() + frame.data.len() + 2);
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(&frame.data);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}
