//! Who asks.

use std::sync::{Arc, LazyLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::problem::Problem;

/// The tenant of everybody while there are no keys.
static DEFAULT_TENANT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));

/// Who asks. Every slice under `/v1` takes one, so that none can forget whose jobs it may show.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose jobs may be seen and changed.
    pub(crate) tenant: Arc<str>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self {
            tenant: DEFAULT_TENANT.clone(),
        })
    }
}
