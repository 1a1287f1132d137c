//! A connection that goes on after its request was answered, such as a WebSocket: it stays with the
//! task that served it, so that a drain waits for it and ends it like any other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What goes on once the answer that carries this is sent.
#[derive(Clone)]
pub(crate) struct Takeover(Arc<Mutex<Option<Rest>>>);

/// Where a connection keeps what goes on.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Takeover>>);

impl Takeover {
    pub(crate) fn new(rest: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(rest)))))
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

impl Slot {
    pub(crate) fn put(&self, takeover: Takeover) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
    }

    /// What goes on, if anything does.
    pub(crate) fn take(&self) -> Option<Rest> {
        let takeover = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        takeover
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
