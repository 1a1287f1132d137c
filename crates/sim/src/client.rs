//! Clients: they call clerks over a network that is slow, and write down what they were told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use clerkwork_checker::{Op, Status, View, What};
use clerkwork_core::JobObject;
use serde::Deserialize;
use tower::ServiceExt as _;

use crate::dice;
use crate::fleet::Fleet;
use crate::world::{World, lock};

/// The most bytes of an answer.
const MOST: usize = 16 << 20;

/// All clients.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) fleet: Arc<Fleet>,
    /// Who waits for which job at which clerk: only one at a time, since several would be woken in an
    /// order that nobody decides.
    waiting: Arc<Mutex<BTreeSet<(usize, String)>>>,
}

/// What a client was told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A job.
    Job(View),
    /// There is no such job, or jobs were listed.
    Nothing,
    /// Nothing was done for certain.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One request, before it is known whom it goes to.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) op: Op,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) key: Option<String>,
    pub(crate) wait_s: Option<u64>,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    jobs: Vec<JobObject>,
}

/// What was answered, before it is understood.
type Answer = Result<(StatusCode, HeaderMap, Bytes), &'static str>;

impl Clients {
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        Self {
            fleet,
            waiting: Arc::default(),
        }
    }

    fn world(&self) -> &World {
        &self.fleet.world
    }

    /// Reads a job.
    pub(crate) async fn read(&self, clerk: usize, job: &str, wait_s: Option<u64>) -> Told {
        let op = Op::Read {
            job: job.to_owned(),
        };
        let place = (clerk, job.to_owned());
        let wait_s = wait_s.filter(|_| lock(&self.waiting).insert(place.clone()));
        let ask = Ask {
            wait_s,
            ..Ask::get(op, format!("/v1/jobs/{job}"))
        };
        let told = self.call(clerk, ask).await;
        if wait_s.is_some() {
            lock(&self.waiting).remove(&place);
        }
        told
    }

    /// Reads a job when all is over, as often as it takes to be answered.
    pub(crate) async fn read_last(&self, clerk: usize, job: &str) {
        for _ in 0..20 {
            let op = Op::Final {
                job: job.to_owned(),
            };
            let ask = Ask::get(op, format!("/v1/jobs/{job}"));
            match self.call(clerk, ask).await {
                Told::Job(_) | Told::Nothing => return,
                Told::Refused | Told::Unknown => dice::pass(Duration::from_millis(500)).await,
            }
        }
    }

    /// Lists all jobs.
    pub(crate) async fn list(&self, clerk: usize) -> Told {
        let ask = Ask::get(Op::List, "/v1/jobs?limit=100".to_owned());
        self.call(clerk, ask).await
    }

    /// Cancels a job.
    pub(crate) async fn cancel(&self, clerk: usize, job: &str) -> Told {
        let op = Op::Cancel {
            job: job.to_owned(),
        };
        let ask = Ask {
            method: "POST",
            ..Ask::get(op, format!("/v1/jobs/{job}/cancel"))
        };
        self.call(clerk, ask).await
    }

    /// Calls a clerk.
    pub(crate) async fn call(&self, clerk: usize, ask: Ask) -> Told {
        let world = self.world();
        let call = world.number();
        world.saw(What::Invoke {
            call,
            client: "c".to_owned(),
            node: self.fleet.clerks[clerk].name.to_string(),
            op: ask.op.clone(),
        });
        let (told, what) = match self.reach(clerk, &ask).await {
            Ok((status, headers, body)) => self.understand(call, &ask.op, status, &headers, &body),
            Err(why) if why == REFUSED => fail(call, why.to_owned()),
            Err(why) => info(call, why.to_owned()),
        };
        world.saw(what);
        told
    }

    async fn reach(&self, clerk: usize, ask: &Ask) -> Answer {
        dice::pass(dice::moment()).await;
        let Some((router, life)) = self.fleet.router(clerk) else {
            return Err(REFUSED);
        };
        let patience = match dice::odds(0.03) {
            true => dice::millis(0..60),
            false => Duration::from_secs(90),
        };
        let answered = async {
            let response = router.oneshot(ask.request()?).await;
            // It never fails.
            let Ok(response) = response;
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, MOST).await;
            let body = body.map_err(|_| "the answer broke off")?;
            Ok((parts.status, parts.headers, body))
        };
        let answer = tokio::select! {
            biased;
            () = life.ended() => Err("the clerk died"),
            answer = answered => answer,
            () = tokio::time::sleep(patience) => Err("the client went away"),
        };
        dice::pass(dice::moment()).await;
        match life.is_over() {
            true => Err("the clerk died"),
            false => answer,
        }
    }

    fn understand(
        &self,
        call: u64,
        op: &Op,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> (Told, What) {
        let text = || String::from_utf8_lossy(body).into_owned();
        match (status.as_u16(), op) {
            (200, Op::List) => {
                for job in parsed::<Page>(body)
                    .map(|page| page.jobs)
                    .unwrap_or_default()
                {
                    let view = view(&job, None);
                    self.world().saw(What::Seen { call, view });
                }
                (Told::Nothing, What::Ok { call, view: None })
            }
            (200 | 202, _) => match parsed::<JobObject>(body) {
                Some(job) => {
                    let view = view(&job, revision(headers));
                    let shown = Some(view.clone());
                    (Told::Job(view), What::Ok { call, view: shown })
                }
                None => {
                    self.world()
                        .wrong(format!("an answer is no job: {}", text()));
                    info(call, "it cannot be read".to_owned())
                }
            },
            (404, Op::Read { .. } | Op::Cancel { .. } | Op::Final { .. }) => {
                (Told::Nothing, What::Ok { call, view: None })
            }
            (503, _) if !text().contains("outcome-unknown") => fail(call, text()),
            (503, _) => info(call, text()),
            _ => {
                let words = format!("a clerk answered {status}: {}", text());
                self.world().wrong(words);
                info(call, "it was answered strangely".to_owned())
            }
        }
    }
}

