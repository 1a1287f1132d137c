//! The URIs of the problems that a request can meet.

/// Makes the URI of a problem of ours from its short name.
///
/// ```
/// assert_eq!(clerkwork_core::problem::urn("not-found"), "urn:clerkwork:problem:not-found");
/// ```
#[must_use]
pub fn urn(name: &str) -> String {
    format!("urn:clerkwork:problem:{name}")
}

/// The problem of a caller that is over its rate or its quota.
pub const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
