//! `submit --wait` on a terminal: the job is followed live, on standard error.

use serde_json::Value;

use crate::stand_in::{Answer, ID, job, standing_in};
use crate::support::{Dev, Said, on_terminal};

/// Submits on a terminal; what the terminal showed, and what went into the file of `> $OUT`.
fn submit(dev: &Dev, words: &str) -> (Said, String) {
    let out = dev.folder().join("out");
    let environment = [
        ("CLERKWORK_URL", dev.url.as_str()),
        ("OUT", out.to_str().unwrap()),
    ];
    let said = on_terminal(&format!("clerkwork submit {words}"), &environment);
    (said, std::fs::read_to_string(out).unwrap_or_default())
}

/// What a terminal still shows when its last line was cleared.
fn left(said: &Said) -> &str {
    let left = said.out.rsplit("\x1b[2K").next().unwrap();
    left.trim_start_matches('\r').trim()
}

#[test]
fn on_a_terminal_submit_wait_shows_live_progress_and_only_the_output_is_data() {
    let dev = Dev::start();
    let (said, out) = submit(&dev, "paint '\"abc\"' --wait=20 > $OUT");
    assert_eq!((said.code, out.as_str()), (0, "\"ABC\""), "{said:?}");
    // Which of the pages is shown is a matter of time.
    assert!(
        said.out.contains(" of 3") && said.out.contains("###"),
        "{said:?}"
    );
    assert_eq!(left(&said), "", "the bar is gone: {said:?}");

    let (said, out) = submit(&dev, "paint '\"abc\"' --wait=20 -o json > $OUT");
    let job: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (job["status"].as_str(), job["output"].as_str()),
        (Some("succeeded"), Some("ABC"))
    );
    assert!(said.out.contains(" of 3"), "{said:?}");
}

#[test]
fn an_output_too_large_for_events_comes_whole_from_a_submission_that_was_followed() {
    let dev = Dev::start();
    let file = dev.folder().join("large");
    std::fs::write(&file, "abc ".repeat(50_000)).unwrap();
    let (said, out) = submit(&dev, &format!("paint @{} --wait=20 > $OUT", file.display()));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(out == "ABC ".repeat(50_000), "{} bytes", out.len());
}

#[test]
fn no_progress_and_a_standard_error_that_is_no_terminal_show_nothing_live() {
    let dev = Dev::start();
    let (said, _) = submit(&dev, "paint '\"abc\"' --wait=20 --no-progress");
    assert_eq!((said.code, said.out.trim()), (0, "\"ABC\""));
    let (said, err) = submit(&dev, "paint '\"abc\"' --wait=20 2> $OUT");
    assert_eq!((said.code, said.out.trim()), (0, "\"ABC\""));
    assert!(err.contains("submitted") && !err.contains("page"), "{err}");
    assert!(!err.contains('\x1b'), "{err}");
}

#[test]
fn the_exit_code_of_a_submission_that_was_followed_tells_how_the_job_ended() {
    let dev = Dev::start();
    let (said, out) = submit(&dev, "stumble 1 --max-attempts 1 --wait=20 > $OUT");
    assert_eq!((said.code, out.as_str()), (3, ""), "{said:?}");
    assert!(left(&said).contains("failed"), "{said:?}");
    let (said, out) = submit(&dev, "linger 1 --wait=1 > $OUT");
    assert_eq!(said.code, 5, "{said:?}");
    assert!(
        left(&said).contains(&format!("clerkwork wait {}", out.trim())),
        "{said:?}"
    );
    assert_eq!(dev.run(&["cancel", out.trim()]).code, 0);
}

#[test]
fn where_the_stream_cannot_be_had_submit_wait_only_waits() {
    let full = r#"{"type":"urn:x","title":"Too many streams","status":429}"#;
    for (status, body) in [
        (404, "<html>what is this?</html>"),
        (429, full),
        (200, "{}"),
    ] {
        let url = standing_in(move |method, path| {
            if method == "POST" {
                Answer::json(202, job("queued"))
            } else if path.ends_with("/events") {
                Answer::json(status, body)
            } else if path.ends_with("/output") {
                Answer::json(200, "\"done\"")
            } else {
                Answer::json(200, job("succeeded"))
            }
        });
        let line = format!("clerkwork submit q 1 --wait=30 --url {url}");
        let said = on_terminal(&line, &[]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains(&format!("{ID} submitted")), "{said:?}");
        assert!(said.out.contains("only waited for"), "{said:?}");
        assert!(said.out.trim().ends_with("\"done\""), "{said:?}");
    }
}
