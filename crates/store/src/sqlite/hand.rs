//! The one hand that writes, and the connections that read.

use std::collections::HashSet;
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex as Lock, PoisonError};

use clerkwork_core::ClerkId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::failed;
use crate::Error;
use crate::lease::{Lease, Leases};

const READERS: usize = 4;

/// An open database.
#[derive(Debug)]
pub(super) struct Inner {
    hand: Mutex<Hand>,
    /// `None` where all share one connection: in memory.
    readers: Option<(SqliteConnectOptions, Leases<SqliteConnection>)>,
    fenced: Lock<HashSet<ClerkId>>,
    /// Keeps other processes away as long as it is open.
    _lock: Option<File>,
}

#[derive(Debug)]
struct Hand {
    conn: SqliteConnection,
    /// Whether the last one to write was dropped half-way.
    dirty: bool,
}

/// The right to write. What was not [`Writing::done`] is rolled back before the next one writes.
pub(super) struct Writing<'a>(MutexGuard<'a, Hand>);

/// The right to read.
pub(super) enum Reading<'a> {
    Own(Lease<'a, SqliteConnection>),
    Shared(Writing<'a>),
}

impl Inner {
    pub(super) fn new(
        conn: SqliteConnection,
        readers: Option<SqliteConnectOptions>,
        lock: Option<File>,
    ) -> Arc<Self> {
        Arc::new(Self {
            hand: Mutex::new(Hand { conn, dirty: false }),
            readers: readers.map(|options| (options, Leases::new(READERS))),
            fenced: Lock::default(),
            _lock: lock,
        })
    }

    /// Waits for the turn to write.
    pub(super) async fn write(&self) -> Result<Writing<'_>, Error> {
        let mut hand = self.hand.lock().await;
        if hand.dirty {
            // There may be nothing to roll back: then this fails, and all is well.
            let _ = hand.conn.execute("rollback").await;
        }
        hand.dirty = true;
        Ok(Writing(hand))
    }

    /// Waits for the turn to write in a transaction.
    pub(super) async fn begin(&self) -> Result<Writing<'_>, Error> {
        let mut writing = self.write().await?;
        writing.execute("begin immediate").await.map_err(failed)?;
        Ok(writing)
    }

    pub(super) async fn read(&self) -> Result<Reading<'_>, Error> {
        match &self.readers {
            None => Ok(Reading::Shared(self.write().await?)),
            Some((options, leases)) => {
                let open = async || options.connect().await.map_err(failed);
                Ok(Reading::Own(leases.lease(open).await?))
            }
        }
    }

    /// Whoever holds the right to write may ask whether a clerk is fenced.
    pub(super) fn is_fenced(&self, clerk: ClerkId) -> bool {
        self.fenced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&clerk)
    }

    pub(super) fn fence(&self, clerk: ClerkId) {
        self.fenced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(clerk);
    }

    pub(super) fn close(&self) {
        if let Some((_, leases)) = &self.readers {
            drop(leases.close());
        }
    }
}

impl Writing<'_> {
    /// The work is done and nothing is open.
    pub(super) fn done(mut self) {
        self.0.dirty = false;
    }

    /// Commits.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.execute("commit").await.map_err(failed)?;
        self.done();
        Ok(())
    }
}

impl Reading<'_> {
    /// The work is done.
    pub(super) fn done(self) {
        match self {
            Self::Own(lease) => lease.give_back(),
            Self::Shared(writing) => writing.done(),
        }
    }
}

impl Deref for Writing<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0.conn
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.conn
    }
}

impl Deref for Reading<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Own(lease) => lease,
            Self::Shared(writing) => writing,
        }
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Own(lease) => lease,
            Self::Shared(writing) => writing,
        }
    }
}
