//! One outcome, which never changes, of which an execution tells.

use crate::check::{Rule, Violation};
use crate::event::{How, Status};
use crate::history::History;
use crate::trace::Trace;

pub(crate) fn check(history: &History, violations: &mut Vec<Violation>) {
    for (job, trace) in &history.jobs {
        let mut violate = |rule, what| {
            let job = job.to_string();
            violations.push(Violation { rule, job, what });
        };
        if let Some(what) = back(history, trace) {
            violate(Rule::StepBack, what);
        }
        if let Some(what) = no_such_run(trace) {
            violate(Rule::NoSuchRun, what);
        }
        if let Some(what) = failed_for_nothing(history, trace) {
            violate(Rule::FailedForNothing, what);
        }
    }
}

fn back(history: &History, trace: &Trace) -> Option<String> {
    let (ended, open) = (trace.ended?, trace.open?);
    (open.at > ended.at).then(|| {
        format!(
            "was shown as ended by {} at {}, and unfinished by {} when asked at {}",
            history.nodes[ended.node], ended.at, history.nodes[open.node], open.at
        )
    })
}

fn no_such_run(trace: &Trace) -> Option<String> {
    let outcome = trace.outcome.as_ref();
    let outcome = outcome.filter(|outcome| outcome.status == Status::Succeeded)?;
    let made = |nonce: &str| {
        trace.runs.iter().any(|run| {
            *run.nonce == *nonce && run.started_at.is_some() && run.how == Some(How::Succeeded)
        })
    };
    match &outcome.nonce {
        Some(nonce) if made(nonce) => None,
        Some(nonce) => Some(format!(
            "succeeded with the output of {nonce}, which is no run of it that ended well"
        )),
        None if trace.runs.iter().any(|run| run.started_at.is_some()) => None,
        None => Some("succeeded and was never run".to_owned()),
    }
}

fn failed_for_nothing(history: &History, trace: &Trace) -> Option<String> {
    let outcome = trace.outcome.as_ref();
    let outcome = outcome.filter(|outcome| outcome.status == Status::Failed)?;
    let submitted = history.submitted.get(trace.token.as_ref()?)?;
    (!submitted.terms.may_fail).then(|| format!("failed: {:?}", outcome.error))
}

#[cfg(test)]
mod tests {
    use crate::check::{Rule, Rules};
    use crate::event::Status::{Cancelled, Failed, Queued, Running, Succeeded};
    use crate::event::{Submission, View};
    use crate::scene::Scene;

    /// A job that has run and was shown by one clerk.
    fn ended() -> Scene {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.run(12..20, "j", "n");
        scene.read("one", 30..40, "j", Succeeded);
        scene
    }

    #[test]
    fn two_outcomes_of_a_job_are_one_too_many() {
        let mut scene = ended();
        scene.read("two", 50..60, "j", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.read("two", 70..80, "j", Cancelled);
        assert_eq!(scene.broken(&Rules::default()), [Rule::OneOutcome]);
    }

    #[test]
    fn an_outcome_that_another_run_made_is_another_outcome() {
        let mut scene = ended();
        scene.run(13..21, "j", "m");
        let view = |nonce: &str| View {
            nonce: Some(nonce.to_owned()),
            ..Scene::view("j", Succeeded)
        };
        scene.shown("one", 50..60, view("n"));
        scene.webhook(65, Scene::view("j", Succeeded));
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.webhook(70, view("m"));
        assert_eq!(scene.broken(&Rules::default()), [Rule::OneOutcome]);
    }

    #[test]
    fn a_job_that_was_shown_as_ended_is_never_shown_unfinished_to_who_asks_later() {
        let mut scene = ended();
        // Asked before the end was shown elsewhere.
        scene.read("two", 40..60, "j", Running);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.read("two", 41..60, "j", Running);
        assert_eq!(scene.broken(&Rules::default()), [Rule::StepBack]);
    }

    #[test]
    fn an_older_revision_is_never_shown_to_who_asks_later() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        let view = |rev| View {
            rev: Some(rev),
            ..Scene::view("j", Queued)
        };
        scene.shown("one", 20..30, view(3));
        scene.shown("two", 30..40, view(2));
        scene.run(41..42, "j", "n");
        scene.read("one", 50..60, "j", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.shown("two", 31..45, view(2));
        assert_eq!(scene.broken(&Rules::default()), [Rule::StepBack]);
    }

    #[test]
    fn a_stream_shows_nothing_after_the_end() {
        let mut scene = ended();
        scene.stream("two", 20..60, "j", &[Queued, Running, Succeeded]);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.stream("two", 20..60, "j", &[Queued, Succeeded, Running]);
        assert_eq!(scene.broken(&Rules::default()), [Rule::StepBack]);
    }

    #[test]
    fn a_success_names_a_run_of_its_own_job_that_ended_well() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.accepted(0..10, "b", "k");
        scene.run(12..20, "j", "n");
        scene.run(12..20, "k", "m");
        let view = |job: &str, nonce: &str| View {
            nonce: Some(nonce.to_owned()),
            ..Scene::view(job, Succeeded)
        };
        scene.shown("one", 30..40, view("j", "n"));
        scene.read("one", 30..40, "k", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.shown("one", 50..60, view("k", "n"));
        assert_eq!(scene.broken(&Rules::default()), [Rule::NoSuchRun]);
    }

    #[test]
    fn a_success_without_any_run_is_no_success() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.read("one", 30..40, "j", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), [Rule::NoSuchRun]);
    }

    #[test]
    fn a_run_has_its_whole_input_and_leaves_no_process() {
        let mut scene = ended();
        scene.bad_input(50, "j");
        assert_eq!(scene.broken(&Rules::default()), [Rule::BadInput]);
        scene.orphan(60, "j");
        let broken = scene.broken(&Rules::default());
        assert_eq!(broken, [Rule::BadInput, Rule::Orphan]);
    }

    #[test]
    fn a_job_that_nothing_makes_fail_does_not_fail() {
        let mut scene = Scene::default();
        let terms = Submission {
            may_fail: true,
            ..Scene::terms("a")
        };
        scene.submitted(0..10, terms, "j");
        scene.read("one", 30..40, "j", Failed);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.accepted(0..10, "b", "k");
        scene.read("one", 30..40, "k", Failed);
        assert_eq!(scene.broken(&Rules::default()), [Rule::FailedForNothing]);
    }

    #[test]
    fn one_idempotency_key_makes_one_job() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.accepted(11..15, "a", "j");
        scene.run(16..20, "j", "n");
        scene.read("one", 30..40, "j", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.accepted(70..80, "a", "k");
        scene.run(90..95, "k", "m");
        scene.read("one", 100..110, "k", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), [Rule::OneJob]);
    }
}
