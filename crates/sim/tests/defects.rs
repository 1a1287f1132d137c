//! What is planted is found.

use std::process::Command;

/// Those that a few hundred seeds are enough for; docs/simulation.md names the others.
const SOON: [&str; 5] = [
    "notice-before-commit",
    "accept-before-commit",
    "last-wins",
    "lease-in-outage",
    "no-seal",
];

#[test]
fn a_planted_defect_is_found_within_six_hundred_seeds() {
    for defect in SOON {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clerkwork-sim"));
        command.args(["--from", "20160", "--seeds", "600", "--first"]);
        let output = command.args(["--defect", defect]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{defect}: {said}");
        assert!(said.contains(" seeds in "), "{defect}: {said}");
    }
}
