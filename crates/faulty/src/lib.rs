//! Layers over the broker and the store under which calls go wrong, for tests.
//!
//! By a seeded [`Plan`] a call is not made and fails, is made and fails, or takes long; a broker also
//! loses deliveries, settlements and the channel on which they came. The errors are those that the real
//! ones give. [`over`] is the layer itself, over any [`Way`] of calls to a store.

mod broker;
mod faults;
mod layer;
mod plan;
mod way;

pub use broker::{broker, remote_broker};
pub use faults::store;
pub use layer::over;
pub use plan::{Care, NoPlan, Plan};
pub use way::{Call, Does, Way};
