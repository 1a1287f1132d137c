//! A command with all that it started: signals to it, and its end.
//!
//! With a guard, that is the guard's to see to. Without one it is a process group, which a process can
//! leave.

use std::io::{self, PipeWriter, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{Runner, guard};

/// How long a guard may take to say that the command has started.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a guard may take to kill and reap all once it was told to.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// The longest line of a guard.
const LINE: usize = 4 * 1024;

/// A command and all that it started. Dropped, all of it is killed.
#[derive(Debug)]
pub(super) struct Group {
    runner: Arc<Runner>,
    /// The guard, or the command itself. Reaped only when the group is not needed any more: until then
    /// nobody else gets its number.
    leader: Option<Child>,
    /// Our end of the guard's lifeline.
    control: Option<PipeWriter>,
    /// The process group of the command, once that is known.
    command: Option<Pid>,
}

/// The end of a command, to be waited for while it is signalled.
#[derive(Debug)]
pub(super) enum End {
    /// A guard tells it.
    Told(GuardStatus),
    /// The system tells it.
    Seen(Pid),
}

/// Lines from a guard.
#[derive(Debug)]
pub(super) struct GuardStatus {
    pipe: pipe::Receiver,
    read: Vec<u8>,
}

impl Group {
    /// A command that leads a process group.
    pub(super) fn plain(runner: &Arc<Runner>, leader: Child) -> (Self, End) {
        let command = pid(&leader);
        let group = Self {
            runner: Arc::clone(runner),
            leader: Some(leader),
            control: None,
            command: Some(command),
        };
        (group, End::Seen(command))
    }

    /// A command under a guard, once that has started it.
    ///
    /// # Errors
    /// The command was not started; nothing of it is left.
    pub(super) async fn guarded(
        runner: &Arc<Runner>,
        leader: Child,
        control: PipeWriter,
        status: pipe::Receiver,
    ) -> io::Result<(Self, End)> {
        let mut group = Self {
            runner: Arc::clone(runner),
            leader: Some(leader),
            control: Some(control),
            command: None,
        };
        let mut status = GuardStatus {
            pipe: status,
            read: Vec::new(),
        };
        let line = timeout(START_LIMIT, status.line()).await;
        let line = line.map_err(|_| io::Error::other("its guard does not start"))??;
        match line.as_deref().and_then(|line| line.split_once(' ')) {
            Some(("started", pid)) => group.command = pid.parse().ok().map(Pid::from_raw),
            Some(("failed", why)) => return Err(io::Error::other(why.to_owned())),
            _ => return Err(io::Error::other("its guard ended at once")),
        }
        Ok((group, End::Told(status)))
    }

    /// Asks the command's process group to stop.
    pub(super) fn terminate(&mut self) {
        match &mut self.control {
            // A guard that is gone has nothing left to stop.
            Some(control) => drop(control.write_all(&[guard::TERMINATE])),
            None => self.signal(Signal::SIGTERM),
        }
    }

    /// Ends all of it.
    pub(super) fn kill(&mut self) {
        match &mut self.control {
            Some(control) => drop(control.write_all(&[guard::KILL])),
            None => self.signal(Signal::SIGKILL),
        }
    }

    /// Ends what is left of it and reaps the leader; says how the command ended, where that is known.
    pub(super) async fn finish(mut self, end: End) -> io::Result<Option<ExitStatus>> {
        self.kill();
        let ended = match end {
            End::Told(mut status) => timeout(KILL_LIMIT, status.closed()).await.is_ok(),
            End::Seen(_) => true,
        };
        let Some(mut leader) = self.leader.take() else {
            return Err(io::Error::other("the process was reaped before"));
        };
        if !ended {
            // Something below it cannot be killed just now. The guard stays until it can.
            self.bury(leader);
            return Ok(None);
        }
        let status = leader.wait()?;
        if self.control.is_none() {
            return Ok(Some(status));
        }
        if status.signal().is_some() {
            // Somebody killed the guard, so the group has none.
            self.signal(Signal::SIGKILL);
        }
        Ok(None)
    }

    fn signal(&self, signal: Signal) {
        if let Some(command) = self.command {
            // The only error is that nobody is left.
            let _ = killpg(command, signal);
        }
    }

    fn bury(&self, leader: Child) {
        if let Ok(spawner) = self.runner.spawner() {
            spawner.bury(leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader.take() {
            // A guard sees the end of its lifeline.
            if self.control.take().is_none() {
                self.signal(Signal::SIGKILL);
            }
            self.bury(leader);
        }
    }
}

impl End {
    /// Waits until the command has ended; `None` where nobody can say how. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Told(status) => status.exit().await,
            Self::Seen(command) => {
                exited(*command).await?;
                Ok(None)
            }
        }
    }
}

impl GuardStatus {
    /// The next line; `None` after the last one. Cancel safe.
    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.drain(..=end).collect::<Vec<u8>>();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.read.len() > LINE || self.pipe.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn exit(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(line) = self.line().await? else {
            return Ok(None);
        };
        let (word, number) = line.split_once(' ').unwrap_or_default();
        let number = number.parse::<i32>().ok();
        Ok(match word {
            "exited" => number.map(|code| ExitStatus::from_raw((code & 0xFF) << 8)),
            "killed" => number.map(ExitStatus::from_raw),
            _ => None,
        })
    }

    /// Waits until the guard has ended.
    async fn closed(&mut self) {
        while let Ok(Some(_)) = self.line().await {}
    }
}

/// Waits until the leader of a group has exited, and leaves it to be reaped.
async fn exited(leader: Pid) -> io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    loop {
        match waitid(Id::Pid(leader), look) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        children.recv().await;
    }
}

/// Ends the group that a process leads.
pub(super) fn kill(leader: &Child) {
    let _ = killpg(pid(leader), Signal::SIGKILL);
}

fn pid(process: &Child) -> Pid {
    // A process id of Linux is at most 2^22.
    Pid::from_raw(i32::try_from(process.id()).unwrap_or(i32::MAX))
}
