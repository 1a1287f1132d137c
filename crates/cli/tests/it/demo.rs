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
        "clerkwork demo --keep",
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

#[test]
fn a_kept_demo_goes_on_where_its_curls_point() {
    let said = run(&["demo", "--keep"]);
    assert_eq!(said.code, 0, "{said:?}");
    let line = said.out.lines().find(|line| line.contains("To end it: "));
    let end = line.unwrap().trim_start_matches("To end it: ");
    let curl = said.out.lines().map(str::trim);
    let mut curls: Vec<_> = curl.filter(|line| line.starts_with("curl ")).collect();
    // The stream and the cancel are of jobs that have ended.
    curls.retain(|line| !line.contains("-N ") && !line.contains("/cancel"));
    let answer = |line: &&str| shell(&format!("{line} -sSf"));
    let answers: Vec<_> = curls.iter().map(answer).collect();
    assert!(shell(end), "{end}");
    assert!(curls.len() >= 4, "{}", said.out);
    assert!(answers.iter().all(|good| *good), "{curls:?}: {answers:?}");
}

fn shell(line: &str) -> bool {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", line]).stdout(std::process::Stdio::null());
    shell.status().unwrap().success()
}
