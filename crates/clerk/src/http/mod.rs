//! The HTTP interface: one file per endpoint, one line per endpoint in `router.rs`.
//!
//! A slice reads its request through small extractors (`auth`, `path`, `query`, `prefer`),
//! asks the desk, and answers with a Job object or a `problem`. [`serve`] is the accept loop
//! beneath it.

mod auth;
mod body;
mod browsers;
mod complaints;
mod connections;
mod cors;
mod etag;
mod follow;
mod half_close;
mod health;
mod hold;
mod jobs;
mod json_place;
mod kind;
mod object;
pub mod openapi;
mod outputs;
mod page;
mod path;
mod pieces;
mod prefer;
mod problem;
mod query;
mod queues;
mod rates;
mod request_body;
mod respond;
mod router;
mod serve;
mod socket;
mod takeover;
mod trace;
mod view;
mod welcome;
mod workers;
mod ws;

pub(crate) use jobs::batch::MOST_RESERVED as LARGEST_REQUEST;
pub(crate) use outputs::Outputs;
pub use router::{Access, ROUTES, Route, router};
pub use serve::serve;
