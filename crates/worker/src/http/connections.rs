//! The connections to a service that have carried an answer already.
//!
//! A service may close an idle connection just as the next request goes out on it. That is nobody's
//! failure, where the same on a fresh connection is the service's.

use std::collections::{HashSet, VecDeque};
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use hyper::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::Response;
use reqwest::header::CONNECTION;

/// How many are remembered: about as many as are open at a time, since an end of ours is used again by later
/// connections.
const MOST: usize = 1_024;

/// Connections that have carried an answer, by our end of them.
#[derive(Debug, Default)]
pub(super) struct UsedConnections(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    known: HashSet<SocketAddr>,
    order: VecDeque<SocketAddr>,
}

impl UsedConnections {
    /// Notes the connection that an answer came through.
    pub(super) fn note(&self, response: &Response) {
        let said = response.headers().get(CONNECTION);
        let closes = said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"close"));
        let Some(ours) = ours(response.extensions()).filter(|_| !closes) else {
            return;
        };
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.known.insert(ours) {
            used.order.push_back(ours);
        }
        if used.order.len() > MOST
            && let Some(oldest) = used.order.pop_front()
        {
            used.known.remove(&oldest);
        }
    }

    /// Whether a request failed before the first byte of its answer on a connection that had carried an
    /// answer before. Once only: a later connection may have the same end.
    pub(super) fn broke(&self, error: &reqwest::Error) -> bool {
        if error.is_connect() || error.is_timeout() {
            return false;
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<legacy::Error>() {
                let mut extras = Extensions::new();
                if let Some(connected) = error.connect_info() {
                    connected.get_extras(&mut extras);
                }
                let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                return ours(&extras).is_some_and(|ours| {
                    used.order.retain(|known| *known != ours);
                    used.known.remove(&ours)
                });
            }
            cause = error.source();
        }
        false
    }
}

fn ours(extras: &Extensions) -> Option<SocketAddr> {
    extras.get::<HttpInfo>().map(HttpInfo::local_addr)
}
