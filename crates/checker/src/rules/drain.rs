//! Once everything is whole again, what is accepted ends in bounded time.

use crate::check::{Rule, Rules, Violation};
use crate::history::History;

pub(crate) fn check(history: &History, rules: &Rules, violations: &mut Vec<Violation>) {
    let (Some(bound), Some(healed)) = (rules.drain_ms, history.healed_at) else {
        return;
    };
    for (job, trace) in &history.jobs {
        let outcome = trace.outcome.as_ref();
        let Some(finished) = outcome.and_then(|outcome| outcome.finished_at) else {
            continue;
        };
        let token = trace.token.as_ref();
        let submitted = token.and_then(|token| history.submitted.get(token));
        let delay = submitted.map_or(0, |submitted| submitted.terms.delay_ms);
        let known = trace.accepted_at.or(trace.found.map(|found| found.at));
        let due = known.map(|known| known + delay);
        // A retry is put off after failures. What is due after its end is no reason to have waited.
        let retry = trace.due_at.filter(|due| *due <= finished);
        let from = due.max(retry).map_or(healed, |due| due.max(healed));
        if finished > from + bound {
            violations.push(Violation {
                rule: Rule::Drain,
                job: job.to_string(),
                what: format!(
                    "ended {} ms after all was whole and it was due",
                    finished - from
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Status::Succeeded;
    use crate::event::{Submission, View};
    use crate::scene::Scene;

    #[test]
    fn a_job_ends_within_the_bound_once_all_is_whole_and_it_is_due() {
        let rules = Rules {
            drain_ms: Some(1_000),
            ..Rules::default()
        };
        for (finished_at, broken) in [(3_010, vec![]), (3_011, vec![Rule::Drain])] {
            let mut scene = Scene::default();
            let terms = Submission {
                delay_ms: 2_000,
                ..Scene::terms("a")
            };
            scene.submitted(0..10, terms, "j");
            scene.healed(500);
            scene.run(2_100..2_200, "j", "n");
            let view = View {
                finished_at: Some(finished_at),
                ..Scene::view("j", Succeeded)
            };
            scene.shown("one", 4_000..4_010, view);
            assert_eq!(scene.broken(&rules), broken);
            assert_eq!(
                scene.verdict(&rules).counts.drain_ms,
                finished_at - 500,
                "it is measured from the healing"
            );
        }
    }

    #[test]
    fn a_job_whose_retry_was_put_off_ends_within_the_bound_once_that_is_due() {
        let rules = Rules {
            drain_ms: Some(1_000),
            ..Rules::default()
        };
        let put_off = |due_at, finished_at| {
            let mut scene = Scene::default();
            scene.submitted(0..10, Scene::terms("a"), "j");
            scene.healed(500);
            scene.run(2_100..2_200, "j", "n");
            let view = View {
                due_at: Some(due_at),
                finished_at: Some(finished_at),
                ..Scene::view("j", Succeeded)
            };
            scene.shown("one", 9_000..9_010, view);
            scene.broken(&rules)
        };
        assert_eq!(put_off(2_000, 3_000), []);
        assert_eq!(put_off(2_000, 3_001), [Rule::Drain]);
        assert_eq!(
            put_off(8_000, 3_000),
            [Rule::Drain],
            "it did not wait for that"
        );
    }
}
