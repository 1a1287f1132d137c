//! A job as clerks write it, read with as little trust as possible.

use clerkwork_checker::View;
use clerkwork_core::UnixMs;
use serde_json::Value;

/// What a job's JSON shows; `None` where it is no job.
pub(crate) fn view(job: &Value, rev: Option<u64>) -> Option<View> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let time = |value: &Value| {
        let at = serde_json::from_value::<UnixMs>(value.clone());
        at.ok().map(|at| at.0)
    };
    let tags = job["tags"].as_array();
    let token = tags.and_then(|tags| text(tags.first()?));
    Some(View {
        job: text(&job["id"])?,
        token,
        status: serde_json::from_value(job["status"].clone()).ok()?,
        nonce: text(&job["output"]["nonce"]),
        error: text(&job["error"]["type"]),
        due_at: time(&job["due_at"]),
        finished_at: time(&job["finished_at"]),
        rev,
    })
}
