//! A receiver of webhooks that keeps what it got.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use clerkwork_core::JobId;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The ids of the events that came, by the job that they tell of.
type Got = Arc<Mutex<BTreeMap<JobId, BTreeSet<String>>>>;

/// A receiver that takes everything, gone when dropped.
#[derive(Debug)]
pub struct Inbox {
    url: String,
    got: Got,
    serving: JoinHandle<()>,
}

impl Inbox {
    /// Opens a receiver on a free port.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let got = Got::default();
        let kept = Arc::clone(&got);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(take(client, Arc::clone(&kept)));
            }
        });
        Self {
            url: format!("http://{address}/hook"),
            got,
            serving,
        }
    }

    /// Where it receives.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The ids of the events that came for a job; a repeated event counts once.
    #[must_use]
    pub fn events_of(&self, job: JobId) -> BTreeSet<String> {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        got.get(&job).cloned().unwrap_or_default()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Takes one event; a sender that is killed half-way has told nothing.
async fn take(mut sender: TcpStream, got: Got) {
    let mut bytes = Vec::new();
    let (head, body_at) = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 4);
        }
        if sender.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let size: usize = header("content-length").map_or(0, |size| size.parse().unwrap_or(0));
    while bytes.len() < body_at + size {
        if sender.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let told: Value = serde_json::from_slice(&bytes[body_at..]).unwrap_or_default();
    let job = told["data"]["id"].as_str().and_then(|id| id.parse().ok());
    if let (Some(job), Some(event)) = (job, header("webhook-id")) {
        let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
        got.entry(job).or_default().insert(event.to_owned());
    }
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    let _ = sender.write_all(answer).await;
}
