//! A reader of server-sent events that takes the bytes as strictly as they are promised.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::support::{LIMIT, Office, request};

/// An event, as it came.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A stream that is read.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) headers: HeaderMap,
    body: Body,
    rest: String,
    /// The number of comments that came.
    pub(crate) comments: u64,
    /// True once an event came.
    began: bool,
}

impl Office {
    /// Opens a job's stream.
    pub(crate) async fn follow(&self, id: &str, after: Option<&str>) -> Stream {
        let mut request = request("GET", &format!("/v1/jobs/{id}/events"), "");
        if let Some(after) = after {
            let after = after.parse().unwrap();
            request.headers_mut().insert("last-event-id", after);
        }
        self.stream(request).await
    }

    /// Opens the stream that this asks for.
    pub(crate) async fn stream(&self, request: Request<Body>) -> Stream {
        let answer = self.router.clone().oneshot(request);
        let response = timeout(LIMIT, answer).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        let (parts, body) = response.into_parts();
        let mut stream = Stream {
            headers: parts.headers,
            body,
            rest: String::new(),
            comments: 0,
            began: false,
        };
        assert!(stream.read().await);
        assert_eq!(
            (&*stream.rest, stream.comments),
            ("", 1),
            "one comes at once"
        );
        stream
    }
}

impl Stream {
    /// The lines before the next empty one, but for comments; `None` at the end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let block = block.to_owned();
                self.rest = rest.to_owned();
                return Some(block);
            }
            if !self.read().await {
                assert_eq!(self.rest, "");
                return None;
            }
        }
    }

    /// Reads on; whether anything came.
    pub(crate) async fn read(&mut self) -> bool {
        let frame = timeout(LIMIT, self.body.frame()).await;
        let Some(frame) = frame.expect("nothing more came") else {
            return false;
        };
        let bytes = frame.unwrap().into_data().unwrap();
        match std::str::from_utf8(&bytes).unwrap() {
            ":\n" => self.comments += 1,
            text => self.rest.push_str(text),
        }
        true
    }

    /// The next event: three lines, in this order, and before the first one when to connect again.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        let block = self.block().await?;
        let mut event = &*block;
        if !std::mem::replace(&mut self.began, true) {
            event = block.strip_prefix("retry: 2000\n").expect(&block);
        }
        let lines: Vec<&str> = event.split(['\n', '\r']).collect();
        let [id, event, data] = lines[..] else {
            panic!("not three lines: {block:?}")
        };
        Some(Seen {
            id: id.strip_prefix("id: ").unwrap().to_owned(),
            event: event.strip_prefix("event: ").unwrap().to_owned(),
            data: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
        })
    }

    /// The next event, which there must be.
    pub(crate) async fn event(&mut self) -> Seen {
        self.next().await.expect("the stream goes on")
    }

    /// Reads on until a state is this one.
    pub(crate) async fn until(&mut self, status: &str) -> Seen {
        loop {
            let seen = self.event().await;
            if seen.event == "state" && seen.data["status"] == status {
                return seen;
            }
        }
    }

    /// All that still comes.
    pub(crate) async fn rest(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Some(seen) = self.next().await {
            all.push(seen);
        }
        all
    }
}

impl Seen {
    /// Name and position, for comparing.
    pub(crate) fn short(&self) -> String {
        format!("{} {}", self.event, self.id)
    }
}
