//! Whatever arrives, reading it does not panic.

use clerkwork_wire::v1::{Control, Job, Notice, Report, decode_replies, detect};
use proptest::prelude::*;

use crate::samples::envelopes;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn reading_any_message_never_panics_and_what_is_read_can_be_written(envelope in envelopes()) {
        if let Ok(job) = Job::decode(&envelope) {
            prop_assert_eq!(Job::decode(&job.clone().encode()), Ok(job));
        }
        if let Ok(packed) = decode_replies(&envelope) {
            for reply in packed.replies {
                let again = decode_replies(&reply.clone().encode()).map(|packed| packed.replies);
                prop_assert_eq!(again, Ok(vec![reply.clone()]));
                let _ = reply.outcome(1);
            }
        }
        if let Ok(report) = Report::decode(&envelope) {
            prop_assert!(Report::decode(&report.encode()).is_ok());
        }
        if let Ok(notice) = Notice::decode(&envelope) {
            prop_assert!(Notice::decode(&notice.encode()).is_ok());
        }
        if let Ok(control) = Control::decode(&envelope) {
            prop_assert_eq!(Control::decode(&control.encode()), Ok(control));
        }
        prop_assert!(!detect(&envelope.body).is_empty());
    }
}
