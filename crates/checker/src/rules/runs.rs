//! When and how often jobs run, and who is told of their end.

use crate::check::{Rule, Rules, Violation};
use crate::event::{How, Status};
use crate::history::History;
use crate::trace::{Submitted, Trace};

pub(crate) fn check(history: &History, rules: &Rules, violations: &mut Vec<Violation>) {
    for (job, trace) in &history.jobs {
        let token = trace.token.as_ref();
        let submitted = token.and_then(|token| history.submitted.get(token));
        let broken = [
            (Rule::Once, once(rules, trace)),
            (Rule::StartedCancelled, cancelled(rules, trace, submitted)),
            (Rule::Early, early(rules, trace, submitted)),
            (Rule::Late, late(rules, trace, submitted)),
            (Rule::Untold, untold(rules, trace, submitted)),
        ];
        for (rule, what) in broken {
            if let Some(what) = what {
                let job = job.to_string();
                violations.push(Violation { rule, job, what });
            }
        }
    }
}

fn starts(trace: &Trace) -> impl Iterator<Item = i64> {
    trace.runs.iter().filter_map(|run| run.started_at)
}

fn once(rules: &Rules, trace: &Trace) -> Option<String> {
    let outcome = trace.outcome.as_ref().filter(|_| rules.once)?;
    let ended = |how| trace.runs.iter().filter(|run| run.how == Some(how)).count();
    let (good, failed) = (ended(How::Succeeded), ended(How::Failed));
    let (needed, right) = match outcome.status {
        Status::Succeeded => (failed + 1, good == 1),
        Status::Failed => (failed, good == 0),
        Status::Expired => (failed, good == 0),
        // It may have been running, or just so.
        _ => (trace.runs.len().min(failed + 1), true),
    };
    (!right || trace.runs.len() != needed).then(|| {
        format!(
            "{:?} after {} runs, of which {good} ended well and {failed} failed",
            outcome.status,
            trace.runs.len()
        )
    })
}

fn cancelled(rules: &Rules, trace: &Trace, submitted: Option<&Submitted>) -> Option<String> {
    let (grace, shown) = (rules.cancel_grace_ms?, trace.cancelled_at?);
    let not_due = submitted.is_some_and(|known| shown < known.invoked_at + known.terms.delay_ms);
    if not_due && let Some(at) = starts(trace).min() {
        return Some(format!(
            "was shown as cancelled at {shown}, before it was due, and started at {at}"
        ));
    }
    let at = starts(trace).find(|at| *at > shown + grace)?;
    Some(format!(
        "was shown as cancelled at {shown} and started at {at}"
    ))
}

fn early(rules: &Rules, trace: &Trace, submitted: Option<&Submitted>) -> Option<String> {
    let submitted = submitted.filter(|submitted| submitted.terms.delay_ms > 0)?;
    let due = submitted.invoked_at + submitted.terms.delay_ms;
    let at = starts(trace).find(|at| *at < due - rules.early_ms)?;
    Some(format!("was due at {due} at the earliest, started at {at}"))
}

fn late(rules: &Rules, trace: &Trace, submitted: Option<&Submitted>) -> Option<String> {
    let terms = &submitted?.terms;
    let deadline = trace.accepted_at? + terms.delay_ms + terms.start_within_ms?;
    let at = starts(trace)
        .min()
        .filter(|at| *at > deadline + rules.late_ms)?;
    Some(format!(
        "had to start by {deadline} and started first at {at}"
    ))
}

