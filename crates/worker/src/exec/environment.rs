//! What a command sees of the worker's environment, and what it is told of its attempt.

use std::ffi::{OsStr, OsString};

use crate::call::Call;

/// What is let through, beside `LC_*`.
const ALLOWED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// The part of the worker's environment that is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What this process has of what is allowed and of `more`.
    pub(super) fn of_this_process(more: &[String]) -> Self {
        Self::of(std::env::vars_os(), more)
    }

    fn of(all: impl Iterator<Item = (OsString, OsString)>, more: &[String]) -> Self {
        let is_allowed = |name: &OsStr| {
            ALLOWED.iter().any(|allowed| name == *allowed)
                || more.iter().any(|allowed| name == allowed.as_str())
                || name.to_str().is_some_and(|name| name.starts_with("LC_"))
        };
        Self(all.filter(|(name, _)| is_allowed(name)).collect())
    }

    /// The environment of one attempt.
    pub(super) fn of_attempt(&self, call: &Call) -> Vec<(OsString, OsString)> {
        let mut all = self.0.clone();
        let told = [
            ("CLERKWORK_JOB_ID", call.job.to_string()),
            ("CLERKWORK_ATTEMPT", call.attempt.to_string()),
            ("CLERKWORK_QUEUE", call.queue.as_ref().to_owned()),
            ("CLERKWORK_DEADLINE_MS", call.deadline.0.to_string()),
        ];
        all.extend(told.map(|(name, value)| (name.into(), value.into())));
        // A trace that could not be an environment variable cannot be a trace either.
        let trace = call.trace.as_ref().map(|trace| &trace.parent);
        if let Some(parent) = trace.filter(|parent| !parent.contains('\0')) {
            all.push(("TRACEPARENT".into(), parent.into()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_are_let_through() {
        let all = [
            "PATH",
            "LC_ALL",
            "LCX",
            "LD_PRELOAD",
            "AMQP_URL",
            "MINE",
            "HOME2",
            "TZ",
        ];
        let all = all.map(|name| (OsString::from(name), OsString::from("x")));
        let Environment(seen) = Environment::of(all.into_iter(), &["MINE".to_owned()]);
        let names: Vec<_> = seen
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["PATH", "LC_ALL", "MINE", "TZ"]);
    }
}
