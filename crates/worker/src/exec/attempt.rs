//! One attempt of a command, from its start to its outcome.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Failure, Retry};
use clerkwork_wire::v1::detect;
use futures_util::future::join3;
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::group::{End, Group};
use super::pump::{self, Gathered};
use super::spawner::{Guard, Spec};
use super::{Runner, input};
use crate::call::Call;
use crate::registry::RunError;
use crate::runtime::too_large;
use crate::{JobError, Output};

/// How long pipes may stay open after the command has exited: its children may still be writing.
const PIPES_GRACE: Duration = Duration::from_millis(500);

/// The exit codes of `sysexits.h` that mean something here.
const EX_USAGE: i32 = 64;
const EX_DATAERR: i32 = 65;

/// A process with its pipes.
struct Process {
    group: Group,
    end: End,
    folder: TempDir,
    stdout: ChildStdout,
    stderr: ChildStderr,
    events: pipe::Receiver,
}

/// The end of a process.
enum Ended {
    Exited(ExitStatus),
    /// Its guard was killed, and it with it.
    Unguarded,
    /// It was told to stop first; whatever it says then is no answer.
    Stopped,
    /// Killed, since its output went over the limit.
    TooMuch,
}

/// Runs one attempt.
pub(super) async fn run(runner: &Arc<Runner>, call: &Call) -> Result<Output, RunError> {
    let process = start(runner, call).await.map_err(|error| {
        RunError::NotStarted(format!("the command could not be started: {error}"))
    })?;
    call.started.cancel();
    let mut gathered = Gathered::default();
    let ended = watch(runner, call, process, &mut gathered)
        .await
        .map_err(|error| JobError::new(format!("the command could not be watched: {error}")))?;
    match ended {
        Ended::TooMuch => Err(too_large(gathered.output.len(), call.max_output).into()),
        Ended::Stopped => Err(JobError::new("the command was stopped").into()),
        Ended::Unguarded => Err(JobError::new(
            "the command's guard was killed, and the command with it; is there memory enough?",
        )
        .into()),
        Ended::Exited(status) if status.success() => {
            let detected = || detect(&gathered.output).to_owned();
            let content_type = runner.output_type.clone().unwrap_or_else(detected);
            Ok(Output::new(content_type, gathered.output))
        }
        Ended::Exited(status) => Err(failure(status, &gathered).into()),
    }
}

/// Starts the process. What fails here is the worker's fault, not the job's.
async fn start(runner: &Arc<Runner>, call: &Call) -> io::Result<Process> {
    let spawner = runner.spawner()?;
    let (sender, events) = pipe::pipe()?;
    let mut spec = Spec {
        argv: runner.argv.clone(),
        environment: runner.environment.of_attempt(call),
        stdin: stdin(call).await?,
        events: sender.into_blocking_fd()?,
        guard: None,
    };
    let mut lifeline = None;
    if let Some(program) = &runner.guard {
        let (control, ours) = io::pipe()?;
        let (theirs, status) = pipe::pipe()?;
        lifeline = Some((ours, status));
        spec.guard = Some(Guard {
            program: program.clone(),
            control: control.into(),
            status: theirs.into_blocking_fd()?,
        });
    }
    let started = spawner.start(spec).await?;
    let missing = || io::Error::other("a pipe is missing");
    let mut child = started.child.take()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // From here on the process has an owner that kills it when dropped.
    let (group, end) = match lifeline {
        Some((control, status)) => Group::guarded(runner, child, control, status).await?,
        None => Group::plain(runner, child),
    };
    Ok(Process {
        group,
        end,
        folder: started.folder,
        stdout: ChildStdout::from_std(stdout.ok_or_else(missing)?)?,
        stderr: ChildStderr::from_std(stderr.ok_or_else(missing)?)?,
        events,
    })
}

