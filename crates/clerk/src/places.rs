//! Places of which each has only so many: streams of a key, held requests of a key, connections of an
//! address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places that are taken, and by whom; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Places<K>(Arc<Mutex<HashMap<K, usize>>>);

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place<K: Copy + Eq + Hash> {
    places: Places<K>,
    who: K,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Places<K> {
    /// Takes one more place; `None` where `who` has `most` already.
    pub(crate) fn take(&self, who: K, most: usize) -> Option<Place<K>> {
        let mut taken = self.taken();
        let mine = taken.get(&who).copied().unwrap_or(0);
        if mine >= most {
            return None;
        }
        taken.insert(who, mine + 1);
        drop(taken);
        let places = self.clone();
        Some(Place { places, who })
    }

    /// How many places `who` has.
    pub(crate) fn of(&self, who: K) -> usize {
        self.taken().get(&who).copied().unwrap_or(0)
    }

    /// What the lock guards is whole at every point, so a panic of another holder does not matter.
    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.who) {
            Some(mine) if *mine > 1 => *mine -= 1,
            _ => {
                taken.remove(&self.who);
            }
        }
    }
}

/// The network that an address is counted with: whoever has one IPv6 address usually has all of its /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_places_and_one_that_is_given_back_is_free() {
        let places = Places::default();
        let mut mine: Vec<_> = (0..3).map(|_| places.take('a', 3).unwrap()).collect();
        assert!(places.take('a', 3).is_none());
        let other = places.take('b', 1).unwrap();
        mine.pop();
        let again = places.take('a', 3).unwrap();
        assert!(places.take('a', 3).is_none());
        assert_eq!((places.of('a'), places.of('b'), places.of('c')), (3, 1, 0));
        drop((mine, again, other));
        assert!(places.taken().is_empty(), "whoever has none is forgotten");
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_its_network_in_version_6_and_the_same_in_both_versions() {
        for (one, other) in [
            ("2001:db8::1", "2001:db8::ffff:1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(network(address(one)), network(address(other)));
        }
        assert_ne!(
            network(address("2001:db8::1")),
            network(address("2001:db8:0:1::1"))
        );
        assert_ne!(network(address("10.0.0.1")), network(address("10.0.0.2")));
    }
}
