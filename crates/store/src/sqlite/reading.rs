//! The connections that read.

use std::ops::{Deref, DerefMut};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::failed;
use super::hand::{Inner, Writing};
use crate::Error;
use crate::lease::{Lease, Leases};

const READERS: usize = 4;
/// The number that there are beside for lists, which read more than others: nobody else waits for them.
const LISTS: usize = 2;

/// Connections that are opened when they are needed.
#[derive(Debug)]
pub(super) struct Readers {
    options: SqliteConnectOptions,
    all: Leases<SqliteConnection>,
    lists: Leases<SqliteConnection>,
}

/// The right to read.
pub(super) enum Reading<'a> {
    Own(Lease<'a, SqliteConnection>),
    Shared(Writing<'a>),
}

impl Readers {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self {
            options,
            all: Leases::new(READERS),
            lists: Leases::new(LISTS),
        }
    }
}

impl Inner {
    pub(super) async fn read(&self) -> Result<Reading<'_>, Error> {
        self.read_on(|readers| &readers.all).await
    }

    /// The right to read for a list.
    pub(super) async fn read_list(&self) -> Result<Reading<'_>, Error> {
        self.read_on(|readers| &readers.lists).await
    }

    async fn read_on(
        &self,
        choose: impl Fn(&Readers) -> &Leases<SqliteConnection>,
    ) -> Result<Reading<'_>, Error> {
        self.in_place()?;
        match &self.readers {
            None => Ok(Reading::Shared(self.write().await?)),
            Some(readers) => {
                let open = async || readers.options.connect().await.map_err(failed);
                Ok(Reading::Own(choose(readers).lease(open).await?))
            }
        }
    }

    /// Tells whether another list waits.
    pub(super) fn is_list_wanted(&self) -> bool {
        let readers = self.readers.as_ref();
        readers.is_some_and(|readers| readers.lists.is_wanted())
    }

    pub(super) fn close(&self) {
        if let Some(readers) = &self.readers {
            drop((readers.all.close(), readers.lists.close()));
        }
    }
}

impl<'a> Reading<'a> {
    /// Lets others have their turn where all share one connection.
    pub(super) async fn let_others(self, inner: &'a Inner) -> Result<Self, Error> {
        match self {
            Self::Own(_) => Ok(self),
            Self::Shared(writing) => {
                writing.done();
                inner.read_list().await
            }
        }
    }

    /// The work is done.
    pub(super) fn done(self) {
        match self {
            Self::Own(lease) => lease.give_back(),
            Self::Shared(writing) => writing.done(),
        }
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
