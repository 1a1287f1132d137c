//! The command of a run's command workers: it checks that its whole input is there, and starts a process that it leaves.

use std::env;
use std::io::{self, Read as _};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clerkwork_checker::How;

use crate::Failure;
use crate::journal::Journal;
use crate::recorder::now;
use crate::task::Task;
use crate::worker::Done;

/// The queue of the jobs that are commands.
pub(crate) const QUEUE: &str = "command";

/// The exit codes after which a job is not tried again: of a job that is told to fail, and of a bad input.
const TOLD_TO_FAIL: u8 = 64;
const BAD_INPUT: u8 = 65;
/// A command that takes as many milliseconds leaves a process, which its worker must end with it.
const LEAVES: u64 = 50;

/// Runs one job.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let journal = Journal::open()?;
    let job = env::var("CLERKWORK_JOB_ID")?;
    let attempt: u32 = env::var("CLERKWORK_ATTEMPT")?.parse()?;
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    let task = match Task::read(&input) {
        Ok(task) => task,
        Err(why) => {
            eprintln!("the input is not whole: {why}");
            journal.bad_input(&job, why)?;
            return Ok(BAD_INPUT.into());
        }
    };
    let nonce = format!("{}-{}", journal.worker, now());
    journal.start(&job, &task.token, &nonce)?;
    if task.ms >= LEAVES {
        leave_process()?;
    }
    sleep(Duration::from_millis(task.ms));
    if task.fatal || attempt <= task.fail {
        journal.end(&job, &nonce, How::Failed)?;
        return Ok(if task.fatal {
            TOLD_TO_FAIL.into()
        } else {
            ExitCode::FAILURE
        });
    }
    journal.end(&job, &nonce, How::Succeeded)?;
    let token = task.token;
    println!("{}", serde_json::to_string(&Done { token, nonce })?);
    Ok(ExitCode::SUCCESS)
}

/// Starts a process in a session of its own that goes on for longer than any run.
fn leave_process() -> io::Result<()> {
    Command::new("setsid")
        .args(["sleep", "86400"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}
