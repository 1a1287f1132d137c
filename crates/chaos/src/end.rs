//! The end of a run: everything is whole, what is unfinished ends, and every clerk is asked for every job.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{Op, What};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::load::{Caller, Node, view};
use crate::recorder::now;

/// How many calls there are at a time.
const AT_ONCE: usize = 16;
/// How many jobs are read one by one; the lists show all of them.
const READ: usize = 2_000;
/// How long is waited in all, whatever is put off.
const LONGEST: Duration = Duration::from_secs(900);
/// How long webhooks may take longer than their jobs.
const TOLD: Duration = Duration::from_secs(60);

/// Waits until every job has ended or `limit` has passed, for what is put off to later from then on.
pub(crate) async fn drain(caller: &Caller, limit: Duration) {
    let begun = Instant::now();
    let mut end = begun + limit;
    while Instant::now() < end.min(begun + LONGEST) {
        let open = caller.recorder.open_jobs(500);
        if open.is_empty() {
            break;
        }
        let looks = open.iter().enumerate().map(|(number, job)| {
            let node = &caller.nodes[number % caller.nodes.len()];
            let op = Op::Read { job: job.clone() };
            caller.read("end", node, op, 2)
        });
        let seen = stream::iter(looks).buffer_unordered(AT_ONCE);
        let due = seen.map(|view| view.and_then(|view| view.due_at));
        let last_due = due.fold(None, async |last: Option<i64>, due| last.max(due));
        let put_off = last_due.await.map(|due| due.saturating_sub(now()));
        // What is due already has its limit.
        if let Some(ms @ 1..) = put_off {
            end = end.max(Instant::now() + Duration::from_millis(ms.unsigned_abs()) + limit);
        }
        // A job that no clerk knows is answered for at once.
        sleep(Duration::from_millis(250)).await;
    }
    let end = Instant::now() + TOLD;
    while Instant::now() < end && list(caller, &caller.nodes[0], false).await > 0 {
        sleep(Duration::from_secs(1)).await;
    }
}

/// Asks every clerk for every job.
pub(crate) async fn read_all(caller: &Arc<Caller>) {
    for node in &caller.nodes {
        list(caller, node, true).await;
    }
    let jobs = caller.recorder.some_jobs(READ);
    let reads = jobs.iter().flat_map(|job| {
        let op = Op::Final { job: job.clone() };
        caller
            .nodes
            .iter()
            .map(move |node| caller.read("end", node, op.clone(), 0))
    });
    stream::iter(reads)
        .buffer_unordered(AT_ONCE)
        .for_each(async |_| {})
        .await;
}

/// Goes through the whole list of one clerk; returns how many webhooks are still to be sent.
async fn list(caller: &Caller, node: &Node, last: bool) -> usize {
    let mut pending = 0;
    let mut query = "limit=200".to_owned();
    loop {
        let op = if last { Op::FinalList } else { Op::List };
        let call = caller.recorder.call("end", &node.name, op);
        let Some(page) = caller.page(node, &query).await else {
            let why = "no page".to_owned();
            caller.recorder.push(What::Info { call, why });
            return pending;
        };
        let jobs = page["jobs"].as_array();
        for job in jobs.into_iter().flatten() {
            pending += usize::from(job["webhook"]["status"] == "pending");
            if let Some(view) = view(job, None) {
                caller.recorder.push(What::Seen { call, view });
            }
        }
        caller.recorder.push(What::Ok { call, view: None });
        let Value::String(cursor) = &page["next_cursor"] else {
            return pending;
        };
        query = format!("limit=200&cursor={cursor}");
    }
}
