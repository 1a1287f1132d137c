//! What tests of the parts begin with.

use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::{JobId, Spec, UnixMs};
use clerkwork_store::NewJob;

use crate::intake::Submission;

/// A job of this queue, accepted then.
pub(crate) fn job(queue: &str, then: UnixMs) -> NewJob {
    submission(queue).into_new_job(JobId::at(then), then)
}

/// What asks for such a job.
pub(crate) fn submission(queue: &str) -> Submission {
    Submission {
        tenant: "default".into(),
        queue: queue.parse().unwrap(),
        spec: Spec {
            tags: vec![],
            timeout_s: 60,
            start_within_s: None,
            max_attempts: 1,
            retry_delay_s: 1,
            webhook: None,
            trace: None,
        },
        delay: Duration::ZERO,
        input: Bytes::from_static(b"1"),
        input_type: clerkwork_core::public::JSON.to_owned(),
        key: None,
        retry_of: None,
        watch: false,
    }
}
