//! The kinds of problems: their statuses, names and titles.

use axum::http::StatusCode;
use clerkwork_core::problem;

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It cannot be read.
    MalformedRequest,
    /// There is no key, or none that is good.
    Unauthenticated,
    /// The key is good, and not for this.
    Forbidden,
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
    /// The job was submitted without a webhook.
    NoWebhook,
    /// The broker has the queue with other arguments.
    QueueMismatch,
    /// The broker refuses to make the queue.
    QueueRefused,
    /// The queue has jobs that are not done.
    QueueNotEmpty,
    /// It is larger than allowed.
    ContentTooLarge,
    /// The URL is longer than allowed.
    UriTooLong,
    /// It is of a kind that is not taken here.
    UnsupportedMediaType,
    /// Only a WebSocket is served here.
    UpgradeRequired,
    /// It can be read, and does not fit.
    InvalidRequest,
    /// The idempotency key was used for something else.
    KeyReused,
    /// More was asked for than the caller may.
    QuotaExceeded,
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
    /// Its HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => S::BAD_REQUEST,
            Self::Unauthenticated => S::UNAUTHORIZED,
            Self::Forbidden => S::FORBIDDEN,
            Self::NotFound | Self::UnknownQueue => S::NOT_FOUND,
            Self::MethodNotAllowed => S::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => S::REQUEST_TIMEOUT,
            Self::NotDone | Self::NoOutput | Self::NotRetryable | Self::NoWebhook => S::CONFLICT,
            Self::QueueMismatch | Self::QueueRefused | Self::QueueNotEmpty => S::CONFLICT,
            Self::ContentTooLarge => S::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => S::URI_TOO_LONG,
            Self::UnsupportedMediaType => S::UNSUPPORTED_MEDIA_TYPE,
            Self::UpgradeRequired => S::UPGRADE_REQUIRED,
            Self::InvalidRequest | Self::KeyReused => S::UNPROCESSABLE_ENTITY,
            Self::QuotaExceeded => S::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal => S::INTERNAL_SERVER_ERROR,
            Self::QueueFull | Self::Unavailable | Self::OutcomeUnknown => S::SERVICE_UNAVAILABLE,
        }
    }

    /// The end of its URI.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::UnknownQueue => "unknown-queue",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::NotDone => "not-done",
            Self::NoOutput => "no-output",
            Self::NotRetryable => "not-retryable",
            Self::NoWebhook => "no-webhook",
            Self::QueueMismatch => "queue-mismatch",
            Self::QueueRefused => "queue-refused",
            Self::QueueNotEmpty => "queue-not-empty",
            Self::ContentTooLarge => "content-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::UpgradeRequired => "upgrade-required",
            Self::InvalidRequest => "invalid-request",
            Self::KeyReused => "idempotency-key-reused",
            Self::QuotaExceeded => "quota-exceeded",
            Self::HeadersTooLarge => "headers-too-large",
            Self::Internal => "internal",
            Self::QueueFull => "queue-full",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome-unknown",
        }
    }

    /// Its URI: ours, but for what everybody calls alike.
    pub(crate) fn uri(self) -> String {
        match self {
            Self::QuotaExceeded => {
                "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned()
            }
            _ => problem::urn(self.name()),
        }
    }

    /// What it is in a few words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request cannot be read",
            Self::Unauthenticated => "An API key is needed",
            Self::Forbidden => "This is not allowed",
            Self::NotFound => "There is nothing here",
            Self::UnknownQueue => "The queue is not known",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::RequestTimeout => "The request came too slowly",
            Self::NotDone => "The job is not done",
            Self::NoOutput => "The job has no output",
            Self::NotRetryable => "The job cannot be retried",
            Self::NoWebhook => "The job has no webhook",
            Self::QueueMismatch => "The queue exists with other arguments",
            Self::QueueRefused => "The broker refuses the queue",
            Self::QueueNotEmpty => "The queue has unfinished jobs",
            Self::ContentTooLarge => "The content is too large",
            Self::UriTooLong => "The URL is too long",
            Self::UnsupportedMediaType => "The media type is not supported",
            Self::UpgradeRequired => "Only a WebSocket is served here",
            Self::InvalidRequest => "The request does not fit",
            Self::KeyReused => "The idempotency key was used before",
            Self::QuotaExceeded => "A quota is used up",
            Self::HeadersTooLarge => "The headers are too large",
            Self::Internal => "Something went wrong here",
            Self::QueueFull => "The queue is full",
            Self::Unavailable => "Not available for the moment",
            Self::OutcomeUnknown => "The outcome is not known",
        }
    }

    /// What it means, as the end of "it means that".
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::MalformedRequest => {
                "the body is no JSON, or a query parameter, a cursor or a key cannot be read"
            }
            Self::Unauthenticated => "there is no key, or none that is known and not revoked",
            Self::Forbidden => {
                "the key is good, and its role or its queues do not allow this; or there are no keys, and a web page of a stranger asks"
            }
            Self::QuotaExceeded => "`violated-policies` says of what; go on after `Retry-After`",
            Self::NotFound => "there is no such job, or none that you may see",
            Self::UnknownQueue => "nobody declared the queue",
            Self::MethodNotAllowed => "`Allow` says which methods work here",
            Self::RequestTimeout => "the body took longer than 30 s",
            Self::NotDone => "the job is not done",
            Self::NoOutput => "the job is done and has no output",
            Self::NotRetryable => "the job succeeded",
            Self::NoWebhook => "the job was submitted without a webhook",
            Self::QueueMismatch => {
                "the broker has the queue with other arguments, which `detail` names"
            }
            Self::QueueRefused => "the broker refuses to make the queue; `detail` says why",
            Self::QueueNotEmpty => "the queue has jobs that are not done, so it is not deleted",
            Self::ContentTooLarge => "more than `limit_bytes` were sent",
            Self::UriTooLong => "the URL is longer than 8 KiB",
            Self::UnsupportedMediaType => "the body is of a media type or coding not taken here",
            Self::UpgradeRequired => "connect by WebSocket",
            Self::InvalidRequest => "`errors` says what does not fit",
            Self::KeyReused => {
                "the key was used for another request, or the job that it stood for was deleted"
            }
            Self::HeadersTooLarge => "the headers are larger than 16 KiB",
            Self::Internal => "a bug of ours",
            Self::QueueFull => "the queue has its most unfinished jobs; nothing was accepted",
            Self::Unavailable => "nothing was done; try again after `Retry-After`",
            Self::OutcomeUnknown => {
                "it may or may not have been done; repeat a submission with the same \
                 `Idempotency-Key`"
            }
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
