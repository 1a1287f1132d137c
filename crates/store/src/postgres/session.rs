//! One connection, and whether a transaction is open on it.
//!
//! A session is used by one owner at a time and dropped, which closes it, whenever its work did not
//! end well: the server then rolls back what was open.

use std::time::{Duration, Instant};

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
    /// When the server last answered on it.
    answered_at: Instant,
}

/// The longest pause after which a connection is used without asking whether it is still there.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest wait for the answer to that.
const PING: Duration = Duration::from_secs(2);

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
        Self {
            conn,
            open: false,
            answered_at: Instant::now(),
        }
    }

    /// Whether the connection is there. After a pause the server is asked: a connection that ended
    /// meanwhile is found out before a statement is sent whose outcome would be unknown.
    pub(super) async fn is_there(&mut self) -> bool {
        if self.answered_at.elapsed() < PAUSE {
            return true;
        }
        let answered = tokio::time::timeout(PING, self.conn.ping()).await;
        let is_there = matches!(answered, Ok(Ok(())));
        if is_there {
            self.answered_at = Instant::now();
        }
        is_there
    }

    /// Lets the server end statements that are not done by then.
    pub(super) async fn end_statements_by(
        &mut self,
        end: tokio::time::Instant,
    ) -> Result<(), Trouble> {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        let limit = left.as_millis().max(1).to_string();
        let text = "select set_config('statement_timeout', $1, false)";
        self.execute(sqlx::query(text).bind(limit)).await.map(drop)
    }

    /// What came of a statement, if it is done; an answer shows that the connection is there.
    fn answered<T>(&mut self, done: Result<T, sqlx::Error>, commits: bool) -> Result<T, Trouble> {
        let done = done.map_err(|error| Trouble::of(error, commits))?;
        self.answered_at = Instant::now();
        Ok(done)
    }

    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        let done = self.conn.execute("begin").await;
        self.answered(done, false)?;
        self.open = true;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), Trouble> {
        let done = self.conn.execute("commit").await;
        self.answered(done, true)?;
        self.open = false;
        Ok(())
    }

    /// Takes back what is open, if anything is.
    pub(super) async fn rollback(&mut self) -> Result<(), Trouble> {
        if self.open {
            let done = self.conn.execute("rollback").await;
            self.answered(done, false)?;
            self.open = false;
        }
        Ok(())
    }

    /// Runs a statement without parameters.
    pub(super) async fn run(&mut self, text: &'static str) -> Result<(), Trouble> {
        let done = self.conn.execute(text).await;
        self.answered(done, !self.open).map(drop)
    }

    pub(super) async fn execute(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<PgQueryResult, Trouble> {
        let done = query.execute(&mut self.conn).await;
        self.answered(done, !self.open)
    }

    pub(super) async fn rows<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>, Trouble>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows = query.fetch_all(&mut self.conn).await;
        self.answered(rows, !self.open)
    }

    pub(super) async fn row<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Option<T>, Trouble>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let row = query.fetch_optional(&mut self.conn).await;
        self.answered(row, !self.open)
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
        self.answered(rows, !self.open)
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
