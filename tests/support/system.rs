//! A whole system, running.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;
use crate::bus::Bus;
use crate::plan::{Kind, Plan, WorkerPlan};
use crate::process::Process;
use crate::programs::clerkwork;
use crate::services::Ground;

/// What a plan came to: in the embedded mode one process, which counts as a clerk; in a fleet clerks and workers.
#[derive(Debug)]
pub struct System {
    /// The clerks, in the order in which they were started.
    pub clerks: Vec<Clerk>,
    /// The workers of a fleet, in the order of the plan.
    pub workers: Vec<Process>,
    kind: Kind,
    clerk_settings: Vec<String>,
    worker_settings: Vec<String>,
    variables: Vec<(String, PathBuf)>,
    faults: Option<String>,
    plans: Vec<WorkerPlan>,
    queues: Vec<String>,
    tells_queues: bool,
    kill: Option<String>,
    ground: Option<Ground>,
    // Last, so that the processes are gone before their files.
    folder: TempDir,
}

/// A process that serves HTTP.
#[derive(Debug)]
pub struct Clerk {
    /// The process.
    pub process: Process,
    /// A client of it.
    pub api: Api,
}

impl System {
    pub(crate) async fn start(plan: Plan) -> Self {
        let ground = match plan.kind {
            Kind::Embedded => None,
            Kind::Fleet => {
                let name = plan.folder.path().file_name().unwrap_or_default();
                let name = name.to_string_lossy().to_lowercase();
                Some(plan.services.ground(&name).await)
            }
        };
        let mut system = Self {
            clerks: Vec::new(),
            workers: Vec::new(),
            kind: plan.kind,
            clerk_settings: plan.clerk_settings,
            worker_settings: plan.worker_settings,
            variables: plan.variables,
            faults: plan.faults,
            plans: plan.workers,
            queues: plan.queues,
            tells_queues: plan.tells_queues,
            kill: None,
            ground,
            folder: plan.folder,
        };
        match system.kind {
            Kind::Embedded => system.add_clerk().await,
            Kind::Fleet => {
                system.migrate().await;
                for _ in 0..plan.clerks {
                    system.add_clerk().await;
                }
                for index in 0..system.plans.len() {
                    system.add_worker(index).await;
                }
            }
        }
        system
    }

    /// A client of the first clerk.
    ///
    /// # Panics
    /// When there is no clerk.
    #[must_use]
    pub fn api(&self) -> Api {
        self.clerk(0)
    }

    /// A client of one clerk; in the embedded mode always of the one process.
    ///
    /// # Panics
    /// When there are fewer clerks.
    #[must_use]
    pub fn clerk(&self, index: usize) -> Api {
        match self.kind {
            Kind::Embedded => self.clerks[0].api.clone(),
            Kind::Fleet => self.clerks[index].api.clone(),
        }
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The store's URL, where the store is PostgreSQL.
    ///
    /// # Panics
    /// In the embedded mode.
    #[must_use]
    pub fn store(&self) -> String {
        self.ground().store()
    }

    /// The broker's URL.
    ///
    /// # Panics
    /// In the embedded mode.
    #[must_use]
    pub fn broker(&self) -> &str {
        self.ground().broker()
    }

    /// A stranger's connection to the fleet's broker.
    ///
    /// # Panics
    /// In the embedded mode, or when the broker is away.
    pub async fn bus(&self) -> Bus {
        let ground = self.ground();
        Bus::connect(ground.broker(), &ground.prefix).await
    }

    /// Starts one more clerk (embedded: the one process), and returns when it listens.
    pub async fn add_clerk(&mut self) {
        let clerk = self.start_clerk().await;
        self.clerks.push(clerk);
    }

    /// Starts one more clerk of the fleet with settings of its own.
    pub async fn add_clerk_with(&mut self, settings: &[&str]) {
        let clerk = self.start_clerk_at("127.0.0.1:0", settings).await;
        self.clerks.push(clerk);
    }

    /// Starts a clerk in the place of one that has ended.
    pub async fn restart_clerk(&mut self, index: usize) {
        self.clerks[index] = self.start_clerk().await;
    }

    /// Starts a clerk in the place of one that has ended, at the same address.
    pub async fn return_clerk(&mut self, index: usize) {
        let address = self.clerks[index].api.address().to_owned();
        self.clerks[index] = self.start_clerk_at(&address, &[]).await;
    }

    /// Starts one more worker of the plan's worker `index`, and returns when it takes jobs.
    pub async fn add_worker(&mut self, index: usize) {
        let worker = self.start_worker(index).await;
        self.workers.push(worker);
    }

    /// Starts a worker in the place of one that has ended; `index` counts workers, which take the plans in turn.
    pub async fn restart_worker(&mut self, index: usize) {
        self.workers[index] = self.start_worker(index).await;
    }

    /// From now on, programs that are started kill themselves at a point of a job's path, as
    /// `CLERKWORK_FAIL` takes it, or not.
    pub fn kill_at(&mut self, plan: Option<String>) {
        self.kill = plan;
    }

    /// A command of the one binary, with the fleet's services in its environment.
    #[must_use]
    pub fn program(&self, words: &[&str]) -> Command {
        self.environment(Command::new(clerkwork()), words)
    }

    /// Starts any program as a part of this system: its environment names the services, and its files lie among the others.
    #[must_use]
    pub fn run(&self, name: &str, command: Command) -> Process {
        Process::start(name, self.environment(command, &[]), self.folder.path())
    }

    /// Has a queue that the test declares itself cleared away in the end.
    pub fn clears(&mut self, queue: &str) {
        self.queues.push(queue.to_owned());
    }

    /// The fleet's prefix.
    ///
    /// # Panics
    /// In the embedded mode.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.ground().prefix
    }

