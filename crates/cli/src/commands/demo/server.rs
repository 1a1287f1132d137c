//! The demo's server: this binary as `dev`, in a process of its own that can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::exit::Failure;

/// How long the server may take to be ready, and to end.
const LIMIT: Duration = Duration::from_secs(10);

/// The queues, how many at a time, and what serves them.
const QUEUES: [(&str, u32, &str); 5] = [
    ("shout", 2, "shout"),
    ("stumble", 2, "stumble"),
    ("linger", 2, "linger"),
    ("ponder", 4, "ponder"),
    ("paint", 1, "paint"),
];

/// A running server; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    folder: PathBuf,
    address: String,
    url: String,
    child: Option<Child>,
}

impl Server {
    /// Starts it, and waits until it is ready.
    pub(super) async fn start(folder: &Path, listen: &str) -> Result<Self, Failure> {
        let mut child = command(folder, listen)?.spawn()?;
        let out = child.stdout.take();
        // From here on it is killed whatever happens.
        let mut server = Self {
            folder: folder.to_owned(),
            address: String::new(),
            url: String::new(),
            child: Some(child),
        };
        let mut line = String::new();
        if let Some(out) = out {
            let read = timeout(LIMIT, BufReader::new(out).read_line(&mut line)).await;
            read.map_err(|_| server.failed("it was not ready in time"))??;
        }
        let Some((_, address)) = line.trim().split_once("http://") else {
            return Err(server.failed("it did not start"));
        };
        address.clone_into(&mut server.address);
        server.url = format!("http://{address}");
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Kills it without warning, as a failing machine would.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts it again, on the same address and the same record.
    pub(super) async fn restart(&mut self) -> Result<(), Failure> {
        let again = Self::start(&self.folder, &self.address).await?;
        *self = again;
        Ok(())
    }

    /// Asks it to drain, and waits for its end.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        if let Some(pid) = pid(&child) {
            // Gone already is what we want.
            let _ = kill(pid, Signal::SIGTERM);
        }
        match timeout(LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => {
                self.child = Some(child);
                Err(self.failed(&format!("it did not end well: {ended:?}")))
            }
        }
    }

    /// Leaves it running; its process id.
    pub(super) fn leave(mut self) -> u32 {
        self.child.take().and_then(|child| child.id()).unwrap_or(0)
    }

    fn failed(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last = log.lines().rev().take(10).collect::<Vec<_>>();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        Failure::error(format!("the demo's server: {what}\n  {last}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if child.start_kill().is_ok()
            && let Some(pid) = pid(child)
        {
            // Its folder is removed next, so it must be gone; a killed process is, soon.
            let _ = nix::sys::wait::waitpid(pid, None);
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw)
}

fn command(folder: &Path, listen: &str) -> Result<Command, Failure> {
    let program = std::env::current_exe()?;
    let quoted = program.to_string_lossy();
    let quoted = shell_words::quote(&quoted);
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let mut command = Command::new(&program);
    command
        .arg("dev")
        .args(["--listen", listen, "--log", "warn", "--grace", "2s"]);
    command.arg("--data").arg(folder.join("data"));
    for (queue, concurrency, act) in QUEUES {
        command
            .arg("--worker")
            .arg(format!("{queue}*{concurrency}={quoted} demo-worker {act}"));
    }
    // The settings of whoever runs the demo are not meant for it.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLERKWORK_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    Ok(command)
}
