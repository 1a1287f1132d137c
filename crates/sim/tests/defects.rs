//! What is planted is found.

use std::process::Command;

/// Each defect that a simulation can show, and the kind of run that is most likely to show it; docs/simulation.md names
/// the others.
const FOUND: [(&str, &str); 11] = [
    ("accept-before-commit", "storm"),
    ("ack-before-confirm", "workers"),
    ("deadline-hides-loss", "purge"),
    ("last-wins", "store"),
    ("lease-in-outage", "deaf"),
    ("mismatch-stops-all", "deaf"),
    ("no-seal", "network"),
    ("no-watermark", "clerks"),
    ("notice-before-commit", "store"),
    ("refused-is-away", "store"),
    ("return-raises-margin", "purge"),
];

#[test]
fn a_planted_defect_is_found_within_two_hundred_seeds() {
    for (defect, kind) in FOUND {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clerkwork-sim"));
        command.args(["--from", "20000", "--seeds", "200", "--first"]);
        command.args(["--kind", kind, "--defect", defect]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{defect}: {said}");
        assert!(said.contains(" seeds in "), "{defect}: {said}");
    }
}

#[test]
fn a_kind_that_there_is_not_is_refused_with_those_that_there_are() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clerkwork-sim"));
    let output = command.args(["--kind", "calmer"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("calm, network, deaf"), "{said}");
}
