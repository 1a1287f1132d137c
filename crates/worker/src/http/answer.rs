//! An answer that is the output, byte for byte.

use clerkwork_wire::v1::detect;
use reqwest::Response;

use super::attempt::content_type;
use super::request::broken;
use crate::call::Call;
use crate::runtime::too_large;
use crate::{JobError, Output};

/// Reads the output, and no further than its limit.
pub(super) async fn read(mut response: Response, call: &Call) -> Result<Output, JobError> {
    let given = content_type(&response);
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > call.max_output {
        return Err(too_large(announced, call.max_output));
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > call.max_output {
            return Err(over(call));
        }
    }
    let content_type = match given {
        Some(given) => given.as_ref().to_owned(),
        None => detect(&bytes).to_owned(),
    };
    Ok(Output::new(content_type, bytes))
}

/// The failure of an output that was not read to its end, since it is over the limit.
pub(super) fn over(call: &Call) -> JobError {
    let limit = call.max_output;
    too_large(limit, limit)
        .with_detail(format!("the output has more than {limit} bytes, the limit"))
}
