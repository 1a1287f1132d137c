//! What is wrong with a request, gathered so that all of it is told at once.

use std::borrow::Cow;

use crate::http::kind::Kind;
use crate::http::problem::{FieldError, Problem};

/// What is wrong with a request: all of it, within reason.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    errors: Vec<FieldError>,
    /// The element of an array that is being looked at.
    within: Option<(&'static str, usize)>,
}

impl Complaints {
    /// More than these help nobody.
    pub(crate) const MOST: usize = 32;
    /// More of a name that a client made up is not repeated to it.
    const LONGEST: usize = 100;

    /// From now on everything is about the element `at` of the member `name`.
    pub(crate) fn within(&mut self, name: &'static str, at: usize) {
        self.within = Some((name, at));
    }

    /// Adds one about the member or parameter `name`.
    pub(crate) fn add(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        self.push(|| pointer(name), detail);
    }

    /// Adds one about a place within the member `name`.
    pub(crate) fn add_at(&mut self, name: &str, at: usize, detail: impl Into<Cow<'static, str>>) {
        self.push(|| format!("{}/{at}", pointer(name)), detail);
    }

    /// The JSON pointer to the member `name` of what is being looked at.
    pub(crate) fn place(&self, name: &str) -> String {
        self.within_it(pointer(name))
    }

    /// Nothing, or a problem of this kind.
    pub(crate) fn result(self, kind: Kind) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Problem::with_errors(kind, self.errors))
    }

    /// Just this one.
    pub(crate) fn one(kind: Kind, name: &str, detail: impl Into<Cow<'static, str>>) -> Problem {
        let error = FieldError {
            pointer: pointer(name),
            detail: detail.into(),
        };
        Problem::with_errors(kind, vec![error])
    }

    fn within_it(&self, pointer: String) -> String {
        match self.within {
            Some((name, at)) => format!("/{name}/{at}{pointer}"),
            None => pointer,
        }
    }

    fn push(&mut self, pointer: impl FnOnce() -> String, detail: impl Into<Cow<'static, str>>) {
        if self.errors.len() < Self::MOST {
            let pointer = self.within_it(pointer());
            let detail = detail.into();
            self.errors.push(FieldError { pointer, detail });
        }
    }
}

/// The JSON pointer to a member; the whole for no name.
fn pointer(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let mut short: String = name.chars().take(Complaints::LONGEST).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("/{}", short.replace('~', "~0").replace('/', "~1"))
}
