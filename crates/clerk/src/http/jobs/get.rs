//! `GET /v1/jobs/{id}`: a job's state, at once or when it changes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::Desk;
use crate::http::auth::Reader;
use crate::http::connections::ClientAddress;
use crate::http::half_close::HalfClose;
use crate::http::hold::{self, Held, Until};
use crate::http::path::JobRef;
use crate::http::prefer::Wait;
use crate::http::problem::Problem;
use crate::http::query::OnlyToken;
use crate::http::{etag, view};

/// Shows a job.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    reader: Reader,
    JobRef(id): JobRef,
    _: OnlyToken,
    half_close: HalfClose,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = Wait::asked(&headers, half_close, &desk, reader.key());
    let watch = wait.holds().then(|| desk.waiters.subscribe(id));
    let first = hold::read(&desk, reader.tenant(), id).await?;
    let first = first.ok_or_else(Problem::no_such_job)?;
    let rev = first.rev;
    let (told, has) = (
        etag::told(&headers),
        etag::has(&headers, &etag::of_rev(rev)),
    );
    // The headers lie in the connection's buffer: a held request must not keep that alive.
    drop(headers);
    let held = match (told, has) {
        (false, _) => hold::hold(&desk, reader.tenant(), first, watch, Until::Done, &wait).await,
        (true, true) => {
            let until = Until::NewerThan(rev);
            hold::hold(&desk, reader.tenant(), first, watch, until, &wait).await
        }
        (true, false) => Held::at_once(first),
    };
    if has && held.newest.rev == rev {
        return Ok(view::not_modified(&desk, &held, &wait));
    }
    let large = view::large_output(&desk, address.owner(reader.key()), &held).await?;
    let sight = reader.sight();
    view::answer(&desk, &held, large, &wait, StatusCode::OK, sight).await
}
