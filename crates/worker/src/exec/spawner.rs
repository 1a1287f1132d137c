//! The thread that starts processes: to make one takes time that belongs to no thread of the runtime.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::guard;

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
    /// Its standard input.
    pub(super) stdin: File,
    /// Its file descriptor 3.
    pub(super) events: OwnedFd,
    /// What stands between it and this process.
    pub(super) guard: Option<Guard>,
}

/// A guard to start, which starts the process.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) program: PathBuf,
    /// Its end of the lifeline.
    pub(super) control: OwnedFd,
    /// What it answers through.
    pub(super) status: OwnedFd,
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

/// A process that nobody has taken yet: dropped, it is killed with its group. A guard ends by itself,
/// since nobody has the other end of its lifeline then.
#[derive(Debug)]
pub(super) struct Untaken {
    child: Option<Child>,
    is_guard: bool,
}

impl Untaken {
    /// Takes it.
    pub(super) fn take(mut self) -> io::Result<Child> {
        let child = self.child.take();
        child.ok_or_else(|| io::Error::other("the process was taken before"))
    }

    fn end(&mut self) -> Option<Child> {
        let mut child = self.child.take()?;
        if !self.is_guard {
            super::group::kill(&child);
            let _ = child.kill();
        }
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
    let folder = tempfile::Builder::new()
        .prefix(guard::FOLDER)
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let is_guard = spec.guard.is_some();
    let (mut command, mut mappings) = command(spec.argv, spec.guard, folder.path())?;
    mappings.push(FdMapping {
        parent_fd: spec.events,
        child_fd: 3,
    });
    command
        .env_clear()
        .envs(spec.environment)
        .current_dir(folder.path())
        .process_group(0)
        .stdin(spec.stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    let child = command.spawn().map_err(|error| match is_guard {
        true => io::Error::other(format!("its guard could not be started: {error}")),
        false => error,
    })?;
    let child = Some(child);
    Ok(Started {
        child: Untaken { child, is_guard },
        folder,
    })
}

/// What is to be started: the process itself, or its guard.
fn command(
    argv: Vec<String>,
    guarded_by: Option<Guard>,
    folder: &Path,
) -> io::Result<(Command, Vec<FdMapping>)> {
    let mut words = argv.into_iter();
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let Some(by) = guarded_by else {
        let mut command = Command::new(program);
        command.args(words);
        return Ok((command, Vec::new()));
    };
    let mut command = Command::new(by.program);
    command
        .arg(guard::WORD)
        .arg(folder)
        .arg(program)
        .args(words);
    let mappings = vec![
        FdMapping {
            parent_fd: by.control,
            child_fd: guard::CONTROL,
        },
        FdMapping {
            parent_fd: by.status,
            child_fd: guard::STATUS,
        },
    ];
    Ok((command, mappings))
}
