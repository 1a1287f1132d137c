//! How a command ends: the exit codes, and the one sentence that goes with a failure.

use std::fmt;
use std::process::ExitCode;

/// The exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Error,
    Usage,
    JobFailed,
    JobStopped,
    TimedOut,
    NotFound,
    Unauthorised,
    Unreachable,
    Interrupted,
    Terminated,
    /// EX_TEMPFAIL: the exit code of a command that wants another attempt.
    Again,
}

/// Why a command failed, for people.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) sentence: String,
    /// Any other job would meet it, too: nobody answers, or not to this key, or nobody reads what is printed.
    pub(crate) is_general: bool,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::JobFailed => 3,
            Self::JobStopped => 4,
            Self::TimedOut => 5,
            Self::NotFound => 6,
            Self::Unauthorised => 7,
            Self::Unreachable => 8,
            Self::Again => 75,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        })
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self {
            exit,
            sentence: sentence.into(),
            is_general: exit == Exit::Ok,
        }
    }

    /// Something went wrong.
    pub(crate) fn error(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Error, sentence)
    }

    /// An error that says what to do.
    pub(crate) fn of(error: impl std::error::Error) -> Self {
        Self::error(error.to_string())
    }

    /// What was asked for does not fit.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Usage, sentence)
    }

    /// The failure with what else whoever reads of it needs.
    pub(crate) fn and(mut self, more: &str) -> Self {
        // A reader that went away is told nothing.
        if self.exit != Exit::Ok {
            self.sentence = format!("{}; {more}", self.sentence);
        }
        self
    }

    /// Some settings do not fit; all of them are told.
    pub(crate) fn settings(mut wrong: Vec<String>) -> Self {
        if wrong.len() == 1 {
            return Self::usage(wrong.remove(0));
        }
        Self::usage(format!(
            "{} settings do not fit:\n  {}",
            wrong.len(),
            wrong.join("\n  ")
        ))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<clerkwork_client::Error> for Failure {
    fn from(error: clerkwork_client::Error) -> Self {
        use clerkwork_client::Error;
        let exit = match &error {
            Error::NotFound(_) => Exit::NotFound,
            Error::Unauthorised(_) => Exit::Unauthorised,
            Error::Refused(_) | Error::Input(_) => Exit::Usage,
            Error::Unreachable { .. } => Exit::Unreachable,
            Error::Conflict(_) | Error::Unavailable(_) | Error::Unexpected(_) => Exit::Error,
        };
        let remedy = match exit {
            Exit::Unreachable => "; is the server running, and is --url right?",
            Exit::Unauthorised => "; give a key with --api-key or CLERKWORK_API_KEY",
            _ => "",
        };
        let is_general = matches!(
            error,
            Error::Unauthorised(_) | Error::Unreachable { .. } | Error::Unavailable(_)
        );
        Self {
            is_general,
            ..Self::new(exit, format!("{error}{remedy}"))
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::error(error.to_string())
    }
}
