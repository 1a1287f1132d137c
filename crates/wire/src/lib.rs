//! How the words of Clerkwork travel between clerks and workers.
//!
//! [`Envelope`] is a message as any AMQP 0-9-1 client sees it: properties, headers and a body. The
//! modules of [`v1`] turn the five messages of version 1 into envelopes and back. Decoding is total:
//! it never panics, ignores what it does not know, and names what it refuses.

pub mod envelope;
pub mod topology;
pub mod v1;

pub use envelope::{Envelope, HeaderValue, Headers};
pub use topology::Names;
