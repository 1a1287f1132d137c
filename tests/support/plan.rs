//! What a test wants started.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::journal::Journal;
use crate::services::Services;
use crate::system::System;

/// One process or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `clerkwork dev`.
    Embedded,
    /// Clerks and workers on RabbitMQ and PostgreSQL.
    Fleet,
}

/// A system to be.
#[derive(Debug)]
pub struct Plan {
    pub(crate) kind: Kind,
    pub(crate) clerks: usize,
    pub(crate) clerk_settings: Vec<String>,
    pub(crate) worker_settings: Vec<String>,
    pub(crate) variables: Vec<(String, PathBuf)>,
    pub(crate) faults: Option<String>,
    pub(crate) workers: Vec<WorkerPlan>,
    pub(crate) queues: Vec<String>,
    pub(crate) tells_queues: bool,
    pub(crate) services: Services,
    pub(crate) folder: TempDir,
}

/// A worker that runs a command.
#[derive(Clone, Debug)]
pub(crate) struct WorkerPlan {
    pub(crate) queue: String,
    pub(crate) concurrency: usize,
    pub(crate) command: Vec<String>,
}

impl Kind {
    /// A plan without workers; a fleet has two clerks.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    #[must_use]
    pub fn plan(self) -> Plan {
        let folder = tempfile::Builder::new()
            .prefix("cwt")
            .rand_bytes(10)
            .tempdir();
        Plan {
            kind: self,
            clerks: 2,
            clerk_settings: Vec::new(),
            worker_settings: Vec::new(),
            variables: Vec::new(),
            faults: None,
            workers: Vec::new(),
            queues: Vec::new(),
            tells_queues: true,
            services: Services::shared(),
            folder: folder.expect("there is room for temporary files"),
        }
    }
}

impl Plan {
    /// A worker whose command is run by a shell.
    #[must_use]
    pub fn shell(self, queue: &str, concurrency: usize, script: &str) -> Self {
        self.command(queue, concurrency, &["sh", "-c", script])
    }

    /// A worker that runs a command.
    #[must_use]
    pub fn command(mut self, queue: &str, concurrency: usize, command: &[&str]) -> Self {
        self.workers.push(WorkerPlan {
            queue: queue.to_owned(),
            concurrency,
            command: command.iter().map(|&word| word.to_owned()).collect(),
        });
        self.queue(queue)
    }

    /// A queue that is there from the start.
    #[must_use]
    pub fn queue(mut self, queue: &str) -> Self {
        if !self.queues.iter().any(|known| known == queue) {
            self.queues.push(queue.to_owned());
        }
        self
    }

    /// Nobody tells the clerks which queues there are.
    #[must_use]
    pub fn undeclared(mut self) -> Self {
        self.tells_queues = false;
        self
    }

    /// A setting of the clerks.
    #[must_use]
    pub fn clerk_setting(mut self, name: &str, value: &str) -> Self {
        self.clerk_settings
            .extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// A setting of the workers.
    #[must_use]
    pub fn worker_setting(mut self, name: &str, value: &str) -> Self {
        self.worker_settings
            .extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Of the calls of all its programs to broker and store, a share goes wrong, as `CLERKWORK_FAULTS`
    /// takes it.
    #[must_use]
    pub fn faults(mut self, plan: &str) -> Self {
        self.faults = Some(plan.to_owned());
        self
    }

    /// A variable in the environment of all programs, which names a file.
    #[must_use]
    pub fn variable(mut self, name: &str, file: PathBuf) -> Self {
        self.variables.push((name.to_owned(), file));
        self
    }

    /// The time after which a silent worker of a held job is lost, and how often clerks and workers show that they live.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        let heartbeat = format!("{}ms", (lease / 6).as_millis().max(250));
        let plan = self
            .clerk_setting("lease", &format!("{}ms", lease.as_millis()))
            .worker_setting("heartbeat", &heartbeat);
        match plan.kind {
            // In one process the setting is one.
            Kind::Embedded => plan,
            Kind::Fleet => plan.clerk_setting("heartbeat", &heartbeat),
        }
    }

    /// How many clerks a fleet has.
    #[must_use]
    pub fn clerks(mut self, clerks: usize) -> Self {
        self.clerks = clerks;
        self
    }

    /// Services of one's own, which may be killed.
    #[must_use]
    pub fn on(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// A journal for the commands of the workers.
    #[must_use]
    pub fn journal(&self, name: &str) -> Journal {
        Journal::new(self.folder.path(), name)
    }

    /// A file that the commands of the workers can look for.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, and returns when it is ready.
    pub async fn start(self) -> System {
        System::start(self).await
    }
}

impl WorkerPlan {
    /// As `dev --worker` takes it.
    pub(crate) fn as_one_word(&self) -> String {
        let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
        let command: Vec<_> = self.command.iter().map(quoted).collect();
        format!("{}*{}={}", self.queue, self.concurrency, command.join(" "))
    }
}
