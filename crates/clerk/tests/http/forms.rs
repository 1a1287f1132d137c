//! Submissions as forms of two parts.

use axum::body::Body;
use axum::http::Request;

/// The part `job` of a form.
pub(crate) const JOB_PART: &str =
    "name=\"job\"\r\nContent-Type: application/json\r\n\r\n{\"queue\":\"q\",\"max_attempts\":1}";
/// The part `input` of a form.
pub(crate) const INPUT_PART: &str =
    "name=\"input\"; filename=\"x.png\"\r\nContent-Type: image/png\r\n\r\n\0\r\n--b\r\nbytes";

/// A form of these parts.
pub(crate) fn form(parts: &[&str]) -> Request<Body> {
    form_between("xyz", parts)
}

/// The same with another boundary.
pub(crate) fn form_between(boundary: &str, parts: &[&str]) -> Request<Body> {
    let mut body = String::new();
    for part in parts {
        body.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; {part}\r\n"
        ));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    let kind = format!("multipart/form-data; boundary={boundary}");
    body.pipe(Request::post("/v1/jobs").header("content-type", kind))
}

/// A text as the body of a request that was begun.
pub(crate) trait Pipe {
    fn pipe(&self, request: axum::http::request::Builder) -> Request<Body>;
}

impl<T: AsRef<str>> Pipe for T {
    fn pipe(&self, mut request: axum::http::request::Builder) -> Request<Body> {
        if let Some(headers) = request.headers_mut() {
            headers.insert("content-length", self.as_ref().len().into());
        }
        request.body(Body::from(self.as_ref().to_owned())).unwrap()
    }
}
