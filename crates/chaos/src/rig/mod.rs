//! What a profile needs beside the fleet: ways that can be cut, a disk that can be slowed, clocks that can be set.

mod clocks;
mod disk;
mod links;

pub(crate) use clocks::Clocks;
pub(crate) use disk::Disk;
pub(crate) use links::{Break, Link, Links};
