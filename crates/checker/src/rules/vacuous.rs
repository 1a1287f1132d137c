//! A history in which little happened proves nothing.

use crate::check::{Counts, Rule, Rules, Violation};
use crate::history::History;

pub(crate) fn check(
    history: &History,
    rules: &Rules,
    counts: &Counts,
    violations: &mut Vec<Violation>,
) {
    let mut violate = |what| {
        violations.push(Violation {
            rule: Rule::Vacuous,
            job: String::new(),
            what,
        });
    };
    if counts.accepted < rules.least_accepted {
        violate(format!(
            "{} jobs were accepted, {} were wanted",
            counts.accepted, rules.least_accepted
        ));
    }
    for (fault, [planned, fired, _]) in &history.faults {
        if *planned && !*fired {
            violate(format!("{fault} was planned and never fired"));
        }
    }
    if counts.fired < rules.least_faults {
        violate(format!(
            "{} faults fired, {} were wanted",
            counts.fired, rules.least_faults
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase::{Fired, Planned};
    use crate::event::Status::Succeeded;
    use crate::scene::Scene;

    #[test]
    fn few_accepted_jobs_prove_nothing() {
        let rules = Rules {
            least_accepted: 2,
            ..Rules::default()
        };
        let mut scene = Scene::default();
        for (token, job, nonce) in [("a", "j", "n"), ("b", "k", "m")] {
            let broken = scene.broken(&rules);
            assert_eq!(broken, [Rule::Vacuous]);
            scene.accepted(0..10, token, job);
            scene.run(12..20, job, nonce);
            scene.read("one", 30..40, job, Succeeded);
        }
        assert_eq!(scene.broken(&rules), []);
        // The same job again is not one more.
        assert_eq!(scene.verdict(&rules).counts.accepted, 2);
        scene.accepted(50..60, "a", "j");
        assert_eq!(scene.verdict(&rules).counts.accepted, 2);
    }

    #[test]
    fn a_planned_fault_fires() {
        let rules = Rules {
            least_faults: 1,
            ..Rules::default()
        };
        let mut scene = Scene::default();
        scene.fault(10, "kill clerk 1", Planned);
        assert_eq!(scene.broken(&rules), [Rule::Vacuous, Rule::Vacuous]);
        scene.fault(20, "kill clerk 1", Fired);
        assert_eq!(scene.broken(&rules), []);
    }
}
