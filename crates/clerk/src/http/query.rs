//! Query parameters: those that are known, each once.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use url::form_urlencoded;

use crate::http::problem::{Complaints, Kind, Problem};

/// The parameters with these names, in their order. An empty one counts as absent.
pub(crate) fn params<'q, const N: usize>(
    query: Option<&'q str>,
    names: [&str; N],
) -> Result<[Option<Cow<'q, str>>; N], Problem> {
    let mut values = [const { None }; N];
    let mut complaints = Complaints::default();
    let mut seen = [false; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(at) = names.iter().position(|known| *known == name) else {
            complaints.add(&name, "is no query parameter of this endpoint");
            continue;
        };
        if std::mem::replace(&mut seen[at], true) {
            complaints.add(&name, "is given twice");
        }
        values[at] = Some(value).filter(|value| !value.is_empty());
    }
    complaints.result(Kind::MalformedRequest)?;
    Ok(values)
}

/// That an endpoint takes no query parameters.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        params(parts.uri.query(), []).map(|[]| Self)
    }
}

/// That an endpoint takes no query parameter but a watch token, which whoever has a key need not bring.
#[derive(Debug)]
pub(crate) struct OnlyToken;

impl<S: Sync> FromRequestParts<S> for OnlyToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        params(parts.uri.query(), ["token"]).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_decoded_and_empty_ones_are_absent() {
        let [a, b] = params(Some("b=x%20y+z&a="), ["a", "b"]).unwrap();
        assert_eq!(a, None);
        assert_eq!(b.as_deref(), Some("x y z"));
        assert_eq!(params(None, ["a"]).unwrap(), [None]);
        assert_eq!(params(Some(""), ["a"]).unwrap(), [None]);
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        for bad in ["c=1", "c", "c=", "a=1&a=2", "a=&a=2", "%ff=1"] {
            assert!(params(Some(bad), ["a", "b"]).is_err(), "{bad}");
        }
    }
}
