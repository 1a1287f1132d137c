//! Jobs followed live: what a command tells reaches whoever follows, at any clerk.

use std::time::Duration;

use clerkwork_tests::{Api, Kind, System};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

clerkwork_tests::claims! {
    what_a_command_tells_reaches_a_stream_in_order_and_before_the_end,
}

/// No event is waited for longer than this.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Stream {
    answer: Response,
    rest: String,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Stream {
    pub(crate) async fn open(api: &Api, job: impl ToString, after: Option<&str>) -> Self {
        let path = format!("/jobs/{}/events", job.to_string());
        let mut request = api.request(Method::GET, &path);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self {
            answer,
            rest: String::new(),
        }
    }

    /// The next event; `None` where the stream ends or breaks off.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let block = block.to_owned();
                self.rest = rest.to_owned();
                let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(id), Some(event), Some(data)) =
                    (line("id: "), line("event: "), line("data: "))
                {
                    return Some(Seen {
                        id: id.to_owned(),
                        event: event.to_owned(),
                        data: serde_json::from_str(data).unwrap(),
                    });
                }
                continue;
            }
            let piece = timeout(LIMIT, self.answer.chunk()).await.unwrap();
            self.rest
                .push_str(std::str::from_utf8(&piece.ok()??).unwrap());
        }
    }

    pub(crate) async fn rest(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Some(seen) = self.next().await {
            all.push(seen);
        }
        all
    }
}

async fn what_a_command_tells_reaches_a_stream_in_order_and_before_the_end(kind: Kind) {
    let script = r#"cat >/dev/null; echo progress 0.4 page 3 of 7 >&3; echo 'chunk {"a":1}' >&3; sleep 0.5
        echo a line >&2; sleep 0.5; echo progress 1 >&3; echo '"done"'"#;
    let system = kind.plan().shell("tell", 2, script).start().await;
    let last = system.clerks.len() - 1;
    know_each_other(&system.clerk(0), &system.clerk(last), "tell", json!(1)).await;
    let job = system.api().send("tell", json!(1)).await;
    let mut stream = Stream::open(&system.clerk(last), job.id, None).await;
    let seen = stream.rest().await;
    let live: Vec<_> = seen.iter().filter(|seen| seen.event != "state").collect();
    let names: Vec<_> = live.iter().map(|seen| seen.event.as_str()).collect();
    assert_eq!(names, ["progress", "chunk", "log", "progress"], "{seen:#?}");
    assert_eq!(live[0].data["fraction"], 0.4);
    assert_eq!(live[0].data["message"], "page 3 of 7");
    assert_eq!(live[1].data, json!({"index": 0, "data": {"a": 1}}));
    assert_eq!(live[2].data["level"], "info");
    assert_eq!(live[2].data["message"], "a line");
    assert_eq!(live[3].data["fraction"], 1.0);
    let end = seen.last().unwrap();
    assert_eq!(end.data["output"], "done");
    assert!(end.id.ends_with(".1.4"), "{}", end.id);
    let path = format!("/jobs/{}/events", job.id);
    let again = system.api().request(Method::GET, &path);
    let again = again.header("Last-Event-ID", &end.id).send().await.unwrap();
    assert_eq!(again.status(), 204);
}

/// The numbers of the live events that these account for, seen or told as gone.
pub(crate) fn numbers(seen: &[Seen]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for seen in seen {
        let last: u64 = seen.id.rsplit('.').next().unwrap().parse().unwrap();
        match seen.event.as_str() {
            "state" => {}
            "gap" => numbers.extend(seen.data["from"].as_u64().unwrap()..=last),
            _ => numbers.push(last),
        }
    }
    numbers
}

/// Until two clerks know of each other, so that both show all that is told: before that they tell each other nothing.
pub(crate) async fn know_each_other(one: &Api, two: &Api, queue: &str, input: Value) {
    let gapless = async || {
        let job = one.send(queue, input.clone()).await;
        let at = |clerk| Stream::open(clerk, job.id, None);
        let (mut one, mut two) = tokio::join!(at(one), at(two));
        let (one, two) = tokio::join!(one.rest(), two.rest());
        one.iter().chain(&two).all(|seen| seen.event != "gap")
    };
    while !timeout(LIMIT, gapless()).await.unwrap() {}
}

/// The last is told well before the end: to a clerk that took neither, they come by different ways.
async fn counting() -> System {
    let script =
        "read n; for n in $(seq 1 $n); do echo log info $n >&3; sleep 0.1; done; sleep 1; echo 7";
    let plan = Kind::Fleet.plan().clerks(2).shell("count", 4, script);
    let system = plan.start().await;
    know_each_other(&system.clerk(0), &system.clerk(1), "count", json!(5)).await;
    system
}

#[tokio::test]
async fn after_the_kill_of_a_clerk_its_streams_go_on_at_another_without_a_double_or_a_hole() {
    let mut system = counting().await;
    let job = system.clerk(1).send("count", json!(60)).await;
    let mut first = Stream::open(&system.clerk(0), job.id, None).await;
    let mut seen = Vec::new();
    while numbers(&seen).len() < 15 {
        seen.push(first.next().await.unwrap());
    }
    system.clerks[0].process.kill().await;
    let after = seen.last().unwrap().id.clone();
    let mut second = Stream::open(&system.clerk(1), job.id, Some(&after)).await;
    let rest = second.rest().await;
    assert_eq!(rest.last().unwrap().data["status"], "succeeded");
    seen.extend(rest);
    assert_eq!(numbers(&seen), (1..=60).collect::<Vec<_>>());
}

#[tokio::test]
async fn both_clerks_show_the_same_events_whoever_took_the_reports() {
    let system = counting().await;
    let job = system.clerk(0).send("count", json!(60)).await;
    let (one, two) = (system.clerk(0), system.clerk(1));
    let mut one = Stream::open(&one, job.id, None).await;
    let mut two = Stream::open(&two, job.id, None).await;
    let (one, two) = tokio::join!(one.rest(), two.rest());
    for seen in [one, two] {
        assert!(seen.iter().all(|seen| seen.event != "gap"), "{seen:#?}");
        assert_eq!(numbers(&seen), (1..=60).collect::<Vec<_>>());
    }
}
