//! A history of many jobs fits into the memory of a machine like those that make one.

use std::fs;

use crate::{History, How, Op, Rules, Status, Submission, View, What, check};

/// A part of what a long run accepts; what is kept of a million was measured to be the same for each.
const JOBS: u64 = 20_000;
/// Two gigabytes for a million.
const MOST: u64 = 2_000;

#[test]
fn a_million_jobs_are_checked_in_less_than_two_gigabytes() {
    let before = resident();
    let mut history = History::default();
    for job in 0..JOBS {
        live(&mut history, job);
    }
    let clerks = vec!["clerk1".to_owned(), "clerk2".to_owned()];
    let verdict = check(
        &history,
        &Rules {
            clerks,
            ..Rules::default()
        },
    );
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.counts.accepted, JOBS);
    let each = (resident() - before) / JOBS;
    println!("{each} bytes a job");
    assert!(each < MOST, "{each} bytes a job");
}

/// A job that is submitted, run twice, read by both clerks, and told.
fn live(history: &mut History, number: u64) {
    let at = i64::try_from(number).unwrap() * 10;
    let job = format!("0199f3a0-7c1e-7d11-8a52-{number:012x}");
    let token = format!("c7-{number}");
    let nonce = format!("worker1-4711-{number}");
    let terms = Submission {
        token: token.clone(),
        webhook: true,
        ..Submission::default()
    };
    let ended = View {
        job: job.clone(),
        token: Some(token.clone()),
        status: Status::Succeeded,
        nonce: Some(nonce.clone()),
        error: None,
        due_at: Some(at),
        finished_at: Some(at + 7),
        rev: Some(3),
    };
    let open = View {
        status: Status::Queued,
        nonce: None,
        finished_at: None,
        rev: Some(1),
        ..ended.clone()
    };
    let mut call = |at, node: &str, op: Op, view: &View| {
        let call = history_call(history, at, node, op);
        let view = Some(view.clone());
        history.push(What::Ok { call, view }.at(at + 1));
    };
    call(at, "clerk1", Op::Submit(terms), &open);
    let read = Op::Read { job: job.clone() };
    call(at + 8, "clerk1", read, &ended);
    for node in ["clerk1", "clerk2"] {
        let last = Op::Final { job: job.clone() };
        call(at + 9, node, last, &ended);
    }
    let delivery = format!("msg_{job}");
    history.push(
        What::Webhook {
            delivery,
            view: ended,
        }
        .at(at + 9),
    );
    for nonce in [nonce, format!("worker2-4712-{number}")] {
        run(history, at, &job, &token, nonce);
    }
}

fn run(history: &mut History, at: i64, job: &str, token: &str, nonce: String) {
    let worker = "worker1-4711".to_owned();
    let start = What::Start {
        worker: worker.clone(),
        job: job.to_owned(),
        token: Some(token.to_owned()),
        nonce: nonce.clone(),
    };
    history.push(start.at(at + 3));
    let (job, how) = (job.to_owned(), How::Succeeded);
    let end = What::End {
        worker,
        job,
        nonce,
        how,
    };
    history.push(end.at(at + 5));
}

fn history_call(history: &mut History, at: i64, node: &str, op: Op) -> u64 {
    let call = u64::try_from(at).unwrap() * 100 + u64::from(matches!(op, Op::Final { .. }));
    let (client, node) = ("c7".to_owned(), node.to_owned());
    history.push(
        What::Invoke {
            call,
            client,
            node,
            op,
        }
        .at(at),
    );
    call
}

/// The bytes that this process has in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}
