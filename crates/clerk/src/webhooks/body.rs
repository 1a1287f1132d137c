//! What a webhook says, and the headers that go with it.

use std::collections::BTreeMap;
use std::time::Duration;

use clerkwork_core::{JobId, Trace, UnixMs, Webhook, WebhookSecret};
use clerkwork_store::Kept;
use rand::RngExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::waiters::Shown;

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    /// When the job ended.
    timestamp: UnixMs,
    data: BTreeMap<String, Box<RawValue>>,
}

/// The body that tells of a job that is done: the job as clients see it, without `watch_url`.
pub(super) fn of(kept: Kept, retention: Duration) -> Result<Vec<u8>, serde_json::Error> {
    let shown = Shown::of(kept, retention).job;
    let text = serde_json::to_string(&shown)?;
    let mut data: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text)?;
    data.remove("watch_url");
    serde_json::to_vec(&Body {
        kind: format!("job.{}", shown.status),
        timestamp: shown.finished_at.unwrap_or(shown.created_at),
        data,
    })
}

/// The headers of an attempt that is made at `now`: what it is, and that it is us.
pub(super) fn headers(
    job: JobId,
    trace: &Trace,
    secrets: &[WebhookSecret],
    now: UnixMs,
    body: &[u8],
) -> HeaderMap {
    let id = Webhook::id(job);
    let seconds = now.0.div_euclid(1_000);
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| secret.sign(&id, seconds, body))
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut put = |name: &'static str, value: &str| {
        // All of these are texts of ours, or were checked as headers when they came in.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("webhook-id", &id);
    put("webhook-timestamp", &seconds.to_string());
    put("webhook-signature", &signatures.join(" "));
    put("traceparent", &continued(&trace.parent));
    if let Some(state) = &trace.state {
        put("tracestate", state);
    }
    headers
}

/// The same trace, and a span of its own.
fn continued(parent: &str) -> String {
    let mut random = clerkwork_core::chance();
    // All zeros would be no span.
    let span: u64 = random.random_range(1..=u64::MAX);
    let mut parts: Vec<&str> = parent.split('-').collect();
    let span = format!("{span:016x}");
    if let Some(part) = parts.get_mut(2) {
        *part = &span;
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use clerkwork_core::{Content, State};

    use super::*;
    use crate::fixture;

    fn done(output: &'static [u8]) -> Kept {
        let mut job = fixture::job("q", UnixMs(1_763_900_000_000)).job;
        job.standing.state = State::Succeeded;
        job.standing.finished_at = Some(UnixMs(1_763_900_001_000));
        job.spec.webhook = Some("https://example.com/hook".to_owned());
        job.output = Some(Content {
            media_type: "application/json".to_owned(),
            size: output.len() as u64,
        });
        Kept {
            webhook: Some(Webhook::untried(&job)),
            job,
            output: Some(Bytes::from_static(output)),
        }
    }

    #[test]
    fn the_body_is_the_whole_job_with_its_output_byte_for_byte_and_without_watch_url() {
        let output = br#"{"z":1.10,"a":12345678901234567890123,"a":null}"#;
        let kept = done(output);
        let id = kept.job.id;
        let body = String::from_utf8(of(kept, Duration::from_secs(60)).unwrap()).unwrap();
        let begin = r#"{"type":"job.succeeded","timestamp":"2025-11-23T12:13:21.000Z","data":{"#;
        assert!(body.starts_with(begin), "{body}");
        assert!(
            body.contains(std::str::from_utf8(output).unwrap()),
            "{body}"
        );
        assert!(body.contains(&format!(r#""id":"{id}""#)), "{body}");
        assert!(body.contains(r#""webhook":{"url":"https://example.com/hook","status":"pending""#));
        assert!(
            body.contains(r#""progress":null"#),
            "every other field is there"
        );
        assert!(!body.contains("watch_url"));
    }

    #[test]
    fn each_end_has_a_type_of_its_own() {
        for (state, word) in [
            (State::Succeeded, "succeeded"),
            (State::Failed, "failed"),
            (State::Cancelled, "cancelled"),
            (State::Expired, "expired"),
        ] {
            let mut kept = done(b"1");
            kept.job.standing.state = state;
            let body = of(kept, Duration::from_secs(60)).unwrap();
            let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(told["type"], format!("job.{word}"));
            assert_eq!(told["data"]["status"], word);
        }
    }

    #[test]
    fn the_trace_goes_on_with_a_span_of_its_own() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace {
            parent: parent.to_owned(),
            state: Some("a=b".to_owned()),
        };
        let id = JobId::at(UnixMs(1));
        let secrets = [WebhookSecret::random(), WebhookSecret::random()];
        let told = headers(id, &trace, &secrets, UnixMs(1_999), b"{}");
        let told = |name| told.get(name).map(|value| value.to_str().unwrap());
        let continued = told("traceparent").unwrap();
        assert_eq!(continued.len(), parent.len());
        assert_eq!(continued[..36], parent[..36]);
        assert_eq!(continued[52..], parent[52..]);
        assert_ne!(continued, parent);
        assert_eq!(told("tracestate"), Some("a=b"));
        assert_eq!(told("webhook-timestamp"), Some("1"));
        let both = format!(
            "{} {}",
            secrets[0].sign(&Webhook::id(id), 1, b"{}"),
            secrets[1].sign(&Webhook::id(id), 1, b"{}")
        );
        assert_eq!(told("webhook-signature"), Some(&*both));
    }
}
