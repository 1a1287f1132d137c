//! Processes of commands whose workers are gone, found by the journal in their environment.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clerkwork_checker::What;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::journal::JOURNAL;

/// A process that a command has started.
#[derive(Debug)]
struct Orphan {
    pid: i32,
    job: String,
    command: String,
}

/// Waits until no process is left whose journal lies in `folder`; ends and returns those that are after `limit`.
pub(crate) async fn find(folder: &Path, limit: Duration) -> Vec<What> {
    let end = Instant::now() + limit;
    let mut left = look(folder);
    while !left.is_empty() && Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
        left = look(folder);
    }
    let left = left.into_iter().map(|Orphan { pid, job, command }| {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        What::Orphan {
            job,
            process: format!("{command} ({pid})"),
        }
    });
    left.collect()
}

fn look(folder: &Path) -> Vec<Orphan> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = pids.filter(|pid| u32::try_from(*pid).ok() != Some(std::process::id()));
    ours.filter_map(|pid| orphan(pid, folder)).collect()
}

fn orphan(pid: i32, folder: &Path) -> Option<Orphan> {
    let read = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let environment = read("environ")?;
    let variable = |name: &str| {
        let mut variables = environment.split('\0');
        variables.find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    };
    let journal = variable(JOURNAL)?;
    Path::new(journal).starts_with(folder).then(|| Orphan {
        pid,
        job: variable("CLERKWORK_JOB_ID").unwrap_or_default().to_owned(),
        command: read("cmdline")
            .unwrap_or_default()
            .replace('\0', " ")
            .trim_end()
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn a_process_that_stays_is_found_by_its_journal_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(folder.path(), Duration::ZERO).await.is_empty());
        let mut stays = Command::new("sleep")
            .arg("86400")
            .env(JOURNAL, folder.path().join("journal-1"))
            .env("CLERKWORK_JOB_ID", "j")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let found = find(folder.path(), Duration::ZERO).await;
        stays.wait().unwrap();
        let process = format!("sleep 86400 ({})", stays.id());
        let job = "j".to_owned();
        assert_eq!(found, [What::Orphan { job, process }]);
        assert!(look(folder.path()).is_empty());
    }
}