fn untold(rules: &Rules, trace: &Trace, submitted: Option<&Submitted>) -> Option<String> {
    let wanted = rules.webhooks && submitted?.terms.webhook;
    (wanted && trace.ended.is_some() && !trace.delivered)
        .then(|| "ended and its receiver was never called".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Status::{Cancelled, Expired, Failed, Succeeded};
    use crate::event::Submission;
    use crate::scene::Scene;

    fn once_only() -> Rules {
        Rules {
            once: true,
            ..Rules::default()
        }
    }

    fn late_by(delay_ms: i64, start_within_ms: Option<i64>) -> Submission {
        Submission {
            delay_ms,
            start_within_ms,
            ..Scene::terms("a")
        }
    }

    #[test]
    fn where_nothing_fails_a_job_runs_once() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.run(12..20, "j", "n");
        scene.read("one", 30..40, "j", Succeeded);
        assert_eq!(scene.broken(&once_only()), []);
        scene.run(13..21, "j", "m");
        assert_eq!(scene.broken(&Rules::default()), []);
        assert_eq!(scene.broken(&once_only()), [Rule::Once]);
        assert_eq!(scene.verdict(&once_only()).counts.duplicates, 1);
    }

    #[test]
    fn a_run_that_failed_and_was_retried_is_no_duplicate() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.run_ends(12..20, "j", "n", How::Failed);
        scene.run(30..40, "j", "m");
        scene.read("one", 50..60, "j", Succeeded);
        assert_eq!(scene.broken(&once_only()), []);
        assert_eq!(scene.verdict(&once_only()).counts.duplicates, 0);
    }

    #[test]
    fn a_job_that_failed_has_no_run_that_ended_well() {
        let mut scene = Scene::default();
        let terms = Submission {
            may_fail: true,
            ..Scene::terms("a")
        };
        scene.submitted(0..10, terms, "j");
        scene.run_ends(12..20, "j", "n", How::Failed);
        scene.read("one", 50..60, "j", Failed);
        assert_eq!(scene.broken(&once_only()), []);
        scene.run(14..22, "j", "m");
        assert_eq!(scene.broken(&once_only()), [Rule::Once]);
    }

    #[test]
    fn nothing_starts_later_than_a_second_after_it_was_shown_as_cancelled() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.read("one", 30..40, "j", Cancelled);
        scene.run(1_040..1_050, "j", "n");
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.run(1_041..1_050, "j", "m");
        assert_eq!(scene.broken(&Rules::default()), [Rule::StartedCancelled]);
        let deaf = Rules {
            cancel_grace_ms: None,
            ..Rules::default()
        };
        assert_eq!(scene.broken(&deaf), []);
    }

    #[test]
    fn a_job_that_was_cancelled_before_it_was_due_never_starts() {
        for (shown, broken) in [(5_000, vec![]), (4_999, vec![Rule::StartedCancelled])] {
            let mut scene = Scene::default();
            scene.submitted(0..10, late_by(5_000, None), "j");
            scene.read("one", 4_000..shown, "j", Cancelled);
            scene.run(5_001..5_002, "j", "n");
            assert_eq!(scene.broken(&Rules::default()), broken);
        }
    }

    #[test]
    fn no_job_starts_before_it_is_due() {
        for (start, broken) in [(4_950, vec![]), (4_949, vec![Rule::Early])] {
            let mut scene = Scene::default();
            scene.submitted(0..10, late_by(5_000, None), "j");
            scene.run(start..5_100, "j", "n");
            scene.read("one", 6_000..6_010, "j", Succeeded);
            assert_eq!(scene.broken(&Rules::default()), broken);
        }
    }

    #[test]
    fn no_job_starts_for_the_first_time_after_its_deadline() {
        let mut scene = Scene::default();
        scene.submitted(0..10, late_by(5_000, Some(2_000)), "j");
        scene.run(8_011..8_100, "j", "n");
        scene.read("one", 9_000..9_010, "j", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), [Rule::Late]);
        // A second start may be late.
        scene.run(8_010..8_100, "j", "m");
        assert_eq!(scene.broken(&Rules::default()), []);
    }

    #[test]
    fn an_expired_job_has_not_run() {
        let mut scene = Scene::default();
        scene.submitted(0..10, late_by(0, Some(2_000)), "j");
        scene.read("one", 3_000..3_010, "j", Expired);
        assert_eq!(scene.broken(&once_only()), []);
        scene.run(1_000..1_100, "j", "n");
        assert_eq!(scene.broken(&once_only()), [Rule::Once]);
    }

    #[test]
    fn whoever_asked_for_a_webhook_is_told() {
        let told = Rules {
            webhooks: true,
            ..Rules::default()
        };
        let mut scene = Scene::default();
        let terms = Submission {
            webhook: true,
            ..Scene::terms("a")
        };
        scene.submitted(0..10, terms, "j");
        scene.accepted(0..10, "b", "k");
        for (job, nonce) in [("j", "n"), ("k", "m")] {
            scene.run(12..20, job, nonce);
            scene.read("one", 30..40, job, Succeeded);
        }
        assert_eq!(scene.broken(&told), [Rule::Untold]);
        scene.webhook(50, Scene::view("j", Succeeded));
        assert_eq!(scene.broken(&told), []);
    }
}
