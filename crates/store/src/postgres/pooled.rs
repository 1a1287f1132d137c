//! What the defect `transaction-in-handler` plants: requests begin transactions on the connection on which
//! the writer works, and a request whose client goes away is dropped in the middle of it.

use clerkwork_faults::{Defect, has};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};

use super::open::Options;
use super::session::Session;
use super::trouble::Trouble;
use crate::Error;

/// A pool of one connection.
#[derive(Clone, Debug)]
pub(super) struct Pooled(PgPool);

/// The pool's connection, or another one that is there in its place.
pub(super) struct Shared(PoolConnection<Postgres>);

impl Pooled {
    /// The pool, if the defect is planted.
    pub(super) fn planted(options: &Options) -> Result<Option<Self>, Error> {
        if !has(Defect::TransactionInHandler) {
            return Ok(None);
        }
        let pool = PgPoolOptions::new().max_connections(1);
        Ok(Some(Self(
            pool.connect_lazy_with(options.connecting("9s")?),
        )))
    }

    /// Begins a transaction and ends it, time and again, so that a client has time to go away.
    pub(super) async fn begin(&self) -> Result<(), Trouble> {
        let unknown = |error| Trouble::of(error, false);
        for _ in 0..20 {
            let transaction = self.0.begin().await.map_err(unknown)?;
            transaction.commit().await.map_err(unknown)?;
        }
        Ok(())
    }

    /// Gives the session the pool's connection in exchange for its own.
    pub(super) async fn change(&self, session: &mut Session) -> Result<Shared, Error> {
        let unknown = |error| Trouble::of(error, false).error();
        let mut shared = Shared(self.0.acquire().await.map_err(unknown)?);
        shared.swap(session);
        Ok(shared)
    }
}

impl Shared {
    pub(super) fn change_back(mut self, session: &mut Session) {
        self.swap(session);
    }

    fn swap(&mut self, session: &mut Session) {
        std::mem::swap(&mut *self.0, session.connection());
    }
}
