//! A few connections for reading, lent out one by one.
//!
//! A connection comes back only by [`Lease::give_back`], after its work has ended well. Whoever is
//! dropped half-way drops the connection too, so that nobody is ever lent an open transaction or an
//! answer that was meant for somebody else.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Error;

/// The connections that nobody uses just now.
#[derive(Debug)]
pub(crate) struct Leases<C> {
    idle: Mutex<Vec<C>>,
    permits: Semaphore,
    waiting: AtomicUsize,
}

/// Somebody who waits for a connection.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is lent out.
pub(crate) struct Lease<'a, C> {
    conn: C,
    home: &'a Leases<C>,
    _permit: SemaphorePermit<'a>,
}

impl<C> Leases<C> {
    /// At most `most` connections.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(most),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Lends an idle connection, or what `open` opens.
    pub(crate) async fn lease<F>(&self, open: F) -> Result<Lease<'_, C>, Error>
    where
        F: AsyncFnOnce() -> Result<C, Error>,
    {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| Error::Unavailable("the store is closed".to_owned()))?;
        drop(waiting);
        let idle = self.take_idle();
        let conn = match idle {
            Some(conn) => conn,
            None => open().await?,
        };
        Ok(Lease {
            conn,
            home: self,
            _permit: permit,
        })
    }

    /// Whether somebody waits for a connection.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Drops what is idle: when one connection broke, the others probably did.
    pub(crate) fn forget_idle(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Lends nothing any more; returns what is idle.
    pub(crate) fn close(&self) -> Vec<C> {
        self.permits.close();
        std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_idle(&self) -> Option<C> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}

impl<C> Lease<'_, C> {
    /// Gives the connection back for others.
    pub(crate) fn give_back(self) {
        let mut idle = self
            .home
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.home.permits.is_closed() {
            idle.push(self.conn);
        }
    }
}

impl<C> Deref for Lease<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.conn
    }
}

impl<C> DerefMut for Lease<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.conn
    }
}
