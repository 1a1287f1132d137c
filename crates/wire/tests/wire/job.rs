//! The message `job`.

use clerkwork_wire::v1::{Job, Refused};
use proptest::prelude::*;

use crate::fixture::read;
use crate::samples::jobs;

proptest! {
    #[test]
    fn a_job_is_read_as_it_was_written(job in jobs()) {
        prop_assert_eq!(Job::decode(&job.clone().encode()), Ok(job));
    }
}

#[test]
fn headers_that_nobody_knows_are_ignored() {
    let mut envelope = read("job");
    let before = Job::decode(&envelope);
    envelope.headers.set("x-death", "whatever");
    envelope.headers.set("priority", 9);
    assert_eq!(Job::decode(&envelope), before);
}

#[test]
fn a_job_that_nobody_could_answer_is_refused_by_name() {
    for name in ["message_id", "correlation_id", "reply_to"] {
        let mut envelope = read("job");
        match name {
            "message_id" => envelope.message_id = None,
            "correlation_id" => envelope.correlation_id = None,
            _ => envelope.reply_to = None,
        }
        let refused = Refused::Malformed(format!("a job without {name}"));
        assert_eq!(Job::decode(&envelope), Err(refused));
    }
}

#[test]
fn a_header_of_another_kind_counts_as_absent() {
    let mut envelope = read("job-with-everything");
    envelope.headers.set("timeout-ms", "soon");
    envelope.headers.set("start-by", true);
    envelope.headers.set("traceparent", 7);
    let job = Job::decode(&envelope).unwrap();
    assert_eq!(
        (job.timeout_ms, job.start_by, job.trace),
        (600_000, None, None)
    );
    envelope.headers.set("timeout-ms", -5);
    assert_eq!(Job::decode(&envelope).unwrap().timeout_ms, 600_000);
    envelope.headers.set("timeout-ms", "250");
    assert_eq!(Job::decode(&envelope).unwrap().timeout_ms, 250);
}

#[test]
fn the_message_id_tells_the_job_and_the_attempt() {
    let mut job = Job::decode(&read("job")).unwrap();
    assert_eq!(
        job.names(),
        Some(("019ab0a2-0700-7776-bb8c-9c806374fd9a", 1))
    );
    for strange in ["", "a", "a:", "a:b", "a:-1", "a:4294967296"] {
        strange.clone_into(&mut job.message_id);
        assert_eq!(job.names(), None, "{strange}");
    }
}
