//! Simulated runs keep the promises and are the same each time.

use clerkwork_sim::run;

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in [3, 17, 1_028, 5_056, 20_019] {
        let (one, other) = (
            run(seed, None, true).unwrap(),
            run(seed, None, true).unwrap(),
        );
        let differs = one.trace.lines().iter().zip(other.trace.lines());
        let first = differs.into_iter().find(|(one, other)| one != other);
        assert_eq!(first, None, "seed {seed}");
        assert_eq!(one.trace.sum(), other.trace.sum(), "seed {seed}");
        assert_eq!(one.trace.steps(), other.trace.steps(), "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let (one, other) = (run(1, None, false).unwrap(), run(2, None, false).unwrap());
    assert_ne!(one.trace.sum(), other.trace.sum());
}

#[test]
fn seeds_keep_the_promises() {
    for seed in 0..30 {
        let report = run(seed, None, false).unwrap();
        assert!(report.wrong.is_empty(), "seed {seed}: {:#?}", report.wrong);
        assert!(report.counts.accepted > 0, "seed {seed} proves nothing");
    }
}
