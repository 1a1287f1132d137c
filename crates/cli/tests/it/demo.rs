//! The demo.

use crate::support::run;

#[test]
fn the_demo_exits_with_0_when_every_answer_was_right_and_leaves_nothing_behind() {
    let said = run(&["demo"]);
    assert_eq!(said.code, 0, "{said:?}");
    for station in [
        "long-wait",
        "Polled",
        "Followed live",
        "page 3 of 3",
        "Retried",
        "Cancelled",
        "kill -9",
        "curl",
    ] {
        assert!(
            said.out.contains(station),
            "{station} is not in {}",
            said.out
        );
    }
    let folder = said
        .out
        .lines()
        .find_map(|line| line.strip_prefix("Its record: "))
        .unwrap();
    assert!(!std::path::Path::new(folder).exists());
}
