//! A process of the system under test: started, signalled, watched, and gone when dropped.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal;
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::until::eventually;

pub use nix::sys::signal::Signal;

/// How long a process may take until it says that it is ready; the machine may be busy with other tests.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running process, whose output goes to files.
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`; its output is kept in `folder`.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let stdout = folder.join(format!("{name}-{number}.out"));
        let stderr = folder.join(format!("{name}-{number}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("the folder is writable"))
            .stderr(File::create(&stderr).expect("the folder is writable"))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let id = child.id().expect("a process just started has an id");
        Self {
            name: name.to_owned(),
            child,
            pid: Pid::from_raw(id.try_into().expect("process ids are small")),
            stdout,
            stderr,
        }
    }

    /// Waits for a line of its standard output that has `mark` in it.
    ///
    /// # Panics
    /// When it ends first, or takes too long.
    pub async fn line_with(&mut self, mark: &str) -> String {
        let what = format!("{} says {mark:?}", self.name);
        eventually(&what, READY_LIMIT, async || {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| line.contains(mark)) {
                return Some(line.to_owned());
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(
                ended.is_none(),
                "{} ended: {ended:?}\n{}",
                self.name,
                self.complaints()
            );
            None
        })
        .await
    }

    /// All of its standard output so far.
    #[must_use]
    pub fn said(&self) -> String {
        read(&self.stdout)
    }

    /// All of its standard error so far.
    #[must_use]
    pub fn complaints(&self) -> String {
        read(&self.stderr)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself: then there is nothing to signal.
        let _ = signal::kill(self.pid, signal);
    }

    /// Kills it at once, as a crash would, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended_within(Duration::from_secs(10)).await;
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended_within(Duration::from_secs(40)).await
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub async fn ended_within(&mut self, limit: Duration) -> ExitStatus {
        let Ok(status) = timeout(limit, self.child.wait()).await else {
            panic!("{} has not ended within {limit:?}", self.name);
        };
        status.expect("a child can be waited for")
    }

    /// Waits until it was killed by SIGKILL.
    ///
    /// # Panics
    /// When that has not happened within `limit`, or it ended otherwise.
    pub async fn killed_within(&mut self, limit: Duration) {
        let status = self.ended_within(limit).await;
        let signal = status.signal();
        let name = &self.name;
        assert_eq!(signal, Some(Signal::SIGKILL as i32), "{name}: {status}");
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The memory that it has in hand, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid)));
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.expect("a running process has a size") * 1024
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::SIGKILL);
        }
        if thread::panicking() {
            let complaints = self.complaints();
            let lines: Vec<_> = complaints.lines().collect();
            eprintln!("---- the last that {} wrote:", self.name);
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}
