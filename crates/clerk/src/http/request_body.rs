//! A request's body, which stays with its connection when the endpoint does not read it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::header::EXPECT;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The most bytes that are read on of a body that no endpoint wanted, and for how long: beyond that it
/// is cheaper to close the connection.
const MOST_UNWANTED: usize = 64 * 1024;
const UNWANTED: Duration = Duration::from_secs(1);

/// A body; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RequestBody(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    body: Incoming,
    /// True once nothing of it is left.
    ended: bool,
    /// True while the client waits to be told to send it, which reading does.
    awaits_reading: bool,
}

impl RequestBody {
    /// The body of a request, also as the request brings it to the endpoint.
    pub(crate) fn of(request: Request<Incoming>) -> (Request<Self>, Self) {
        let (head, body) = request.into_parts();
        let body = Self(Arc::new(Mutex::new(State {
            ended: body.is_end_stream(),
            awaits_reading: expects(&head.headers),
            body,
        })));
        (Request::from_parts(head, body.clone()), body)
    }

    /// Tells whether all of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Reads what is left of it, unless that is much, or late; whether nothing is left now.
    pub(crate) async fn finish(&self) -> bool {
        let mut body = self.clone();
        let reading = async {
            let mut left = MOST_UNWANTED;
            while let Some(Ok(frame)) = body.frame().await {
                let size = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(size) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        let is_much = self.size_hint().lower() > MOST_UNWANTED as u64;
        if !self.has_ended() && !is_much && !self.state().awaits_reading {
            // Whether it came in time shows in whether it ended.
            let _ = tokio::time::timeout(UNWANTED, reading).await;
        }
        self.has_ended()
    }

    /// Locks the state, which is whole at every point: a panic of another holder does not matter.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expects(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut state = self.state();
        state.awaits_reading = false;
        let frame = ready!(Pin::new(&mut state.body).poll_frame(cx));
        state.ended |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}
