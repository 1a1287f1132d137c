//! A store with jobs that have ended, and clerks' webhooks over it.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clerkwork_core::{
    Clock as _, Dispatch, JobId, ManualClock, State, Trace, UnixMs, Webhook, WebhookStatus,
};
use clerkwork_store::{Recorder, Store, Success, Writer, sqlite};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fixture;
use crate::webhooks::addresses::Names;
use crate::webhooks::{Guard, Sender, Waker, WebhooksTask};

/// No test waits longer than this for anything.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Names that a test gives out: of each the addresses, look-up by look-up; the last one stays.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Book {
    pub(super) fn write(&self, name: &str, addresses: &[&[IpAddr]]) {
        let addresses = addresses.iter().map(|some| some.to_vec()).collect();
        self.0.lock().unwrap().insert(name.to_owned(), addresses);
    }
}

#[async_trait]
impl Names for Book {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        })
    }
}

/// A store and what looks after its webhooks.
pub(super) struct Office {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) book: Arc<Book>,
    pub(super) waker: Waker,
    writer: Box<dyn Writer>,
    recorder: Box<dyn Recorder>,
    allowed: Vec<String>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Office {
    /// Webhooks may go to 127.0.0.1.
    pub(super) async fn open() -> Self {
        Self::allowing(&["127.0.0.1/32"]).await
    }

    pub(super) async fn allowing(allowed: &[&str]) -> Self {
        let store = sqlite::memory().await.unwrap();
        let now = store.now().await.unwrap();
        let mut office = Self {
            writer: store.writer("here").await.unwrap(),
            recorder: store.recorder().await.unwrap(),
            clock: Arc::new(ManualClock::at(now)),
            book: Arc::default(),
            waker: Waker::default(),
            allowed: allowed.iter().map(|&net| net.to_owned()).collect(),
            stop: CancellationToken::new(),
            task: None,
            store,
        };
        office.start();
        office
    }

    /// Starts one more clerk's webhooks over the same store.
    pub(super) fn start(&mut self) {
        let nets = self.allowed.iter().map(|net| net.parse().unwrap());
        let guard = Guard::new(nets.collect());
        self.waker = Waker::default();
        self.stop = CancellationToken::new();
        let book: Arc<dyn Names> = self.book.clone();
        let task = WebhooksTask {
            store: self.store.clone(),
            clock: self.clock.clone(),
            sender: Arc::new(Sender::with_names(guard, &book, self.clock.clone())),
            retention: 7 * DAY,
            waker: self.waker.clone(),
            stop: self.stop.clone(),
        };
        self.task = Some(tokio::spawn(task.run()));
    }

    /// Ends the clerk's webhooks as a crash would.
    pub(super) async fn crash(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Lets them begin nothing more.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends them in order.
    pub(super) async fn drain(&mut self) {
        self.stop();
        let ended = tokio::time::timeout(LIMIT, self.task.take().unwrap()).await;
        ended.unwrap().unwrap();
    }

    pub(super) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// A job that has succeeded, with its webhook.
    pub(super) async fn ended(&mut self, url: &str) -> JobId {
        self.ended_with(url, Bytes::from_static(b"{\"n\":1.0}"))
            .await
    }

    /// The same with this output.
    pub(super) async fn ended_with(&mut self, url: &str, output: Bytes) -> JobId {
        let mut new = fixture::job("q", self.now());
        new.job.spec.webhook = Some(url.to_owned());
        new.job.spec.trace = Some(Trace {
            parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
            state: None,
        });
        new.job.standing.state = State::Dispatched;
        new.job.standing.attempt = 1;
        new.job.standing.dispatch = Some(Dispatch {
            clerk: self.writer.clerk(),
            number: 1,
        });
        let job = new.job.id;
        self.writer.accept(&[new]).await.unwrap();
        let success = Success {
            job,
            attempt: 1,
            media_type: "application/json".to_owned(),
            output,
            worker: None,
            started_at: None,
        };
        let now = self.now();
        self.recorder.succeed(&[success], now).await.unwrap();
        self.waker.wake();
        job
    }

    pub(super) async fn delete(&mut self, job: JobId) {
        let now = self.now();
        let deleted = self.recorder.delete("default", &[job], now).await;
        assert_eq!(deleted.unwrap(), [true]);
    }

    pub(super) async fn webhook(&self, job: JobId) -> Webhook {
        let kept = self.store.get(None, &[job], 0).await.unwrap().remove(0);
        kept.webhook.unwrap()
    }

    /// The webhook once it was tried so often.
    pub(super) async fn tried(&self, job: JobId, attempts: u32) -> Webhook {
        let seen = async || {
            let webhook = self.webhook(job).await;
            (webhook.attempts == attempts).then_some(webhook)
        };
        until(seen).await
    }

    pub(super) async fn delivered(&self, job: JobId) -> Webhook {
        let seen = async || {
            let webhook = self.webhook(job).await;
            (webhook.status == WebhookStatus::Delivered).then_some(webhook)
        };
        until(seen).await
    }

    /// Lets time pass until a webhook is due.
    pub(super) fn pass_to(&self, then: UnixMs) {
        self.clock.advance(then.since(self.now()));
        self.waker.wake();
    }
}

/// Looks until there is something to see.
pub(super) async fn until<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.unwrap()
}
