//! A job whose input is bytes: a form of two parts, first `job`, then `input`.

use std::convert::Infallible;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use clerkwork_core::public::is_json;
use futures_util::{future, stream};
use multer::{Field, Multipart};

use crate::http::problem::{Complaints, Kind, Problem};

/// The two parts.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The job object without its input.
    pub(crate) job: Bytes,
    /// The input's media type.
    pub(crate) input_type: String,
    /// The input.
    pub(crate) input: Bytes,
}

const BYTES: &str = "application/octet-stream";
const LONGEST_TYPE: usize = 255;

/// The boundary between the parts, from the headers of the request.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    let boundary = boundary.filter(|boundary| (1..=70).contains(&boundary.len()));
    boundary.ok_or_else(|| {
        Problem::because(
            Kind::MalformedRequest,
            "the Content-Type multipart/form-data has no boundary that can be used",
        )
    })
}

/// Reads exactly two parts.
pub(crate) async fn read(body: Bytes, boundary: &str, limit: usize) -> Result<Parts, Problem> {
    let body = stream::once(future::ready(Ok::<_, Infallible>(body)));
    let mut form = Multipart::new(body, boundary);
    let job = next(&mut form, "job").await?;
    if kind_of(&job)?.is_some_and(|kind| !is_json(kind)) {
        return Err(wrong("job", "must be application/json"));
    }
    let job = whole(job).await?;
    let input = next(&mut form, "input").await?;
    let input_type = kind_of(&input)?.unwrap_or(BYTES).to_owned();
    let input = whole(input).await?;
    if input.len() > limit {
        return Err(Problem::too_large("the input", limit));
    }
    match form.next_field().await.map_err(|error| malformed(&error))? {
        Some(_) => Err(wrong("", EXACTLY)),
        None => Ok(Parts {
            job,
            input_type,
            input,
        }),
    }
}

const EXACTLY: &str = "must be exactly two parts: first job, then input";

async fn next<'f>(form: &mut Multipart<'f>, name: &str) -> Result<Field<'f>, Problem> {
    let field = form.next_field().await.map_err(|error| malformed(&error))?;
    field
        .filter(|field| field.name() == Some(name))
        .ok_or_else(|| wrong("", EXACTLY))
}

/// The bytes of a part; those of one that came in one piece are not copied.
///
/// It takes the part with it: the form does not give out the next one before.
async fn whole(mut field: Field<'_>) -> Result<Bytes, Problem> {
    let mut chunk = async || field.chunk().await.map_err(|error| malformed(&error));
    let first = chunk().await?.unwrap_or_default();
    let Some(second) = chunk().await? else {
        return Ok(first);
    };
    let mut all = BytesMut::from(first);
    all.extend_from_slice(&second);
    while let Some(more) = chunk().await? {
        all.extend_from_slice(&more);
    }
    Ok(all.freeze())
}

/// The media type of a part, as it was sent.
fn kind_of<'a>(field: &'a Field<'_>) -> Result<Option<&'a str>, Problem> {
    let Some(value) = field.headers().get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let kind = value.to_str().ok().map(str::trim).filter(|kind| {
        kind.len() <= LONGEST_TYPE && field.content_type().is_some() && kind.is_ascii()
    });
    let name = field.name().unwrap_or_default();
    kind.map(Some).ok_or_else(|| {
        wrong(
            name,
            "must have a Content-Type of at most 255 characters, such as image/png",
        )
    })
}

fn wrong(part: &str, detail: &'static str) -> Problem {
    Complaints::one(Kind::InvalidRequest, part, detail)
}

fn malformed(error: &multer::Error) -> Problem {
    Problem::because(
        Kind::MalformedRequest,
        format!("the form cannot be read: {error}"),
    )
}
