//! A job as clerks write it, read with as little trust as possible.

use clerkwork_checker::View;
use clerkwork_core::UnixMs;
use serde_json::Value;

/// What a job's JSON shows; `None` where it is no job.
pub(crate) fn view(job: &Value, rev: Option<u64>) -> Option<View> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let tags = job["tags"].as_array();
    let token = tags.and_then(|tags| text(tags.first()?));
    Some(View {
        job: text(&job["id"])?,
        token,
        status: serde_json::from_value(job["status"].clone()).ok()?,
        nonce: text(&job["output"]["nonce"]),
        error: text(&job["error"]["type"]),
        finished_at: serde_json::from_value::<UnixMs>(job["finished_at"].clone())
            .ok()
            .map(|at| at.0),
        rev,
    })
}
