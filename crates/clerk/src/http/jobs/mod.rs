//! The endpoints of jobs.

pub(crate) mod attempts;
pub(crate) mod batch;
mod bytes;
pub(crate) mod cancel;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod input;
mod key;
pub(crate) mod list;
mod multipart;
pub(crate) mod output;
mod parse;
pub(crate) mod redeliver;
pub(crate) mod retry;
pub(crate) mod submit;
