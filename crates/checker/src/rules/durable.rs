//! Accepted is durable: no job is lost, unknown to a clerk that was asked later, or there unasked.

use crate::check::{Rule, Rules, Violation};
use crate::history::{History, bit};
use crate::trace::Trace;

pub(crate) fn check(history: &History, rules: &Rules, violations: &mut Vec<Violation>) {
    for (job, trace) in &history.jobs {
        let mut violate = |rule, what| {
            let job = job.to_string();
            violations.push(Violation { rule, job, what });
        };
        if let Some(what) = unasked(history, trace) {
            violate(Rule::Unasked, what);
        }
        if let Some(what) = lost(history, rules, trace) {
            violate(Rule::Lost, what);
        }
        if let Some(what) = unread(history, trace) {
            violate(Rule::ReadYourAccept, what);
        }
    }
}

fn unasked(history: &History, trace: &Trace) -> Option<String> {
    let Some(token) = &trace.token else {
        return Some("is nobody's".to_owned());
    };
    match history.submitted.get(token) {
        None => Some(format!("is {token}'s, which nobody submitted")),
        Some(submitted) if submitted.possible == 0 => {
            Some(format!("is {token}'s, whose every submission was refused"))
        }
        Some(_) => None,
    }
}

fn lost(history: &History, rules: &Rules, trace: &Trace) -> Option<String> {
    if !trace.is_known() {
        return None;
    }
    let accepted = trace.accepted_at.map_or_else(
        || "was shown".to_owned(),
        |at| format!("was accepted at {at}"),
    );
    if trace.ended.is_none() {
        return Some(format!("{accepted} and never shown as ended"));
    }
    let unread = rules.clerks.iter().filter(|clerk| {
        let node = history.nodes.iter().position(|node| node == *clerk);
        node.is_none_or(|node| trace.read_at_the_end & bit(node) == 0)
    });
    let unread: Vec<_> = unread.map(String::as_str).collect();
    let unread = unread.join(", ");
    (!unread.is_empty())
        .then(|| format!("{accepted} and not shown as ended by {unread} when all was over"))
}

fn unread(history: &History, trace: &Trace) -> Option<String> {
    let missing = trace.missing?;
    let known = [trace.accepted_at, trace.found.map(|found| found.at)];
    let known = known.into_iter().flatten().min()?;
    (missing.at > known).then(|| {
        let node = &history.nodes[missing.node];
        format!(
            "was known at {known}, and {node} knew none when asked at {}",
            missing.at
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::check::{Rule, Rules};
    use crate::event::Status::{Queued, Succeeded};
    use crate::scene::Scene;

    fn both() -> Rules {
        Rules {
            clerks: vec!["one".to_owned(), "two".to_owned()],
            ..Rules::default()
        }
    }

    #[test]
    fn an_accepted_job_that_never_ends_is_lost() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.read("one", 20..30, "j", Queued);
        assert_eq!(scene.broken(&Rules::default()), [Rule::Lost]);
        scene.run(40..50, "j", "n");
        scene.read("one", 60..70, "j", Succeeded);
        assert_eq!(scene.broken(&Rules::default()), []);
    }

    #[test]
    fn a_job_that_one_clerk_does_not_show_at_the_end_is_lost() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.run(40..50, "j", "n");
        scene.last("one", 60..70, "j", Succeeded);
        assert_eq!(scene.broken(&both()), [Rule::Lost]);
        scene.last("two", 80..90, "j", Succeeded);
        assert_eq!(scene.broken(&both()), []);
    }

    #[test]
    fn what_became_of_a_submission_may_stay_unknown_but_not_of_a_job_that_was_shown() {
        let mut scene = Scene::default();
        scene.unknown(0..10, "a");
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.read_token("one", 20..30, "j", "a", Queued);
        assert_eq!(scene.broken(&Rules::default()), [Rule::Lost]);
    }

    #[test]
    fn a_job_that_nobody_submitted_is_unasked() {
        let mut scene = Scene::default();
        scene.run_token(40..50, "j", "n", Some("b"));
        assert_eq!(scene.broken(&Rules::default()), [Rule::Unasked]);
        scene.unknown(0..10, "b");
        assert_eq!(scene.broken(&Rules::default()), []);
    }

    #[test]
    fn a_job_of_which_every_submission_was_refused_is_unasked() {
        let mut scene = Scene::default();
        scene.refused(0..10, "a");
        scene.run_token(40..50, "j", "n", Some("a"));
        assert_eq!(scene.broken(&Rules::default()), [Rule::Unasked]);
        scene.unknown(20..30, "a");
        assert_eq!(scene.broken(&Rules::default()), []);
    }

    #[test]
    fn a_clerk_that_knows_no_job_after_it_was_accepted_breaks_it() {
        let mut scene = Scene::default();
        scene.accepted(0..10, "a", "j");
        scene.run(12..14, "j", "n");
        scene.last("one", 60..70, "j", Succeeded);
        // Asked before the answer came: it may be so.
        scene.missing("two", 10..20, "j");
        assert_eq!(scene.broken(&Rules::default()), []);
        scene.missing("two", 11..20, "j");
        assert_eq!(scene.broken(&Rules::default()), [Rule::ReadYourAccept]);
    }
}
