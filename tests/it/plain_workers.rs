//! Workers that know nothing of us: the examples of the page on plain AMQP, and the server of RabbitMQ's tutorial.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clerkwork_core::{Failure, Status};
use clerkwork_tests::{Kind, Process, System, client_tools, python, repository};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(120);

/// A program of a plain worker; the folder holds a copy where its packages are.
struct Program {
    name: &'static str,
    words: Vec<String>,
    _folder: Option<TempDir>,
}

fn example(name: &str) -> PathBuf {
    repository().join("docs/examples").join(name)
}

impl Program {
    fn python(name: &'static str) -> Self {
        let words = vec![python(), example(name).display().to_string()];
        Self {
            name,
            words,
            _folder: None,
        }
    }

    /// Node.js looks for packages beside the file; nothing where npm could not install them.
    fn node(name: &'static str) -> Option<Self> {
        let folder = tempfile::tempdir_in(client_tools()?).unwrap();
        let copy = folder.path().join(name);
        fs::copy(example(name), &copy).unwrap();
        let words = vec!["node".to_owned(), copy.display().to_string()];
        Some(Self {
            name,
            words,
            _folder: Some(folder),
        })
    }

    fn all() -> Vec<Self> {
        let mut all = vec![
            Self::python("plain_worker.py"),
            Self::python("plain_worker_aio_pika.py"),
        ];
        all.extend(Self::node("plain_worker_amqplib.mjs"));
        all
    }

    fn start(&self, system: &System, queue: &str) -> Process {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command.args([queue, system.prefix()]);
        system.run(self.name, command)
    }
}

fn fleet() -> clerkwork_tests::Plan {
    // Reports must have been heard well for a lease before their silence counts.
    let plan = Kind::Fleet.plan().queue("upper");
    plan.lease(Duration::from_secs(4))
}

#[tokio::test]
async fn every_example_of_a_plain_worker_answers_and_rejects() {
    let system = fleet().start().await;
    let api = system.api();
    for program in Program::all() {
        let mut worker = program.start(&system, "upper");
        worker.line_with("consuming from").await;
        let name = program.name;
        let job = api.send("upper", json!({"text": "abc"})).await;
        let job = api.ended_within(&job, LIMIT).await;
        assert_eq!(job.status, Status::Succeeded, "{name}: {job:?}");
        assert_eq!(job.output_type.as_deref(), Some("application/json"));
        let output: serde_json::Value = serde_json::from_str(job.output.unwrap().get()).unwrap();
        assert_eq!(output, json!({"text": "ABC"}), "{name}");

        let wrong = json!({"queue": "upper", "input": 7, "max_attempts": 1});
        let job = api.submit(&wrong).await;
        let job = api.ended_within(&job, LIMIT).await;
        assert_eq!(job.status, Status::Failed, "{name}: {job:?}");
        assert_eq!(job.error.unwrap().kind, Failure::WORKER_LOST, "{name}");
        assert!(worker.is_running(), "{name} goes on after a rejection");
    }
}

#[tokio::test]
async fn an_example_without_its_queue_ends_and_names_it() {
    let system = fleet().start().await;
    for program in Program::all() {
        let mut worker = program.start(&system, "nowhere");
        let status = worker.ended_within(LIMIT).await;
        assert_eq!(status.code(), Some(1), "{}", program.name);
        let said = worker.complaints();
        let queue = format!("{}.jobs.nowhere: ", system.prefix());
        let names = |line: &str| line.starts_with(&queue) && line.contains("NOT_FOUND");
        assert!(said.lines().any(names), "{said}");
    }
}

#[tokio::test]
async fn an_example_whose_queue_is_deleted_ends() {
    let system = fleet().start().await;
    let mut workers = Vec::new();
    for program in Program::all() {
        let mut worker = program.start(&system, "upper");
        worker.line_with("consuming from").await;
        workers.push((program, worker));
    }
    let bus = system.bus().await;
    bus.delete(&bus.names().jobs("upper")).await;
    for (program, mut worker) in workers {
        let status = worker.ended_within(LIMIT).await;
        assert_eq!(status.code(), Some(1), "{}", program.name);
    }
    bus.close().await;
}

/// The server of the tutorial as the page shows it, for the fleet and the broker of this test.
fn tutorial(system: &System) -> String {
    let page = fs::read_to_string(repository().join("docs/workers-plain-amqp.md")).unwrap();
    let blocks = page.split("```python\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split("```").next());
    let server = blocks.find(|block| block.contains("def fib(n)")).unwrap();
    let connection = "pika.ConnectionParameters(host='localhost')";
    let prefix = "clerkwork.jobs.";
    assert!(server.contains(connection) && server.contains(prefix));
    let own = format!("pika.URLParameters({:?})", system.broker());
    let server = server.replace(connection, &own);
    server.replace(prefix, &format!("{}.jobs.", system.prefix()))
}

fn python_text(system: &System, text: &str) -> Process {
    let mut command = Command::new(python());
    command.args(["-u", "-c", text]);
    system.run("tutorial", command)
}

#[tokio::test]
async fn the_rpc_server_of_the_tutorial_is_a_worker() {
    let system = Kind::Fleet.plan().queue("fib").start().await;
    let mut worker = python_text(&system, &tutorial(&system));
    worker.line_with("Awaiting RPC requests").await;
    let job = system.api().send("fib", json!(10)).await;
    let job = system.api().ended_within(&job, LIMIT).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!(job.output.unwrap().get(), "55");
}

#[tokio::test]
async fn the_server_of_the_tutorial_gets_406_where_it_declares_the_queue() {
    let system = Kind::Fleet.plan().queue("fib").start().await;
    let text = tutorial(&system);
    let consume = "channel.basic_qos(";
    assert!(text.contains(consume));
    let declare = format!(
        "channel.queue_declare(queue='{}.jobs.fib')\n",
        system.prefix()
    );
    let text = text.replace(consume, &format!("{declare}{consume}"));
    let mut worker = python_text(&system, &text);
    assert!(!worker.ended_within(LIMIT).await.success());
    let said = worker.complaints();
    assert!(
        said.contains("406") && said.contains("PRECONDITION_FAILED"),
        "{said}"
    );
}
