//! What can go wrong with a request, typed by what the caller can do about it.

use std::fmt;

use serde::Deserialize;

/// Why a request could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such job or queue, or it is not ours.
    #[error("{0}")]
    NotFound(Box<Problem>),
    /// The key is missing, unknown or revoked, or may not do this.
    #[error("{0}")]
    Unauthorised(Box<Problem>),
    /// The request does not fit: it must be changed.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The job's state forbids it.
    #[error("{0}")]
    Conflict(Box<Problem>),
    /// The server cannot do it now, and could not for as long as the client was patient.
    #[error("{0}")]
    Unavailable(Box<Problem>),
    /// The server does not answer.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// The network's words.
        reason: String,
    },
    /// Something answered that does not speak our contract.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// What was given to the client does not fit; says what to do.
    #[error("{0}")]
    Input(String),
}

impl Error {
    /// The problem that the server named, if it named one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::NotFound(problem)
            | Self::Unauthorised(problem)
            | Self::Refused(problem)
            | Self::Conflict(problem)
            | Self::Unavailable(problem) => Some(problem),
            Self::Unreachable { .. } | Self::Unexpected(_) | Self::Input(_) => None,
        }
    }

    pub(crate) fn of(problem: Problem) -> Self {
        let problem = Box::new(problem);
        match problem.status {
            404 => Self::NotFound(problem),
            401 | 403 => Self::Unauthorised(problem),
            409 => Self::Conflict(problem),
            408 | 429 | 500.. => Self::Unavailable(problem),
            _ => Self::Refused(problem),
        }
    }
}

/// A problem as the server describes it (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is the matter this time.
    #[serde(default)]
    pub detail: Option<String>,
    /// `urn:uuid:` and the id of the request, for whoever reads the server's log.
    #[serde(default)]
    pub instance: Option<String>,
    /// The parts of the request that do not fit.
    #[serde(default)]
    pub errors: Vec<FieldError>,
}

/// One part of a request that does not fit.
#[derive(Clone, Debug, Deserialize)]
pub struct FieldError {
    /// Where: a JSON pointer into the request.
    #[serde(default)]
    pub pointer: Option<String>,
    /// What does not fit.
    pub detail: String,
}

impl Problem {
    /// Whether it is the problem of ours with this short name, `unknown-queue` say.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.kind == clerkwork_core::problem::urn(name)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        // One error is what the detail says already.
        if self.errors.len() > 1 {
            for error in &self.errors {
                let pointer = error.pointer.as_deref().unwrap_or("");
                write!(f, "\n  {pointer} {}", error.detail)?;
            }
        }
        Ok(())
    }
}
