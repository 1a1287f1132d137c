//! What a handler says when it fails.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use clerkwork_core::{Failure, Retry};
use serde::Serialize;
use serde_json::value::RawValue;

/// Why an attempt failed, and whether another may mend it.
///
/// Any standard error becomes one with `?`, and is retried by the job's own policy.
///
/// ```
/// use std::time::Duration;
/// use clerkwork_worker::JobError;
///
/// fn parse(text: &str) -> Result<u32, JobError> {
///     Ok(text.parse()?) // retried by policy
/// }
/// assert!(parse("x").is_err());
/// JobError::fatal("the page is blank"); // never retried
/// JobError::retry_after("the partner is busy", Duration::from_secs(30));
/// ```
///
/// It is not itself a [`std::error::Error`]: then the conversion from all others would be ambiguous.
#[derive(Clone)]
pub struct JobError {
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    data: Option<Box<RawValue>>,
    retry: Retry,
}

impl JobError {
    /// A failure that is retried by the job's policy.
    pub fn new(detail: impl Display) -> Self {
        Self {
            kind: None,
            title: None,
            detail: Some(cut(&format!("{detail:#}"))),
            data: None,
            retry: Retry::Policy,
        }
    }

    /// A failure that no further attempt can mend.
    pub fn fatal(detail: impl Display) -> Self {
        Self {
            retry: Retry::Never,
            ..Self::new(detail)
        }
    }

    /// A failure to be retried after `delay` rather than the job's own, if attempts are left.
    pub fn retry_after(detail: impl Display, delay: Duration) -> Self {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self {
            retry: Retry::AfterMs(ms),
            ..Self::new(detail)
        }
    }

    /// Names the kind of failure by a URI.
    #[must_use]
    pub fn with_type(mut self, uri: impl Into<String>) -> Self {
        self.kind = Some(uri.into());
        self
    }

    /// Names the kind of failure in a few words.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Says what happened this time; at most 8 KiB are kept.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Display) -> Self {
        self.detail = Some(cut(&detail.to_string()));
        self
    }

    /// Adds data for programs, any JSON of at most 16 KiB; what is larger, or no JSON, is left out.
    #[must_use]
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        let raw = serde_json::value::to_raw_value(&data).ok();
        self.data = raw.filter(|raw| raw.get().len() <= Failure::MAX_DATA);
        self
    }

    /// Whether another attempt may follow.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// What happened, in words.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Sets whether another attempt may follow.
    pub(crate) fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The failure as it is recorded.
    pub(crate) fn into_failure(self, attempt: u32) -> Failure {
        let kind = self.kind.as_deref().unwrap_or(Failure::HANDLER_ERROR);
        let mut failure = Failure::new(kind, self.detail, attempt);
        if let Some(title) = self.title {
            failure.title = title;
        }
        failure.data = self.data;
        failure
    }
}

impl<E> From<E> for JobError
where
    E: std::error::Error + Send + Sync + 'static,
{
    fn from(error: E) -> Self {
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a String cannot fail.
            let _ = write!(detail, ": {cause}");
            source = cause.source();
        }
        Self::new(detail)
    }
}

impl Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or("the attempt failed"))
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobError({self}, {:?})", self.retry)
    }
}

fn cut(detail: &str) -> String {
    detail[..detail.floor_char_boundary(Failure::MAX_DETAIL)].to_owned()
}
