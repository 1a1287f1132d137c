//! The addresses that webhooks go to: looked up and judged once for each attempt, and counted, so that a
//! receiver does not become many by having many names.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use super::guard::{Guard, Target};
use crate::places::{Place, Places, network};

/// The most attempts at once for one address: more than for a host, since the hosts of many receivers
/// may be at one provider's address.
const AT_ONCE: usize = 32;
/// The most addresses of a name that are tried.
const MOST: usize = 4;

/// Finds the addresses of a name.
#[async_trait]
pub(super) trait Names: Send + Sync + std::fmt::Debug + 'static {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The names that the machine knows.
#[derive(Debug)]
pub(super) struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// The addresses of attempts that are under way.
#[derive(Debug)]
pub(super) struct Addresses {
    guard: Guard,
    names: Arc<dyn Names>,
    places: Places<IpAddr>,
    judged: Judged,
}

/// The addresses that one attempt may connect to; they count until this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    _places: Vec<Place<IpAddr>>,
    _entry: Option<Entry>,
}

/// The reason for which an attempt has no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// There is none that may be called.
    None,
    /// As many attempts are under way to all of them as may be.
    Busy,
}

impl Addresses {
    pub(super) fn new(guard: Guard, names: Arc<dyn Names>) -> Self {
        Self {
            guard,
            names,
            places: Places::default(),
            judged: Judged::default(),
        }
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Looks the addresses of a URL up and takes a place at each that may be called and has one.
    pub(super) async fn reserve(&self, target: &Target) -> Result<Reserved, NoAddress> {
        let (name, found) = match target.url.host() {
            Some(Host::Ipv4(address)) => (None, vec![address.into()]),
            Some(Host::Ipv6(address)) => (None, vec![address.into()]),
            Some(Host::Domain(name)) => {
                let found = self.names.addresses(name).await;
                (Some(name), found.map_err(|_| NoAddress::None)?)
            }
            None => return Err(NoAddress::None),
        };
        let admitted = found.into_iter();
        let admitted = admitted.filter(|address| self.guard.admits(*address, target.inside));
        let admitted: Vec<IpAddr> = admitted.take(MOST).collect();
        if admitted.is_empty() {
            return Err(NoAddress::None);
        }
        let (mut addresses, mut places) = (Vec::new(), Vec::new());
        for address in admitted {
            if let Some(place) = self.places.take(network(address), AT_ONCE) {
                addresses.push(SocketAddr::new(address, 0));
                places.push(place);
            }
        }
        if places.is_empty() {
            return Err(NoAddress::Busy);
        }
        Ok(Reserved {
            _places: places,
            _entry: name.map(|name| self.judged.enter(name, target.inside, addresses)),
        })
    }

    /// The names of attempts that are under way, for the client that sends them.
    pub(super) fn resolver(&self, inside: bool) -> Arc<impl Resolve + 'static> {
        Arc::new(Resolver {
            judged: self.judged.clone(),
            inside,
        })
    }
}

/// The addresses of names, as they were judged, while attempts need them; cheap to clone.
#[derive(Clone, Debug, Default)]
struct Judged(Arc<Mutex<HashMap<Of, Known>>>);

/// A name, and whether only the allowed networks will do.
type Of = (String, bool);

#[derive(Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    attempts: usize,
}

/// An attempt's need of a name.
#[derive(Debug)]
struct Entry {
    judged: Judged,
    of: Of,
}

impl Judged {
    fn enter(&self, name: &str, inside: bool, addresses: Vec<SocketAddr>) -> Entry {
        let of = (name.to_owned(), inside);
        let mut known = self.known();
        let attempts = known.get(&of).map_or(0, |known| known.attempts) + 1;
        let newest = Known {
            addresses,
            attempts,
        };
        known.insert(of.clone(), newest);
        Entry {
            judged: self.clone(),
            of,
        }
    }

    /// Locks the names, which are whole at every point: a panic of another holder does not matter.
    fn known(&self) -> MutexGuard<'_, HashMap<Of, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut known = self.judged.known();
        match known.get_mut(&self.of) {
            Some(known) if known.attempts > 1 => known.attempts -= 1,
            _ => drop(known.remove(&self.of)),
        }
    }
}

/// Tells a client the addresses that were judged, and no others.
#[derive(Debug)]
struct Resolver {
    judged: Judged,
    inside: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let of = (name.as_str().to_owned(), self.inside);
        let known = self.judged.known();
        let addresses = known.get(&of).map(|known| known.addresses.clone());
        Box::pin(std::future::ready(match addresses {
            Some(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
            None => Err(io::Error::other("the name was not judged").into()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wildcard: each name has the same address.
    #[derive(Debug)]
    struct Wildcard;

    #[async_trait]
    impl Names for Wildcard {
        async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![IpAddr::from([93, 184, 215, 14])])
        }
    }

    #[tokio::test]
    async fn a_host_of_many_names_has_no_more_attempts_than_one_address() {
        let addresses = Addresses::new(Guard::default(), Arc::new(Wildcard));
        let target = |number: usize| {
            let url = format!("https://{number}.evil.example/");
            addresses.guard().target(&url).unwrap()
        };
        let mut under_way = Vec::new();
        for number in 0..AT_ONCE {
            under_way.push(addresses.reserve(&target(number)).await.unwrap());
        }
        let busy = addresses.reserve(&target(AT_ONCE)).await.unwrap_err();
        assert_eq!(busy, NoAddress::Busy);
        let literal = addresses.guard().target("https://93.184.215.14/").unwrap();
        let busy = addresses.reserve(&literal).await.unwrap_err();
        assert_eq!(busy, NoAddress::Busy, "an address by itself is the same");
        under_way.pop();
        drop(addresses.reserve(&target(0)).await.unwrap());
        drop(under_way);
        assert!(addresses.judged.known().is_empty());
    }
}
