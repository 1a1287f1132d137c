//! `GET /`: a word to people who open the address of a clerk.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

const TEXT: &str = r#"Clerkwork takes jobs here.

Submit one, and wait up to 20 seconds for its output (QUEUE is the name of a queue):

  curl -H 'Content-Type: application/json' -H 'Prefer: wait=20' -d '{"queue": "QUEUE", "input": "hello"}' ADDRESS/v1/jobs

With API keys, add -H 'Authorization: Bearer KEY'.

/docs          all requests, as a page
/openapi.json  the same for programs
/healthz       answers while the process lives
/readyz        answers with 200 while jobs can be accepted
"#;

/// Names the way to submit a job, and the pages that say more.
pub(crate) async fn handler() -> Response {
    let mut response = Response::new(TEXT.into());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