const REFUSED: &str = "nobody is there";

fn fail(call: u64, why: String) -> (Told, What) {
    (Told::Refused, What::Fail { call, why })
}

fn info(call: u64, why: String) -> (Told, What) {
    (Told::Unknown, What::Info { call, why })
}

impl Ask {
    fn get(op: Op, path: String) -> Self {
        Self {
            op,
            method: "GET",
            path,
            body: String::new(),
            key: None,
            wait_s: None,
        }
    }

    fn request(&self) -> Result<Request<Body>, &'static str> {
        let mut request = Request::builder().method(self.method).uri(&self.path);
        if !self.body.is_empty() {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_LENGTH, self.body.len());
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(seconds) = self.wait_s {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        request
            .body(Body::from(self.body.clone()))
            .map_err(|_| REFUSED)
    }
}

fn parsed<T: for<'d> Deserialize<'d>>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn revision(headers: &HeaderMap) -> Option<u64> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    tag.trim_start_matches("W/").trim_matches('"').parse().ok()
}

fn view(job: &JobObject, rev: Option<u64>) -> View {
    #[derive(Deserialize)]
    struct Output {
        nonce: String,
    }
    let output = job.output.as_ref();
    let output = output.and_then(|output| parsed::<Output>(output.get().as_bytes()));
    View {
        job: job.id.to_string(),
        token: job.tags.first().map(|tag| tag.as_str().to_owned()),
        status: status(job.status),
        nonce: output.map(|output| output.nonce),
        error: job.error.as_ref().map(|error| error.kind.to_string()),
        due_at: Some(job.due_at.0),
        finished_at: job.finished_at.map(|at| at.0),
        rev,
    }
}

const fn status(status: clerkwork_core::Status) -> Status {
    match status {
        clerkwork_core::Status::Scheduled => Status::Scheduled,
        clerkwork_core::Status::Queued => Status::Queued,
        clerkwork_core::Status::Running => Status::Running,
        clerkwork_core::Status::Succeeded => Status::Succeeded,
        clerkwork_core::Status::Failed => Status::Failed,
        clerkwork_core::Status::Cancelled => Status::Cancelled,
        clerkwork_core::Status::Expired => Status::Expired,
    }
}
