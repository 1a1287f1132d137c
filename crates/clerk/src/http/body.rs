//! Reading a request's body: no more than allowed, in no more time than allowed.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::bytes_in_flight::Reserved;
use crate::http::problem::{Kind, Problem};
use crate::http::rates;

/// The bytes by which a body may be larger than its input.
pub(crate) const ROOM: usize = 64 * 1024;

/// The longest time that a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes that are reserved before anything was sent, whatever the client says it will send.
const FIRST: usize = 64 * 1024;

/// The bytes that are reserved at a time of a body that is larger.
pub(crate) const STEP: usize = 256 * 1024;

/// The length that the headers promise.
pub(crate) fn promised(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body whose input may have `limit` bytes, into memory of its own: a part of the
/// connection's buffer would keep all of that alive for as long as the job waits.
pub(crate) async fn read(
    body: Body,
    promised: Option<u64>,
    limit: usize,
) -> Result<Bytes, Problem> {
    let size = Size {
        promised,
        most: limit.saturating_add(ROOM),
        limit,
    };
    read_as(body, size, None).await
}

/// The bounds of a body's size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The size that the headers promise.
    pub(crate) promised: Option<u64>,
    /// The most bytes.
    pub(crate) most: usize,
    /// The bytes that one is told of that is larger.
    pub(crate) limit: usize,
}

/// Reads a body that may be large: it is added to what is reserved as it comes.
pub(crate) async fn read_large(
    body: Body,
    size: Size,
    reserved: &mut Reserved,
) -> Result<Bytes, Problem> {
    read_as(body, size, Some(reserved)).await
}

async fn read_as(
    body: Body,
    size: Size,
    reserved: Option<&mut Reserved>,
) -> Result<Bytes, Problem> {
    let Size {
        promised,
        most,
        limit,
    } = size;
    let expected = promised.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if expected > most {
        return Err(Problem::too_large("the body", limit));
    }
    let read = collect(body, expected.min(FIRST), most, limit, reserved);
    tokio::time::timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| {
            let detail = format!("the body took longer than {} s", PATIENCE.as_secs());
            Err(Problem::because(Kind::RequestTimeout, detail))
        })
}

async fn collect(
    mut body: Body,
    expected: usize,
    most: usize,
    limit: usize,
    mut reserved: Option<&mut Reserved>,
) -> Result<Bytes, Problem> {
    let mut read = BytesMut::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::because(Kind::MalformedRequest, "the body ended before its end")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > most - read.len() {
            return Err(Problem::too_large("the body", limit));
        }
        if let Some(reserved) = &mut reserved {
            let needed = (read.len() + data.len()).saturating_sub(FIRST + reserved.bytes());
            if needed > 0 {
                let grown = reserved.grow(needed.max(STEP)).await;
                grown.map_err(rates::too_many_bytes)?;
            }
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// The media type of a body, in lower case and without parameters; a coded body is refused.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Problem::because(
            Kind::UnsupportedMediaType,
            "a Content-Encoding is not supported: send the body as it is",
        ));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(first) = types.next() else {
        return Ok(None);
    };
    let only = types
        .next()
        .is_none()
        .then(|| first.to_str().ok())
        .flatten();
    let only = only.ok_or_else(|| {
        Problem::because(
            Kind::UnsupportedMediaType,
            "the Content-Type cannot be read",
        )
    })?;
    let (name, _parameters) = only.split_once(';').unwrap_or((only, ""));
    Ok(Some(name.trim().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;
    use crate::bytes_in_flight::{BytesInFlight, Owner};

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let pieces = ["ab", "", "c"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        let body = Body::from_stream(stream::iter(pieces));
        assert_eq!(read(body, None, 10).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_promised_or_not() {
        let body = || Body::from(vec![b'x'; ROOM + 11]);
        assert!(read(body(), None, 10).await.is_err());
        assert!(read(Body::empty(), Some(u64::MAX), 10).await.is_err());
        assert!(read(body(), None, 11).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let problem = read(body, None, 10).await.unwrap_err();
        assert!(format!("{problem:?}").contains("RequestTimeout"));
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_of_one_client_are_bounded_together() {
        let all = BytesInFlight::for_largest(32 * 1024, 0);
        let size = Size {
            promised: None,
            most: 1 << 20,
            limit: 1 << 20,
        };
        let body = || Body::from(vec![b'x'; 400_000]);
        let owner = Owner::Address([10, 0, 0, 1].into());
        let mut first = all.none(owner);
        let kept = read_large(body(), size, &mut first).await.unwrap();
        let kept = first.count(kept);
        let refused = read_large(body(), size, &mut all.none(owner)).await;
        assert!(format!("{:?}", refused.unwrap_err()).contains("QuotaExceeded"));
        let mut other = all.none(Owner::Address([10, 0, 0, 2].into()));
        assert!(read_large(body(), size, &mut other).await.is_ok());
        drop(kept);
        assert!(read_large(body(), size, &mut all.none(owner)).await.is_ok());
    }
}
