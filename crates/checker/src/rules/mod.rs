//! The rules, by what they are about.

pub(crate) mod drain;
pub(crate) mod durable;
pub(crate) mod outcome;
pub(crate) mod runs;
pub(crate) mod vacuous;
