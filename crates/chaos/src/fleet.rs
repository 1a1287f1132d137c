//! The fleet of a run: servers, clerks and workers of its own, as real processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clerkwork_faults::Defect;
use clerkwork_tests::own::{Own, free_port};
use clerkwork_tests::{Process, clerkwork};
use tempfile::TempDir;
use tokio::process::Command;

use crate::Failure;
use crate::load::Node;
use crate::worker::QUEUE;

/// Begins the names of the queues.
pub(crate) const PREFIX: &str = "chaos";

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) clerks: usize,
    pub(crate) workers: usize,
}

/// Servers, clerks and workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) clerks: Vec<Member>,
    pub(crate) workers: Vec<Member>,
    pub(crate) own: Own,
    journals: usize,
    // Last, so that the processes are gone before their files.
    folder: TempDir,
}

/// A clerk or a worker: what it is started with, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// A clerk's address, which it keeps.
    listen: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) process: Option<Process>,
}

impl Fleet {
    /// Starts all of it and returns when it is ready.
    pub(crate) async fn start(size: Size, defect: Option<Defect>) -> Result<Self, Failure> {
        let own = Own::start().await;
        let own = own.ok_or("the programs of RabbitMQ and PostgreSQL are not on this machine")?;
        let services = own.services();
        services.sql("CREATE DATABASE chaos").await;
        let mut variables = BTreeMap::from([
            ("CLERKWORK_STORE".to_owned(), services.store("chaos")),
            ("CLERKWORK_BROKER".to_owned(), services.rabbit),
            ("CLERKWORK_PREFIX".to_owned(), PREFIX.to_owned()),
        ]);
        if let Some(defect) = defect {
            variables.insert("CLERKWORK_DEFECT".to_owned(), defect.name().to_owned());
        }
        let member = |kind: &str, number: usize| Member {
            name: format!("{kind}{}", number + 1),
            listen: format!("127.0.0.1:{}", free_port()),
            variables: variables.clone(),
            process: None,
        };
        let mut fleet = Self {
            clerks: (0..size.clerks)
                .map(|number| member("clerk", number))
                .collect(),
            workers: (0..size.workers)
                .map(|number| member("worker", number))
                .collect(),
            own,
            journals: 0,
            folder: tempfile::Builder::new().prefix("cwchaos").tempdir()?,
        };
        fleet.migrate(&variables).await?;
        for index in 0..size.clerks {
            fleet.start_clerk(index).await;
        }
        for index in 0..size.workers {
            fleet.start_worker(index).await?;
        }
        Ok(fleet)
    }

    /// Where the clerks answer.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let clerks = self.clerks.iter().map(|clerk| Node {
            name: clerk.name.clone(),
            base: format!("http://{}", clerk.listen),
        });
        clerks.collect()
    }

    /// Starts a clerk where it was before, and returns when it listens.
    pub(crate) async fn start_clerk(&mut self, index: usize) {
        let clerk = &mut self.clerks[index];
        let mut command = Command::new(clerkwork());
        command
            .args(["clerk", "--listen", &clerk.listen, "--queues", QUEUE])
            .args(["--lease", "6s", "--heartbeat", "1s", "--grace", "5s"])
            .args(["--webhook-allow", "127.0.0.0/8", "--log", "warn"])
            .envs(&clerk.variables)
            .current_dir(self.folder.path());
        let mut process = Process::start(&clerk.name, command, self.folder.path());
        process.line_with("http://").await;
        clerk.process = Some(process);
    }

    /// Starts a worker, and returns when it takes jobs.
    pub(crate) async fn start_worker(&mut self, index: usize) -> Result<(), Failure> {
        self.journals += 1;
        let worker = &mut self.workers[index];
        let journal = format!("journal-{}", self.journals);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("worker")
            .envs(&worker.variables)
            .env("CHAOS_WORKER", &worker.name)
            .env("CHAOS_JOURNAL", self.folder.path().join(journal))
            .env("CLERKWORK_HEARTBEAT", "1s")
            .env("CLERKWORK_HOLD_AFTER", "2s")
            .env("CLERKWORK_GRACE", "5s")
            .current_dir(self.folder.path());
        let mut process = Process::start(&worker.name, command, self.folder.path());
        process.line_with("ready").await;
        worker.process = Some(process);
        Ok(())
    }

    /// Whatever has ended and should not have.
    pub(crate) fn fallen(&mut self) -> Vec<String> {
        let members = self.clerks.iter_mut().chain(&mut self.workers);
        let fallen = members.filter_map(|member| {
            let process = member.process.as_mut()?;
            (!process.is_running()).then(|| {
                let complaints = process.complaints();
                format!("{} ended by itself: {complaints}", member.name)
            })
        });
        fallen.collect()
    }

    /// What the workers wrote down.
    pub(crate) fn journals(&self) -> Vec<PathBuf> {
        let journals = 1..=self.journals;
        let journals = journals.map(|number| self.folder.path().join(format!("journal-{number}")));
        journals.filter(|journal| journal.exists()).collect()
    }

    async fn migrate(&self, variables: &BTreeMap<String, String>) -> Result<(), Failure> {
        let mut command = Command::new(clerkwork());
        command
            .arg("migrate")
            .envs(variables)
            .current_dir(self.folder.path());
        let mut process = Process::start("migrate", command, self.folder.path());
        let status = process.ended_within(Duration::from_secs(60)).await;
        if !status.success() {
            return Err(format!("migrate: {}", process.complaints()).into());
        }
        Ok(())
    }
}
