//! `submit`: hands in a job, and may wait for what comes out.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::time::Duration;

use clap::Args;
use clerkwork_client::{Client, Error, JobObject, Submission};

use super::client::ClientArgs;
use super::{show, watch};
use crate::exit::{Exit, Failure};
use crate::follow::is_live;
use crate::settings::values::seconds;
use crate::terminal::{Format, Terminal};

/// Submit a job; prints its id
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork submit shout '\"hello\"' --wait
  clerkwork submit shout @letter.txt --tag invoice:42 --timeout 10m
  echo '{\"pages\": 3}' | clerkwork submit render -")]
pub(crate) struct Submit {
    /// The queue
    queue: String,
    /// JSON, @FILE, or - for standard input, which is also read without it where something is piped in
    #[arg(allow_negative_numbers = true)]
    input: Option<String>,
    /// Wait for the end, at most so long, and print the output; on a terminal with a progress bar
    #[arg(long, value_name = "S", value_parser = seconds, require_equals = true)]
    #[expect(
        clippy::option_option,
        reason = "without the flag, without a value, with one"
    )]
    wait: Option<Option<Duration>>,
    /// Media type of the input [default: by the file's name, or by the bytes]
    #[arg(long = "type", value_name = "TYPE")]
    media_type: Option<String>,
    /// A tag to find the job by; again for more
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Call this URL when the job is done
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Longest time that an attempt may run
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Let the job expire if it has not started by then
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    start_within: Option<Duration>,
    /// Start it only after so long
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    delay: Option<Duration>,
    /// Failures that end the job
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Pause before the second attempt, doubled with each further one
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    retry_delay: Option<Duration>,
    /// Idempotency key: submitting again with it gives the same job
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Submit {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let submission = self.submission()?;
        let (client, terminal) = self.client.open()?;
        let submitted = client
            .submit(&submission)
            .await
            .map_err(|error| unsubmitted(error, &self.queue, submission.idempotency_key()))?;
        if submitted.replayed {
            terminal.progress("an earlier submission with this key had made this job");
        }
        let id = submitted.job.id;
        show_accepted(&client, terminal, &submitted.job, self.wait)
            .await
            .map_err(|failure| {
                failure.and(&format!(
                    "job {id} was accepted: go on with `clerkwork wait {id}`"
                ))
            })
    }

    fn submission(&self) -> Result<Submission, Failure> {
        self.refuse_wait_apart(std::env::args())?;
        let mut submission = self.input()?;
        for tag in &self.tags {
            submission = submission.tag(tag);
        }
        if let Some(url) = &self.webhook {
            submission = submission.webhook(url);
        }
        if let Some(limit) = self.timeout {
            submission = submission.timeout(limit);
        }
        if let Some(limit) = self.start_within {
            submission = submission.start_within(limit);
        }
        if let Some(delay) = self.delay {
            submission = submission.delay(delay);
        }
        if let Some(most) = self.max_attempts {
            submission = submission.max_attempts(most);
        }
        if let Some(delay) = self.retry_delay {
            submission = submission.retry_delay(delay);
        }
        if let Some(key) = &self.key {
            submission = submission.key(key);
        }
        Ok(submission)
    }

    /// Refuses an input that was probably meant as the value of `--wait`, which is written `--wait=20`.
    fn refuse_wait_apart(&self, arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
        let meant = self.input.as_deref().filter(|text| seconds(text).is_ok());
        let (Some(meant), Some(None)) = (meant, self.wait) else {
            return Ok(());
        };
        let mut after = arguments.skip_while(|argument| argument != "--wait");
        match after.nth(1) {
            Some(next) if next == meant => Err(Failure::usage(format!(
                "{meant} after --wait is the job's input: did you mean --wait={meant}? Put an input before --wait"
            ))),
            _ => Ok(()),
        }
    }

    fn input(&self) -> Result<Submission, Failure> {
        let input = match &self.input {
            Some(input) => input,
            None if is_piped() => "-",
            None => {
                return Err(Failure::usage(
                    "there is no input: give JSON ('null' for none) or @FILE, or pipe something in",
                ));
            }
        };
        let (bytes, guess) = if input == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            let guess = by_bytes(&bytes).to_owned();
            (bytes, guess)
        } else if let Some(file) = input.strip_prefix('@') {
            let bytes = std::fs::read(file)
                .map_err(|error| Failure::usage(format!("the input file {file}: {error}")))?;
            (
                bytes,
                mime_guess::from_path(file)
                    .first_or_octet_stream()
                    .to_string(),
            )
        } else {
            if let Some(media_type) = &self.media_type {
                let input = input.to_owned();
                return Ok(Submission::bytes(&self.queue, media_type, input));
            }
            return Submission::raw_json(&self.queue, input.to_owned()).map_err(|error| {
                Failure::usage(format!(
                    "{error}; a text is written '\"text\"', a file is named by @FILE"
                ))
            });
        };
        let media_type = self.media_type.as_deref().unwrap_or(&guess);
        Ok(Submission::bytes(&self.queue, media_type, bytes))
    }
}

/// Whether standard input is a pipe, a file or a socket. A terminal is none, and neither is `/dev/null`.
fn is_piped() -> bool {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let about = stdin.and_then(|stdin| std::fs::File::from(stdin).metadata());
    about.is_ok_and(|about| {
        let kind = about.file_type();
        kind.is_fifo() || kind.is_file() || kind.is_socket()
    })
}

/// Shows the job that was accepted, or what comes out of it.
#[expect(
    clippy::option_option,
    reason = "without the flag, without a value, with one"
)]
async fn show_accepted(
    client: &Client,
    terminal: Terminal,
    job: &JobObject,
    wait: Option<Option<Duration>>,
) -> Result<Exit, Failure> {
    let Some(most) = wait else {
        show::id(terminal, job)?;
        return Ok(Exit::Ok);
    };
    if terminal.format == Format::Text {
        terminal.progress(&format!("{} submitted", job.id));
    }
    if is_live(terminal) && !job.done {
        watch::live(client, terminal, job.id, most).await
    } else {
        show::end(client, terminal, job.id, most).await
    }
}

/// Why there is no job, as far as is known, and how to go on.
fn unsubmitted(error: Error, queue: &str, key: &str) -> Failure {
    // Whether it was accepted may be unknown: then only its key makes it safe to repeat.
    let repeat = format!("to repeat it without making a second job, add `--key {key}`");
    match error {
        // It is the submission that names the wrong queue.
        Error::NotFound(problem) => Failure::usage(format!(
            "{problem}; declare it with `clerkwork queue declare {queue}`"
        )),
        Error::Unavailable(_) | Error::Unreachable { .. } | Error::Unexpected(_) => {
            Failure::from(error).and(&repeat)
        }
        error => error.into(),
    }
}

/// The media type of bytes without a name, as the output of a command gets it.
fn by_bytes(bytes: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        "application/json"
    } else if std::str::from_utf8(bytes).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}