    fn ground(&self) -> &Ground {
        let ground = self.ground.as_ref();
        ground.expect("only a fleet has services")
    }

    fn environment(&self, mut command: Command, words: &[&str]) -> Command {
        command
            .args(words)
            .env_remove("DATABASE_URL")
            .env_remove("AMQP_URL")
            .envs(self.variables.iter().map(|(name, file)| (name, file)))
            .current_dir(self.folder.path());
        if let Some(plan) = &self.faults {
            command.env("CLERKWORK_FAULTS", plan);
        }
        if let Some(plan) = &self.kill {
            command.env("CLERKWORK_FAIL", plan);
        }
        if let Some(ground) = &self.ground {
            command
                .env("CLERKWORK_STORE", ground.store())
                .env("CLERKWORK_BROKER", ground.broker())
                .env("CLERKWORK_PREFIX", &ground.prefix)
                .env("AMQP_URL", ground.broker());
        }
        command
    }

    async fn migrate(&self) {
        let command = self.program(&["migrate"]);
        let mut process = Process::start("migrate", command, self.folder.path());
        let status = process.ended_within(Duration::from_secs(60)).await;
        assert!(
            status.success(),
            "migrate: {status}\n{}",
            process.complaints()
        );
    }

    async fn start_clerk(&self) -> Clerk {
        self.start_clerk_at("127.0.0.1:0", &[]).await
    }

    async fn start_clerk_at(&self, listen: &str, settings: &[&str]) -> Clerk {
        let mut command = match self.kind {
            Kind::Embedded => {
                let mut command = self.program(&["dev", "--listen", listen, "--data"]);
                command.arg(self.folder.path().join("data"));
                for plan in &self.plans {
                    command.args(["--worker", &plan.as_one_word()]);
                }
                command.args(&self.worker_settings);
                command
            }
            Kind::Fleet => self.program(&["clerk", "--listen", listen]),
        };
        if self.tells_queues && !self.queues.is_empty() {
            command.args(["--queues", &self.queues.join(",")]);
        }
        command.args(&self.clerk_settings).args(settings);
        let mut process = Process::start("clerk", command, self.folder.path());
        let line = process.line_with("http://").await;
        let address = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        Clerk {
            api: Api::new(address.unwrap_or_default()),
            process,
        }
    }

    /// Starts a worker that is not in the plan, for `queue` or `queue*concurrency`, and returns when it
    /// takes jobs.
    pub async fn late_worker(&self, queue: &str, command: &[&str]) -> Process {
        let mut worker = self.program(&["worker", "--queue", queue]);
        worker.args(&self.worker_settings).arg("--").args(command);
        let mut worker = Process::start("worker", worker, self.folder.path());
        let name = queue.split('*').next().unwrap_or_default();
        worker.line_with(name).await;
        worker
    }

    async fn start_worker(&self, index: usize) -> Process {
        let plan = &self.plans[index % self.plans.len()];
        let queue = format!("{}*{}", plan.queue, plan.concurrency);
        let command: Vec<&str> = plan.command.iter().map(String::as_str).collect();
        self.late_worker(&queue, &command).await
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // Nobody may use what is about to be cleared away.
        self.workers.clear();
        self.clerks.clear();
        if let Some(ground) = &self.ground {
            ground.clear(self.queues.clone());
        }
    }
}
