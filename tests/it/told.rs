//! What a handler of the Rust SDK tells, at every clerk of a fleet: all of it, in order, or what is gone of it.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, amqp};
use clerkwork_core::{JobObject, Level};
use clerkwork_tests::{Api, Kind, System};
use clerkwork_worker::{JobError, Options, Progress, State, Worker};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use crate::live::{LIMIT, Seen, Stream, know_each_other, numbers};

/// What a job has its handler do.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Progress(f64, String),
    Log(Level, String),
    Chunk(Value),
    /// Many lines of a log at once.
    Lines(u32),
    /// Lines in reports of their own, which the broker hands to all clerks in turn.
    Apart(u32),
    /// Go on only when the test says so.
    Wait,
}

async fn tell(
    steps: Vec<Step>,
    State(gate): State<Arc<Semaphore>>,
    progress: Progress,
) -> Result<&'static str, JobError> {
    for step in steps {
        match step {
            Step::Progress(fraction, message) => progress.progress(fraction, message.as_str()),
            Step::Log(level, message) => progress.log(level, &message),
            Step::Chunk(data) => progress.chunk(data).await?,
            Step::Lines(count) => {
                (1..=count).for_each(|line| progress.log(Level::Info, &line.to_string()));
            }
            Step::Apart(count) => {
                for line in 1..=count {
                    progress.log(Level::Info, &line.to_string());
                    sleep(Duration::from_millis(100)).await;
                }
            }
            Step::Wait => gate.acquire().await?.forget(),
        }
    }
    Ok("told")
}

/// Two clerks that know of each other, and a worker in this process.
struct Fleet {
    system: System,
    gate: Arc<Semaphore>,
    broker: Arc<dyn Broker>,
    worker: JoinHandle<Result<(), clerkwork_worker::Error>>,
    stop: CancellationToken,
}

impl Fleet {
    async fn start() -> Self {
        let system = Kind::Fleet.plan().clerks(2).queue("tell").start().await;
        let broker = amqp::connect(&amqp::Options::new(system.broker(), "a test's worker"));
        let broker = broker.unwrap();
        let (gate, stop) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
        let options = Options {
            prefix: system.prefix().to_owned(),
            ..Options::default()
        };
        let worker = Worker::new(gate.clone()).queue("tell", tell);
        let worker = worker.concurrency(4).options(options);
        let worker = tokio::spawn(worker.run(broker.clone(), stop.clone()));
        let fleet = Self {
            system,
            gate,
            broker,
            worker,
            stop,
        };
        fleet.acquainted(1).await;
        fleet
    }

    /// Until this clerk and the first know of each other.
    async fn acquainted(&self, clerk: usize) {
        let (one, two) = (self.system.clerk(0), self.system.clerk(clerk));
        know_each_other(&one, &two, "tell", json!([{"apart": 6}])).await;
    }

    async fn send(&self, steps: Value) -> JobObject {
        self.system.api().send("tell", steps).await
    }

    async fn follow(&self, clerk: usize, job: &JobObject, after: Option<&str>) -> Stream {
        Stream::open(&self.system.clerk(clerk), job.id, after).await
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(LIMIT, self.worker).await.unwrap().unwrap().unwrap();
        self.broker.close().await;
    }
}

/// Reads on until this event, by its number; its id.
async fn until(stream: &mut Stream, number: u64) -> String {
    loop {
        let seen = stream.next().await.expect("the stream goes on");
        if seen.id.ends_with(&format!(".1.{number}")) {
            return seen.id;
        }
    }
}

/// The position that is of the same revision, and of an earlier event.
fn back_to(id: &str, number: u64) -> String {
    let (before, _) = id.rsplit_once('.').unwrap();
    format!("{before}.{number}")
}

#[tokio::test]
async fn what_a_rust_handler_tells_reaches_streams_at_all_clerks_in_order_each_at_its_position() {
    let fleet = Fleet::start().await;
    let steps = json!([
        "wait",
        {"progress": [0.25, "begun"]},
        {"log": ["warn", "low on\nmemory"]},
        {"chunk": {"page": 1}},
        {"log": ["error", "ä\u{2028}"]},
        {"chunk": [1, null, "two"]},
        {"progress": [1.0, "almost"]},
    ]);
    let job = fleet.send(steps).await;
    let mut one = fleet.follow(0, &job, None).await;
    let mut two = fleet.follow(1, &job, None).await;
    fleet.gate.add_permits(1);
    let (one, two) = tokio::join!(one.rest(), two.rest());
    for seen in [one, two] {
        let live = seen.iter().filter(|seen| seen.event != "state");
        let told = live.map(|seen| {
            let mut data = seen.data.clone();
            // When it was told, or which chunk it is.
            let when = data.as_object_mut().unwrap().remove("at");
            assert_eq!(when.is_some(), seen.event != "chunk", "{seen:?}");
            let (_, position) = seen.id.split_once('.').unwrap();
            (position.to_owned(), seen.event.clone(), data)
        });
        let expected = [
            ("progress", json!({"fraction": 0.25, "message": "begun"})),
            ("log", json!({"level": "warn", "message": "low on\nmemory"})),
            ("chunk", json!({"index": 0, "data": {"page": 1}})),
            ("log", json!({"level": "error", "message": "ä\u{2028}"})),
            ("chunk", json!({"index": 1, "data": [1, null, "two"]})),
            ("progress", json!({"fraction": 1.0, "message": "almost"})),
        ];
        let expected = expected
            .into_iter()
            .enumerate()
            .map(|(at, (event, data))| (format!("1.{}", at + 1), event.to_owned(), data));
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        let end = seen.last().unwrap();
        assert_eq!(end.data["output"], "told");
        assert!(end.id.ends_with(".1.6"), "{}", end.id);
    }
    fleet.end().await;
}

