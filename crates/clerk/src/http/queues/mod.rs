//! The endpoints of queues.

pub(crate) mod declare;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod purge;
mod view;
