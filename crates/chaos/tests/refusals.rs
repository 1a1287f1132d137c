//! What the command cannot run is said at once. For these tests Cargo builds the command, which the end-to-end tests start.

use std::process::Command;

#[test]
fn what_cannot_be_run_is_said_before_anything_is_started() {
    let cases = [
        (["--profile", "kill-clarks"], "kill-clerks"),
        (["--defect", "no-fenc"], "no-fence"),
        (["--clerks", "0"], "1..=9"),
    ];
    for (arguments, words) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clerkwork-chaos"));
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