#[tokio::test]
async fn every_clerk_tells_from_where_to_where_events_are_gone() {
    let fleet = Fleet::start().await;
    let steps = json!(["wait", {"lines": 1500}, "wait", {"log": ["info", "last"]}]);
    let job = fleet.send(steps).await;
    let mut first = [
        fleet.follow(0, &job, None).await,
        fleet.follow(1, &job, None).await,
    ];
    fleet.gate.add_permits(1);
    let mut resumed = Vec::new();
    for (clerk, stream) in first.iter_mut().enumerate() {
        // By now the clerk has all of them.
        let position = back_to(&until(stream, 1500).await, 5);
        resumed.push(fleet.follow(clerk, &job, Some(&position)).await);
    }
    fleet.gate.add_permits(1);
    for mut stream in resumed {
        let seen = stream.rest().await;
        let live: Vec<&Seen> = seen.iter().filter(|seen| seen.event != "state").collect();
        // The last 1024 of a job are kept.
        assert_eq!(live[0].event, "gap", "{:?}", live[0]);
        assert_eq!(live[0].data, json!({"attempt": 1, "from": 6, "to": 476}));
        assert!(live[0].id.ends_with(".1.476"), "{}", live[0].id);
        assert!(live[1..].iter().all(|seen| seen.event == "log"));
        assert_eq!(live[1].data["message"], "477");
        assert_eq!(live.last().unwrap().data["message"], "last");
        assert_eq!(numbers(&seen), (6..=1501).collect::<Vec<_>>());
    }
    fleet.end().await;
}

#[tokio::test]
async fn a_clerk_that_came_later_tells_what_was_before_it_as_a_gap() {
    let mut fleet = Fleet::start().await;
    let steps = json!([{"lines": 20}, "wait", {"log": ["info", "last"]}]);
    let job = fleet.send(steps).await;
    let mut stream = fleet.follow(0, &job, None).await;
    let position = back_to(&until(&mut stream, 20).await, 5);
    fleet.system.add_clerk().await;
    fleet.acquainted(2).await;
    let mut later = fleet.follow(2, &job, Some(&position)).await;
    fleet.gate.add_permits(1);
    let seen = later.rest().await;
    let live: Vec<&Seen> = seen.iter().filter(|seen| seen.event != "state").collect();
    let [gap, last] = live[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(gap.event, "gap");
    assert_eq!(gap.data, json!({"attempt": 1, "from": 6, "to": 20}));
    assert_eq!(last.data["message"], "last");
    assert!(last.id.ends_with(".1.21"), "{}", last.id);
    assert_eq!(seen.last().unwrap().data["status"], "succeeded");
    fleet.end().await;
}

/// A WebSocket that follows one job.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn follow(api: &Api, job: &JobObject) -> Self {
        let stream = TcpStream::connect(api.address()).await.unwrap();
        let url = format!("ws://{}/v1/ws", api.address());
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        let subscribe = json!({"type": "subscribe", "job": job.id}).to_string();
        socket.send(Message::text(subscribe)).await.unwrap();
        Self(socket)
    }

    async fn next(&mut self) -> Value {
        loop {
            let told = timeout(LIMIT, self.0.next())
                .await
                .expect("an event in time");
            if let Message::Text(text) = told.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Reads on to an event of this name.
    async fn event(&mut self, name: &str) -> Value {
        loop {
            let told = self.next().await;
            assert_eq!(told["type"], "event", "{told}");
            if told["event"] == name {
                return told;
            }
            assert_eq!(told["event"], "state", "{told}");
        }
    }
}

#[tokio::test]
async fn sockets_at_both_clerks_show_all_events_whoever_took_the_reports() {
    const LINES: usize = 20;
    let fleet = Fleet::start().await;
    let line = |number: usize| ["wait".into(), json!({"log": ["info", number.to_string()]})];
    let steps: Vec<Value> = (1..=LINES).flat_map(line).collect();
    let job = fleet.send(steps.into()).await;
    let mut sockets = [
        Socket::follow(&fleet.system.clerk(0), &job).await,
        Socket::follow(&fleet.system.clerk(1), &job).await,
    ];
    // One report each, which the broker hands to the clerks in turn.
    for number in 1..=LINES {
        fleet.gate.add_permits(1);
        for socket in &mut sockets {
            let told = socket.event("log").await;
            assert_eq!(told["data"]["message"], number.to_string());
            let id = told["id"].as_str().unwrap();
            assert!(id.ends_with(&format!(".1.{number}")), "{id}");
            assert_eq!(told["job"], job.id.to_string());
        }
    }
    for socket in &mut sockets {
        let end = loop {
            let state = socket.event("state").await;
            if state["data"]["done"] == true {
                break state;
            }
        };
        assert_eq!(end["data"]["output"], "told");
        assert!(
            end["id"]
                .as_str()
                .unwrap()
                .ends_with(&format!(".1.{LINES}"))
        );
    }
    fleet.end().await;
}
