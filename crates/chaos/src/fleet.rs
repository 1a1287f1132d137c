//! The fleet of a run: servers, clerks and workers of its own, as real processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clerkwork_checker::What;
use clerkwork_faults::Defect;
use clerkwork_tests::own::{Own, free_port};
use clerkwork_tests::{Process, Services, clerkwork};
use tempfile::TempDir;
use tokio::process::Command;

use crate::journal::{JOURNAL, WORKER};
use crate::load::Node;
use crate::rig::{Break, Clocks, Disk, Link, Links};
use crate::stranger::Stranger;
use crate::worker::QUEUE;
use crate::{Failure, command, orphans};

/// The longest that it may take until all that a killed worker's commands have started is gone.
const GONE: Duration = Duration::from_secs(20);

/// Begins the names of the queues.
pub(crate) const PREFIX: &str = "chaos";

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) clerks: usize,
    pub(crate) workers: usize,
    /// Workers beside them that run a command for each job.
    pub(crate) commands: usize,
}

impl Size {
    /// The number of workers of both kinds; those of commands come last.
    pub(crate) const fn all_workers(self) -> usize {
        self.workers + self.commands
    }
}

/// What a fleet is started with beside its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Every process has ways of its own to the servers, which can be cut; on those between clerks and RabbitMQ
    /// everything comes so many milliseconds late.
    pub(crate) links: Option<u64>,
    /// The servers' disk can be slowed.
    pub(crate) disk: bool,
    /// The clerks' wall clocks can be set.
    pub(crate) clocks: bool,
    /// A part of the workers runs a command for each job.
    pub(crate) commands: bool,
    /// The broker's settings beyond the usual ones.
    pub(crate) broker: &'static str,
}

/// What a fleet was started with.
#[derive(Debug, Default)]
pub(crate) struct Rig {
    pub(crate) links: Option<Links>,
    pub(crate) disk: Option<Disk>,
    pub(crate) clocks: Option<Clocks>,
}

/// Servers, clerks and workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) clerks: Vec<Member>,
    pub(crate) workers: Vec<Member>,
    /// The queues of jobs.
    pub(crate) queues: Vec<&'static str>,
    /// Who is at the broker beside them.
    pub(crate) stranger: Option<Stranger>,
    pub(crate) own: Own,
    pub(crate) rig: Rig,
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
    variables: BTreeMap<String, String>,
    /// Set of a worker that runs a command for each job.
    runs_commands: bool,
    pub(crate) process: Option<Process>,
}

impl Fleet {
    /// Starts all of it and returns when it is ready.
    pub(crate) async fn start(
        size: Size,
        needs: Needs,
        defect: Option<Defect>,
    ) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("cwchaos").tempdir()?;
        let mut rig = Rig::default();
        if needs.disk {
            rig.disk = Some(Disk::build()?);
        }
        if needs.clocks {
            rig.clocks = Some(Clocks::find(folder.path())?);
        }
        let slowed = rig.disk.as_ref().map(Disk::variables).unwrap_or_default();
        let own = Own::start_set(&slowed, needs.broker).await;
        let own = own.ok_or("the programs of RabbitMQ and PostgreSQL are not on this machine")?;
        let services = own.services();
        services.sql("CREATE DATABASE chaos").await;
        migrate(&variables(&services, None), folder.path()).await?;
        if let Some(late_ms) = needs.links {
            let (store, broker) = (&services.postgres, &services.rabbit);
            let links = Links::open(size.clerks, size.all_workers(), store, broker).await;
            if late_ms > 0 {
                for clerk in 0..size.clerks {
                    links.cut(Link::ClerkBroker(clerk), Break::Slow(late_ms));
                }
            }
            rig.links = Some(links);
        }
        let mut fleet = Self {
            queues: match size.commands {
                0 => vec![QUEUE],
                _ => vec![QUEUE, command::QUEUE],
            },
            clerks: Vec::new(),
            workers: Vec::new(),
            stranger: None,
            own,
            rig,
            journals: 0,
            folder,
        };
        for index in 0..size.clerks {
            let links = fleet.rig.links.as_ref();
            let services = links.map_or_else(|| services.clone(), |links| links.of_clerk(index));
            let mut clerk = Member::new("clerk", index, variables(&services, defect));
            if let Some(clocks) = &fleet.rig.clocks {
                clerk.variables.extend(clocks.variables(&clerk.name)?);
            }
            fleet.clerks.push(clerk);
            fleet.start_clerk(index).await;
        }
        for index in 0..size.all_workers() {
            let links = fleet.rig.links.as_ref();
            let services = links.map_or_else(|| services.clone(), |links| links.of_worker(index));
            let mut worker = Member::new("worker", index, variables(&services, defect));
            worker.runs_commands = index >= size.workers;
            fleet.workers.push(worker);
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
            .args(["clerk", "--listen", &clerk.listen])
            .args(["--queues", &self.queues.join(",")])
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
        let (mut command, ready) = worker_command(worker.runs_commands)?;
        command
            .envs(&worker.variables)
            .env(WORKER, &worker.name)
            .env(JOURNAL, self.folder.path().join(journal))
            .env("CLERKWORK_HEARTBEAT", "1s")
            .env("CLERKWORK_HOLD_AFTER", "2s")
            .env("CLERKWORK_GRACE", "5s")
            .current_dir(self.folder.path());
        let mut process = Process::start(&worker.name, command, self.folder.path());
        process.line_with(ready).await;
        worker.process = Some(process);
        Ok(())
    }

