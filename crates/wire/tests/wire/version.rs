//! Versions of the contract.

use clerkwork_wire::HeaderValue;
use clerkwork_wire::v1::{Control, Job, Notice, Refused, Report, decode_replies};

use crate::fixture::read;

/// Why the golden message is refused if it says that it is of this version.
fn refusal(name: &str, version: impl Into<HeaderValue>) -> Option<Refused> {
    let mut envelope = read(name);
    envelope.headers.set("clerkwork-version", version);
    match name.split('-').next().unwrap() {
        "job" => Job::decode(&envelope).err(),
        "reply" | "replies" => decode_replies(&envelope).err(),
        "report" => Report::decode(&envelope).err(),
        "notice" => Notice::decode(&envelope).err(),
        _ => Control::decode(&envelope).err(),
    }
}

#[test]
fn a_message_of_a_higher_version_is_refused_by_number() {
    for name in crate::fixture::names() {
        assert_eq!(refusal(&name, 2), Some(Refused::Version(2)), "{name}");
        assert_eq!(refusal(&name, "3"), Some(Refused::Version(3)), "{name}");
    }
    let told = Refused::Version(2).to_string();
    assert_eq!(
        told,
        "version 2 of the wire contract is not known here; this is version 1"
    );
}

#[test]
fn a_message_that_says_version_1_is_of_version_1() {
    for name in crate::fixture::names() {
        assert_eq!(refusal(&name, 1), None, "{name}");
    }
}
