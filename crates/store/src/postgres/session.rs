//! One connection, and whether a transaction is open on it.
//!
//! A session is used by one owner at a time and dropped, which closes it, whenever its work did not
//! end well: the server then rolls back what was open.

use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, FromRow, PgConnection, Postgres,
    SqlSafeStr as _, SqlStr,
};

use super::trouble::Trouble;

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    conn: PgConnection,
    open: bool,
}

/// The text of a statement over the tables of one day: `jobs_day` becomes `jobs_d20000`.
///
/// All that is put in is a number; the few other places that put together SQL are listed by a test.
pub(super) fn on_day(text: &'static str, day: i32) -> SqlStr {
    AssertSqlSafe(text.replace("_day", &format!("_d{day}"))).into_sql_str()
}

/// One cell of each row, as `unnest` takes them.
pub(super) fn column<'r, R, C>(rows: &'r [R], cell: impl FnMut(&'r R) -> C) -> Vec<C> {
    rows.iter().map(cell).collect()
}

impl Session {
    pub(super) fn new(conn: PgConnection) -> Self {
        Self { conn, open: false }
    }

    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        self.conn
            .execute("begin")
            .await
            .map_err(|error| Trouble::of(error, false))?;
        self.open = true;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), Trouble> {
        self.conn
            .execute("commit")
            .await
            .map_err(|error| Trouble::of(error, true))?;
        self.open = false;
        Ok(())
    }

    /// Takes back what is open, if anything is.
    pub(super) async fn rollback(&mut self) -> Result<(), Trouble> {
        if self.open {
            self.conn
                .execute("rollback")
                .await
                .map_err(|error| Trouble::of(error, false))?;
            self.open = false;
        }
        Ok(())
    }

    /// Runs a statement without parameters.
    pub(super) async fn run(&mut self, text: &'static str) -> Result<(), Trouble> {
        let done = self.conn.execute(text).await;
        done.map(drop)
            .map_err(|error| Trouble::of(error, !self.open))
    }

    pub(super) async fn execute(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<PgQueryResult, Trouble> {
        let done = query.execute(&mut self.conn).await;
        done.map_err(|error| Trouble::of(error, !self.open))
    }

    pub(super) async fn rows<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>, Trouble>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows = query.fetch_all(&mut self.conn).await;
        rows.map_err(|error| Trouble::of(error, !self.open))
    }

    pub(super) async fn row<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Option<T>, Trouble>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let row = query.fetch_optional(&mut self.conn).await;
        row.map_err(|error| Trouble::of(error, !self.open))
    }

    pub(super) async fn scalars<T>(
        &mut self,
        query: QueryScalar<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>, Trouble>
    where
        (T,): for<'r> FromRow<'r, PgRow>,
        T: Send + Unpin,
    {
        let rows = query.fetch_all(&mut self.conn).await;
        rows.map_err(|error| Trouble::of(error, !self.open))
    }

    /// The connection itself, for migrations and a planted defect.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// Says goodbye to the server.
    pub(super) async fn close(self) {
        // A connection that does not close in order is closed by dropping it.
        let _ = self.conn.close().await;
    }
}
