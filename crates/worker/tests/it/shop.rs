//! A fleet of one worker that runs a command.

use std::time::Duration;

use clerkwork_broker::memory;
use clerkwork_core::event;
use clerkwork_wire::v1::EventKind;
use clerkwork_worker::{Command, Options, Worker};

use crate::support::{Clerk, Submission, Working, job, options};

/// A fleet of one worker that runs this script with `sh`, its input as given.
pub(crate) struct Shop {
    pub(crate) clerk: Clerk,
    pub(crate) working: Working,
}

impl Shop {
    pub(crate) async fn open(script: &str) -> Self {
        Self::with(sh(script), options("x")).await
    }

    pub(crate) async fn with(command: Command, options: Options) -> Self {
        let broker = memory::broker();
        let mut clerk = Clerk::new(broker.clone(), "x", &["q"]).await;
        let worker = Worker::new(())
            .command("q", &command)
            .concurrency(4)
            .options(options);
        let working = Working::start(worker, &broker);
        clerk.greeted().await;
        Self { clerk, working }
    }

    pub(crate) async fn run(&mut self, input: impl Into<bytes::Bytes>) -> event::Reply {
        let submission = job(&self.clerk.names, input);
        self.publish(&submission).await;
        self.clerk.outcome(&submission).await
    }

    pub(crate) async fn publish(&self, submission: &Submission) {
        self.clerk
            .publish("q", submission.wire.clone().encode())
            .await;
    }

    /// Runs with a time-out.
    pub(crate) async fn run_within(&mut self, timeout: Duration) -> event::Reply {
        let mut submission = job(&self.clerk.names, "");
        submission.wire.timeout_ms = timeout.as_millis().try_into().unwrap();
        self.publish(&submission).await;
        self.clerk.outcome(&submission).await
    }

    /// The events so far, each as its kind and JSON.
    pub(crate) fn events(&self) -> Vec<(EventKind, serde_json::Value)> {
        let events = self.clerk.heard.iter().flat_map(|report| &report.events);
        events
            .map(|it| (it.event, serde_json::from_str(it.data.get()).unwrap()))
            .collect()
    }

    /// Waits for this many events.
    pub(crate) async fn hear(&mut self, count: usize) -> Vec<(EventKind, serde_json::Value)> {
        while self.events().len() < count {
            self.clerk.report(|report| !report.events.is_empty()).await;
        }
        self.events()
    }
}

pub(crate) fn sh(script: &str) -> Command {
    Command {
        kill_grace: Duration::from_millis(200),
        ..Command::new(["sh", "-c", script])
    }
}
