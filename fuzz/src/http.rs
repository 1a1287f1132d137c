//! Requests of clients: whatever comes is accepted or refused with a reason, and what is accepted is
//! kept byte for byte.

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::door::DOOR;

/// The boundary of all seeds of `multipart`.
const BOUNDARY: &str = "b";

/// A submission of JSON; its input comes back as it was.
pub(crate) fn submit(data: &[u8]) {
    if let Some(id) = posted("application/json", data) {
        let body: Submitted<'_> = serde_json::from_slice(data).expect("JSON was accepted");
        let input = body
            .input
            .map_or(&b"null"[..], |input| input.get().as_bytes());
        assert_eq!(kept(&id), input, "the input of {id}");
    }
}

#[derive(serde::Deserialize)]
struct Submitted<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A submission of bytes; they come back as a stretch of what was sent.
pub(crate) fn multipart(data: &[u8]) {
    if let Some(id) = posted(&format!("multipart/form-data; boundary={BOUNDARY}"), data) {
        let input = kept(&id);
        let found = input.is_empty() || data.windows(input.len()).any(|stretch| *stretch == *input);
        assert!(found, "the input of {id} was not sent");
    }
}

/// A list from where a cursor says: one that nobody was given is refused; none at all is the list's begin.
pub(crate) fn cursor(data: &[u8]) {
    let cursor: String = data.iter().map(|byte| format!("%{byte:02x}")).collect();
    let request = Request::get(format!("/v1/jobs?cursor={cursor}"))
        .body(Body::empty())
        .unwrap();
    let (status, _) = DOOR.ask(request);
    assert!(
        status.is_client_error() || (data.is_empty() && status == StatusCode::OK),
        "{status}: this clerk gave out no cursor"
    );
}

/// The id of the job, if it was accepted.
fn posted(media_type: &str, data: &[u8]) -> Option<String> {
    let request = Request::post("/v1/jobs")
        .header("content-type", media_type)
        .header("content-length", data.len())
        .body(Body::from(data.to_vec()));
    let (status, body) = DOOR.ask(request.unwrap());
    if status != StatusCode::ACCEPTED {
        assert!(status.is_client_error(), "{status}");
        return None;
    }
    let job: Value = serde_json::from_slice(&body).expect("a job");
    Some(job["id"].as_str().expect("its id").to_owned())
}

fn kept(id: &str) -> Bytes {
    let request = Request::get(format!("/v1/jobs/{id}/input"))
        .body(Body::empty())
        .unwrap();
    let (status, body) = DOOR.ask(request);
    assert_eq!(status, StatusCode::OK, "the input of {id}");
    body
}
