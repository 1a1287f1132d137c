//! The thread that starts processes.
//!
//! A command dies with the *thread* that started it (`--pdeathsig`), and the threads of an async
//! runtime come and go; this one stays as long as the worker.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// How many wait to be started.
const BOUND: usize = 1_024;

/// Starts processes; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Spawner {
    requests: mpsc::Sender<Request>,
}

/// A process to start.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) argv: Vec<String>,
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Its file descriptor 3.
    pub(super) events: OwnedFd,
}

/// A process that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Untaken,
    /// Its working folder.
    pub(super) folder: TempDir,
}

#[derive(Debug)]
enum Request {
    Start(Spec, oneshot::Sender<io::Result<Started>>),
    /// A process that was killed and whose end nobody awaits.
    Bury(Child),
}

/// A process that nobody has taken yet: dropped, it is killed with its group.
#[derive(Debug)]
pub(super) struct Untaken(Option<Child>);

impl Untaken {
    /// Takes it.
    pub(super) fn take(mut self) -> io::Result<Child> {
        let child = self.0.take();
        child.ok_or_else(|| io::Error::other("the process was taken before"))
    }

    fn end(&mut self) -> Option<Child> {
        let mut child = self.0.take()?;
        super::group::kill(&child);
        let _ = child.kill();
        Some(child)
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        // Whoever asked went just after the answer was sent. It stays a zombie until this process ends.
        self.end();
    }
}

impl Spawner {
    /// Starts the thread.
    pub(super) fn new() -> io::Result<Self> {
        let (requests, mut received) = mpsc::channel(BOUND);
        std::thread::Builder::new()
            .name("clerkwork-spawn".to_owned())
            .spawn(move || {
                let mut dead: Vec<Child> = Vec::new();
                while let Some(request) = received.blocking_recv() {
                    dead.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
                    match request {
                        Request::Bury(child) => dead.push(child),
                        Request::Start(spec, answer) => {
                            // Whoever asked may have gone; then the process must not stay.
                            if let Err(Ok(mut unwanted)) = answer.send(start(spec)) {
                                dead.extend(unwanted.child.end());
                            }
                        }
                    }
                }
            })?;
        Ok(Self { requests })
    }

    /// Starts a process.
    pub(super) async fn start(&self, spec: Spec) -> io::Result<Started> {
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes is gone");
        self.requests
            .send(Request::Start(spec, answer))
            .await
            .map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }

    /// Waits for the end of a process that was killed, some time.
    pub(super) fn bury(&self, child: Child) {
        // Full or gone: it stays a zombie until this process ends, which harms nobody.
        let _ = self.requests.try_send(Request::Bury(child));
    }
}

fn start(spec: Spec) -> io::Result<Started> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let folder = tempfile::Builder::new()
        .prefix("clerkwork-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(spec.environment)
        .current_dir(folder.path())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let events = FdMapping {
        parent_fd: spec.events,
        child_fd: 3,
    };
    command
        .fd_mappings(vec![events])
        .map_err(io::Error::other)?;
    let child = command.spawn()?;
    Ok(Started {
        child: Untaken(Some(child)),
        folder,
    })
}
