//! The points at which tests kill a process: each is where it is said to be, and none is in a release.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clerkwork_faults::Point;
use clerkwork_tests::repository;

use crate::kill_matrix::{EMBEDDED, FLEET};

/// Where each point is reached, and nowhere else.
fn place(point: Point) -> &'static [&'static str] {
    use Point as P;
    match point {
        P::IntakeBeforeCommit => &["store/src/postgres/accept.rs", "store/src/sqlite/accept.rs"],
        P::IntakeAfterCommit | P::WatermarkBeforeWrite | P::WatermarkAfterWrite => {
            &["clerk/src/writer.rs"]
        }
        P::IntakeBefore202 => &["clerk/src/intake.rs"],
        P::DispatchBeforePublish | P::DispatchAfterConfirm => &["clerk/src/dispatcher.rs"],
        P::DispatchAfterPublish | P::WorkerAfterReplyPublish => &["broker/src/amqp/lane.rs"],
        P::WorkerAfterDelivery | P::WorkerAfterHeldAck => &["worker/src/runtime/lane.rs"],
        P::WorkerBeforeStart | P::WorkerAfterRun => &["worker/src/runtime/execute.rs"],
        P::WorkerAfterReplyConfirm | P::WorkerAfterAck => &["worker/src/runtime/replier.rs"],
        P::WorkerAfterHeldReport => &["worker/src/runtime/reporter.rs"],
        P::RecordAfterConsume | P::RecordAfterAck => &["clerk/src/recorder/replies.rs"],
        P::RecordBeforeCommit => &[
            "store/src/postgres/apply.rs",
            "store/src/postgres/success.rs",
            "store/src/sqlite/record.rs",
        ],
        P::RecordAfterCommit => &[
            "clerk/src/recorder/replies.rs",
            "clerk/src/recorder/successes.rs",
        ],
        P::SettleBeforeNotice => &["clerk/src/settler.rs"],
        P::SchedAfterClaim => &["clerk/src/scheduler.rs"],
        P::WebhookBeforeSend | P::WebhookAfterSend => &["clerk/src/webhooks/attempt.rs"],
    }
}

#[test]
fn every_point_is_reached_in_its_place_and_nowhere_else() {
    let mut sources = BTreeMap::new();
    read_sources(&repository().join("crates"), &mut sources);
    for &point in Point::ALL {
        let reached = format!("reach(Point::{point:?})");
        let places: Vec<_> = sources
            .iter()
            .filter(|(_, text)| text.contains(&reached))
            .map(|(path, _)| path.as_str())
            .filter(|path| !path.starts_with("faults/"))
            .collect();
        assert_eq!(places, place(point), "{point:?}");
    }
}

#[test]
fn every_point_is_in_the_kill_matrix() {
    // In memory a publish and its confirm are one step, and nothing is held.
    let only_in_a_fleet = [
        Point::DispatchAfterPublish,
        Point::WorkerAfterReplyPublish,
        Point::WorkerAfterHeldReport,
        Point::WorkerAfterHeldAck,
    ];
    for point in Point::ALL {
        let fleet = FLEET
            .iter()
            .any(|kills| kills.iter().any(|kill| kill.0 == *point));
        assert!(fleet, "{point:?} in a fleet");
        let embedded = EMBEDDED.iter().any(|kill| kill.0 == *point);
        assert_eq!(embedded, !only_in_a_fleet.contains(point), "{point:?}");
    }
}

#[test]
fn nothing_can_be_planted_in_a_release_build() {
    let crates = repository().join("crates/faults/src");
    let read = |name: &str| fs::read_to_string(crates.join(name)).unwrap();
    assert!(read("lib.rs").contains("pub const ARMED: bool = cfg!(debug_assertions);"));
    assert!(read("lib.rs").contains("if !ARMED {\n        return Ok(());"));
    assert!(read("defect.rs").contains("crate::ARMED && PLANTED"));
    assert!(read("point.rs").contains("crate::ARMED && PLAN"));
    let layers = fs::read_to_string(repository().join("crates/cli/src/layers.rs")).unwrap();
    assert!(layers.contains("if !ARMED {\n        return Ok(());"));
    assert!(layers.contains("PLAN.get().filter(|_| ARMED)"));
}

/// All sources below a folder, by their path in it.
fn read_sources(folder: &Path, sources: &mut BTreeMap<String, String>) {
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy();
                sources.insert(name.into_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
}