    /// Kills all workers and returns what is left of what their commands have started.
    pub(crate) async fn end_workers(&mut self) -> Vec<What> {
        let workers = self.workers.iter_mut();
        for mut process in workers.filter_map(|worker| worker.process.take()) {
            process.kill().await;
        }
        orphans::find(self.folder.path(), GONE).await
    }

    /// Ends all of it; returns the folder with what the processes have written.
    pub(crate) fn end(self) -> TempDir {
        self.folder
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

    /// How many bytes of memory the largest of the running clerks has.
    pub(crate) fn largest_clerk(&mut self) -> u64 {
        let clerks = self.clerks.iter_mut();
        let sizes = clerks.filter_map(|clerk| {
            let process = clerk.process.as_mut()?;
            process.is_running().then(|| process.resident())
        });
        sizes.max().unwrap_or_default()
    }

    /// What the workers wrote down.
    pub(crate) fn journals(&self) -> Vec<PathBuf> {
        let journals = 1..=self.journals;
        let journals = journals.map(|number| self.folder.path().join(format!("journal-{number}")));
        journals.filter(|journal| journal.exists()).collect()
    }
}

impl Member {
    fn new(kind: &str, index: usize, variables: BTreeMap<String, String>) -> Self {
        Self {
            name: format!("{kind}{}", index + 1),
            listen: format!("127.0.0.1:{}", free_port()),
            variables,
            runs_commands: false,
            process: None,
        }
    }
}

/// The start of a worker, and a word that it writes once it takes jobs.
fn worker_command(runs_commands: bool) -> Result<(Command, &'static str), Failure> {
    let chaos = std::env::current_exe()?;
    if !runs_commands {
        let mut command = Command::new(chaos);
        command.arg("worker");
        return Ok((command, "ready"));
    }
    let mut command = Command::new(clerkwork());
    command
        .args(["worker", "--queue", &format!("{}*4", command::QUEUE)])
        .args(["--env", WORKER, "--env", JOURNAL, "--log", "warn", "--"])
        .arg(chaos)
        .arg("command");
    Ok((command, command::QUEUE))
}

/// Where a process finds its servers, and what is wrong with it.
fn variables(services: &Services, defect: Option<Defect>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("CLERKWORK_STORE".to_owned(), services.store("chaos")),
        ("CLERKWORK_BROKER".to_owned(), services.rabbit.clone()),
        ("CLERKWORK_PREFIX".to_owned(), PREFIX.to_owned()),
    ]);
    if let Some(defect) = defect {
        variables.insert("CLERKWORK_DEFECT".to_owned(), defect.name().to_owned());
    }
    variables
}

async fn migrate(variables: &BTreeMap<String, String>, folder: &Path) -> Result<(), Failure> {
    let mut command = Command::new(clerkwork());
    command.arg("migrate").envs(variables).current_dir(folder);
    let mut process = Process::start("migrate", command, folder);
    let status = process.ended_within(Duration::from_secs(60)).await;
    if !status.success() {
        return Err(format!("migrate: {}", process.complaints()).into());
    }
    Ok(())
}
