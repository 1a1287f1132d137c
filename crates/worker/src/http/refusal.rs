//! An answer that is no success: whether to try again, and what it says.

use std::time::{Duration, UNIX_EPOCH};

use clerkwork_core::json::Members;
use clerkwork_core::{Failure, Retry, UnixMs};
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::attempt::{content_type, essence};
use crate::JobError;

/// How much of a problem is read: its members at their largest, and their names.
const PROBLEM: usize = 64 * 1024;

/// How long the body of a refusal may take: the status has said what matters.
const BODY_LIMIT: Duration = Duration::from_secs(5);

/// Reads a refusal.
pub(super) async fn read(mut response: Response, now: UnixMs) -> JobError {
    let status = response.status();
    let retry = retry(status, response.headers(), now);
    if let Some(error) = redirect(&response) {
        return error.with_retry(retry);
    }
    let given = content_type(&response).map(|given| essence(&given));
    let given = given.unwrap_or_default();
    let is_problem = given == "application/problem+json";
    let is_json = is_problem || given == "application/json" || given.ends_with("+json");
    let most = if is_json {
        PROBLEM
    } else {
        Failure::MAX_DETAIL
    };
    let body = body(&mut response, most).await;
    let error = in_words(&body, status);
    let members = is_json.then(|| Members::read(&body)).flatten();
    let error = match members {
        Some(members) if is_problem => problem(&members, in_words(&[], status)),
        // As frameworks answer by themselves: `{"detail": …}`.
        Some(members) => match members.words("detail") {
            Some(detail) => error.with_detail(detail),
            None => error,
        },
        None => error,
    };
    error.with_retry(retry)
}

/// Reads what an event `error` says: problem members, or text.
pub(super) fn of_event(data: &[u8]) -> JobError {
    let Some(members) = Members::read(data) else {
        return JobError::new(text(data));
    };
    let status = members.get::<u16>("status");
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    let retry = match status.is_some_and(|status| !may_pass(status)) {
        true => Retry::Never,
        false => Retry::Policy,
    };
    let speaks = members.raw("title").is_some() || members.raw("detail").is_some();
    let error = match speaks {
        true => JobError::new("the service said that it failed"),
        false => JobError::new(text(data)),
    };
    problem(&members, error).with_retry(retry)
}

/// Puts the problem members that are there, and can be read, in the place of what `error` says without them.
fn problem(members: &Members, mut error: JobError) -> JobError {
    let kind = members.get::<String>("type");
    if let Some(kind) = kind.filter(|kind| !kind.is_empty() && kind != "about:blank") {
        error = error.with_type(kind);
    }
    if let Some(title) = members.get::<String>("title") {
        error = error.with_title(title);
    }
    if let Some(detail) = members.words("detail") {
        error = error.with_detail(detail);
    }
    match members.raw("data") {
        Some(data) => error.with_data(data),
        None => error,
    }
}

/// The error of an answer that sends the worker elsewhere.
fn redirect(response: &Response) -> Option<JobError> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = response.headers().get(LOCATION)?;
    let to = String::from_utf8_lossy(to.as_bytes());
    Some(of_status(
        format!(
            "the service answered {status} to {to}, and redirects are not followed; give the worker \
             the URL that answers itself"
        ),
        status,
    ))
}

/// The error of a status whose body is no problem.
fn in_words(body: &[u8], status: StatusCode) -> JobError {
    let said = text(body);
    let detail = if said.is_empty() {
        format!("the service answered {status}")
    } else {
        said
    };
    of_status(detail, status)
}

fn of_status(detail: String, status: StatusCode) -> JobError {
    #[derive(Serialize)]
    struct Data {
        status: u16,
    }
    JobError::new(detail).with_data(Data {
        status: status.as_u16(),
    })
}

/// Whether another attempt may mend it, and when.
fn retry(status: StatusCode, headers: &HeaderMap, now: UnixMs) -> Retry {
    if !may_pass(status) {
        return Retry::Never;
    }
    let asked = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    match asked.and_then(|asked| wait(asked.trim(), now)) {
        Some(ms) => Retry::AfterMs(ms),
        None => Retry::Policy,
    }
}

/// Whether a status speaks of now rather than of the request.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// Reads `Retry-After`: seconds, or a date.
fn wait(asked: &str, now: UnixMs) -> Option<u64> {
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that are no number are too many.
        return Some(
            asked
                .parse::<u64>()
                .map_or(u64::MAX, |s| s.saturating_mul(1000)),
        );
    }
    let date = httpdate::parse_http_date(asked).ok()?;
    let date = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = i64::try_from(date.as_millis()).unwrap_or(i64::MAX);
    Some(u64::try_from(date.saturating_sub(now.0)).unwrap_or(0))
}

/// The begin of a body. One that breaks or is slow is as long as it came.
async fn body(response: &mut Response, most: usize) -> Vec<u8> {
    let until = Instant::now() + BODY_LIMIT;
    let mut body = Vec::new();
    while let Ok(Ok(Some(piece))) = timeout_at(until, response.chunk()).await {
        body.extend_from_slice(&piece);
        if body.len() >= most {
            break;
        }
    }
    body.truncate(most);
    body
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UnixMs(784_111_777_000 - 5_000);
        for (asked, ms) in [
            ("30", Some(30_000)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(5_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(wait(asked, now), ms, "{asked}");
        }
    }

    #[test]
    fn an_event_error_is_a_problem_or_text_and_its_status_says_whether_to_retry() {
        let error = of_event(br#"{"type":"urn:x","title":"T","detail":"D","data":[1]}"#);
        assert_eq!((error.detail(), error.retry()), (Some("D"), Retry::Policy));
        let failure = error.into_failure(1);
        assert_eq!(
            (failure.kind.as_str(), failure.title.as_str()),
            ("urn:x", "T")
        );
        assert_eq!(failure.data.unwrap().get(), "[1]");
        for (status, retry) in [
            (422, Retry::Never),
            (429, Retry::Policy),
            (503, Retry::Policy),
        ] {
            let said = format!(r#"{{"detail":"D","status":{status}}}"#);
            assert_eq!(of_event(said.as_bytes()).retry(), retry, "{status}");
        }
        let mixed = of_event(br#"{"title":"T","detail":[{"msg":"m"}],"status":422}"#);
        assert_eq!((mixed.detail(), mixed.retry()), (Some("m"), Retry::Never));
        assert_eq!(mixed.into_failure(1).title, "T");
        let own = of_event(br#"{"error": "no paper"}"#);
        assert_eq!(own.detail(), Some(r#"{"error": "no paper"}"#));
        let error = of_event(b"out of paper");
        assert_eq!(
            (error.detail(), error.retry()),
            (Some("out of paper"), Retry::Policy)
        );
    }
}
