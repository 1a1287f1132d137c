//! An answer's body of several pieces, of which one may be shared with other answers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clerkwork_core::JobObject;
use hyper::body::{Body, Frame, SizeHint};

/// The pieces that are left, in order.
#[derive(Debug)]
pub(crate) struct Pieces(VecDeque<Bytes>);

/// The member of a Job in whose place an output stands. No text in JSON holds these bytes, since its
/// quotes are escaped, and no member before it holds JSON of others.
const PLACE: &str = "\"output\":null";

impl Pieces {
    /// A job without its output as JSON, and the output, which is JSON, in its place.
    pub(crate) fn of_job(job: &JobObject, output: Bytes) -> Result<Self, serde_json::Error> {
        let mut head = serde_json::to_string(job)?;
        let Some(place) = head.find(PLACE) else {
            return Ok(Self([head.into()].into()));
        };
        let tail = head.split_off(place + PLACE.len());
        head.truncate(head.len() - "null".len());
        Ok(Self([head.into(), output, tail.into()].into()))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.0.iter().map(Bytes::len).sum::<usize>();
        SizeHint::with_exact(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn an_output_in_pieces_stands_where_the_whole_job_has_it() {
        let job = fixture::job("q", UnixMs(0)).job;
        let mut job = JobObject::of(&job, std::time::Duration::ZERO);
        job.tags = vec!["\"output\":null".parse().unwrap()];
        let output = r#"{"output":null}"#;
        let pieces = Pieces::of_job(&job, output.into()).unwrap();
        let size = pieces.size_hint().exact();
        let body = pieces.collect().await.unwrap().to_bytes();
        assert_eq!(size, Some(body.len() as u64));
        job.show_output(serde_json::value::RawValue::from_string(output.into()).unwrap());
        job.output_omitted = false;
        assert_eq!(body, serde_json::to_vec(&job).unwrap());
    }
}