async fn stdin(call: &Call) -> io::Result<File> {
    let bytes = call.input.bytes.clone();
    if bytes.len() <= input::IN_MEMORY {
        return input::file(&bytes);
    }
    // A disk may be slow.
    let written = tokio::task::spawn_blocking(move || input::file(&bytes)).await;
    written.map_err(io::Error::other)?
}

/// Serves the pipes until the process has ended, stopping it when told to.
async fn watch(
    runner: &Runner,
    call: &Call,
    process: Process,
    gathered: &mut Gathered,
) -> io::Result<Ended> {
    let Process {
        mut group,
        mut end,
        folder,
        stdout,
        stderr,
        events,
    } = process;
    let over = Notify::new();
    let pumps = join3(
        pump::collect(stdout, &mut gathered.output, call.max_output, &over),
        pump::follow(stderr, &call.teller, &mut gathered.tail),
        pump::heed(events, &call.teller, &mut gathered.retry_after),
    );
    let mut pumps = std::pin::pin!(pumps);
    let (mut open, mut too_much) = (true, false);
    let mut kill_at: Option<Instant> = None;
    let told = loop {
        tokio::select! {
            ended = end.wait() => break ended?,
            _ = &mut pumps, if open => open = false,
            () = over.notified(), if !too_much => {
                too_much = true;
                group.kill();
            }
            () = call.stop.cancelled(), if kill_at.is_none() => {
                group.terminate();
                kill_at = Some(Instant::now() + runner.kill_grace);
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                group.kill();
                // Dying can take a while; telling it once is enough.
                kill_at = Some(Instant::now() + Duration::from_secs(86_400));
            }
        }
    };
    if open && !too_much && timeout(PIPES_GRACE, &mut pumps).await.is_err() {
        group.kill();
        // Only what cannot be killed, or has left the group of a process without a guard, can still hold
        // a pipe now, and that is waited for no longer.
        let _ = timeout(PIPES_GRACE, &mut pumps).await;
    }
    let seen = group.finish(end).await?;
    // Removing many files takes time that belongs to no thread of the runtime.
    let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    Ok(match (too_much, kill_at, told.or(seen)) {
        (true, ..) => Ended::TooMuch,
        (false, Some(_), _) => Ended::Stopped,
        (false, None, Some(status)) => Ended::Exited(status),
        (false, None, None) => Ended::Unguarded,
    })
}

/// The failure of an exit other than success.
fn failure(status: ExitStatus, gathered: &Gathered) -> JobError {
    #[derive(Serialize)]
    struct Data {
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    }
    let retry = match (status.code(), gathered.retry_after) {
        (Some(EX_USAGE | EX_DATAERR), _) => Retry::Never,
        (_, Some(wait)) => Retry::AfterMs(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        (_, None) => Retry::Policy,
    };
    let said = last_words(gathered.tail.bytes());
    let detail = if said.is_empty() {
        format!("the command ended with {status}")
    } else {
        said
    };
    JobError::new(detail).with_retry(retry).with_data(Data {
        exit_code: status.code(),
        signal: status.signal(),
    })
}

/// The end of stderr as text, cut at its front where it is too long.
fn last_words(tail: &[u8]) -> String {
    // A character that was cut in two at the front is left out.
    let begins = tail
        .iter()
        .take(4)
        .position(|byte| byte & 0xC0 != 0x80)
        .unwrap_or(0);
    let text = String::from_utf8_lossy(&tail[begins..]);
    let text = text.trim_end();
    let from = text.ceil_char_boundary(text.len().saturating_sub(Failure::MAX_DETAIL));
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_stderr_is_text_of_bounded_length() {
        assert_eq!(last_words(b"oh no\n"), "oh no");
        assert_eq!(last_words(&"\u{e4}".as_bytes()[1..]), "\u{fffd}");
        assert_eq!(last_words(&"\u{e4}x".as_bytes()[1..]), "x");
        let long = last_words(&vec![0xFF; Failure::MAX_DETAIL]);
        assert!(long.len() <= Failure::MAX_DETAIL && long.ends_with('\u{fffd}'));
    }
}
