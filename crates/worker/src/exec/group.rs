//! The process group of one attempt: signals to all of it, and its end.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::Runner;

/// A process and all that it started. Dropped, all of it is killed.
#[derive(Debug)]
pub(super) struct Group {
    runner: Arc<Runner>,
    /// Reaped only when the group is not needed any more: until then nobody else gets its number.
    leader: Option<Child>,
    pid: Pid,
}

impl Group {
    pub(super) fn new(runner: &Arc<Runner>, leader: Child) -> Self {
        Self {
            runner: Arc::clone(runner),
            pid: pid(&leader),
            leader: Some(leader),
        }
    }

    /// Asks all of it to stop.
    pub(super) fn terminate(&self) {
        // The only error is that nobody is left.
        let _ = killpg(self.pid, Signal::SIGTERM);
    }

    /// Ends all of it.
    pub(super) fn kill(&self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
    }

    /// Waits until the leader has exited, and leaves it to be reaped.
    pub(super) async fn exited(&self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        loop {
            match waitid(Id::Pid(self.pid), look) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            children.recv().await;
        }
    }

    /// Ends what is left of it and reaps the leader, which has exited.
    pub(super) fn finish(mut self) -> io::Result<ExitStatus> {
        self.kill();
        match self.leader.take() {
            Some(mut leader) => leader.wait(),
            None => Err(io::Error::other("the process was reaped before")),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader.take() {
            kill(&leader);
            if let Ok(spawner) = self.runner.spawner() {
                spawner.bury(leader);
            }
        }
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
