//! The kinds of problems: their statuses, names and titles.

use axum::http::StatusCode;

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It cannot be read.
    MalformedRequest,
    /// There is nothing here, or nothing that the caller may see.
    NotFound,
    /// Nobody declared the queue.
    UnknownQueue,
    /// The path is right, the method is not.
    MethodNotAllowed,
    /// The body came too slowly.
    RequestTimeout,
    /// The job is not done.
    NotDone,
    /// The job is done and has no output.
    NoOutput,
    /// The job is done in a way that needs no retry.
    NotRetryable,
    /// It is larger than allowed.
    ContentTooLarge,
    /// The URL is longer than allowed.
    UriTooLong,
    /// It is of a kind that is not taken here.
    UnsupportedMediaType,
    /// It can be read, and does not fit.
    InvalidRequest,
    /// The idempotency key was used for something else.
    KeyReused,
    /// The headers are larger than allowed.
    HeadersTooLarge,
    /// A bug of ours.
    Internal,
    /// The queue has its most unfinished jobs.
    QueueFull,
    /// Nothing was done.
    Unavailable,
    /// It may or may not have been done.
    OutcomeUnknown,
}

impl Kind {
    /// Its status, the end of its URI, and its title.
    pub(crate) fn words(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => (
                S::BAD_REQUEST,
                "malformed-request",
                "The request cannot be read",
            ),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is nothing here"),
            Self::UnknownQueue => (S::NOT_FOUND, "unknown-queue", "The queue is not known"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The method is not allowed here",
            ),
            Self::RequestTimeout => (
                S::REQUEST_TIMEOUT,
                "request-timeout",
                "The request came too slowly",
            ),
            Self::NotDone => (S::CONFLICT, "not-done", "The job is not done"),
            Self::NoOutput => (S::CONFLICT, "no-output", "The job has no output"),
            Self::NotRetryable => (S::CONFLICT, "not-retryable", "The job cannot be retried"),
            Self::ContentTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                "content-too-large",
                "The content is too large",
            ),
            Self::UriTooLong => (S::URI_TOO_LONG, "uri-too-long", "The URL is too long"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The media type is not supported",
            ),
            Self::InvalidRequest => (
                S::UNPROCESSABLE_ENTITY,
                "invalid-request",
                "The request does not fit",
            ),
            Self::KeyReused => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key was used before",
            ),
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The headers are too large",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong here",
            ),
            Self::QueueFull => (S::SERVICE_UNAVAILABLE, "queue-full", "The queue is full"),
            Self::Unavailable => (
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "Not available for the moment",
            ),
            Self::OutcomeUnknown => (
                S::SERVICE_UNAVAILABLE,
                "outcome-unknown",
                "The outcome is not known",
            ),
        }
    }

    /// Whether what the client still sends is not worth reading.
    pub(crate) fn ends_the_connection(self) -> bool {
        matches!(
            self,
            Self::RequestTimeout | Self::ContentTooLarge | Self::UriTooLong | Self::HeadersTooLarge
        )
    }
}
