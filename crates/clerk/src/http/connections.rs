//! The bound of connections, by which some file descriptors are always left for store, broker and webhooks, and no
//! address has all connections.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use clerkwork_core::KeyId;
use nix::sys::resource::{Resource, getrlimit};

use crate::bytes_in_flight::Owner;
use crate::places::{Place, Places, network};

/// File descriptors that connections of clients never take.
const KEPT_FREE: usize = 256;
/// The number that is assumed where the process does not know how many file descriptors it may have.
const USUAL: u64 = 1_024;
/// The last tenth of all connections is for addresses that have at most this part of them.
const SHARE: usize = 100;

/// The connections of clients.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    all: Places<()>,
    of_network: Places<IpAddr>,
}

/// The address that a request came from; none where no connection brought it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// The owner of a request's bytes: its key, or else all without a key at the address.
    pub(crate) fn owner(self, key: Option<KeyId>) -> Owner {
        key.map_or(Owner::Address(network(self.0)), Owner::Key)
    }

    /// The address that this request came from.
    pub(crate) fn of(parts: &Parts) -> Self {
        let nowhere = Self(Ipv4Addr::UNSPECIFIED.into());
        parts.extensions.get().copied().unwrap_or(nowhere)
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// A connection; it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _of_all: Place<()>,
    _of_network: Place<IpAddr>,
}

impl Connections {
    /// As many as the process may have files open, less what it needs itself.
    pub(crate) fn of_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL, |(soft, _)| soft);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        // Where there are hardly any files at all, connections have half.
        Self::at_most(files.saturating_sub(KEPT_FREE).max(files / 2))
    }

    /// So many.
    pub(crate) fn at_most(most: usize) -> Self {
        Self {
            most,
            all: Places::default(),
            of_network: Places::default(),
        }
    }

    /// Lets one more in, unless there are too many.
    pub(crate) fn admit(&self, from: IpAddr) -> Option<Admitted> {
        let crowded = self.all.of(()) >= self.most - self.most / 10;
        let most_of_one = if crowded {
            (self.most / SHARE).max(1)
        } else {
            usize::MAX
        };
        Some(Admitted {
            _of_network: self.of_network.take(network(from), most_of_one)?,
            _of_all: self.all.take((), self.most)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_address_has_the_last_tenth_of_all_connections() {
        let connections = Connections::at_most(200);
        let (greedy, modest, late) = (
            address("10.0.0.1"),
            address("10.0.0.2"),
            address("10.0.0.3"),
        );
        let mut theirs: Vec<_> = (0..180)
            .map(|_| connections.admit(greedy).unwrap())
            .collect();
        assert!(connections.admit(greedy).is_none());
        let mine: Vec<_> = (0..2).map(|_| connections.admit(modest).unwrap()).collect();
        assert!(connections.admit(modest).is_none());
        drop(mine);
        theirs.pop();
        theirs.push(connections.admit(greedy).unwrap());
        assert!(connections.admit(greedy).is_none());
        assert!(connections.admit(late).is_some());
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let connections = Connections::at_most(10);
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        let _all: Vec<_> = (0..10)
            .map(|n| connections.admit(from(n)).unwrap())
            .collect();
        assert!(connections.admit(from(99)).is_none());
        // What was refused has left no trace.
        assert_eq!(connections.of_network.of(from(99)), 0);
    }
}
