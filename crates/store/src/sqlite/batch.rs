//! Statements over many rows at once.
//!
//! Each statement costs a hop to the connection's thread, so a batch is one statement with a list of
//! values. Its length is the next power of two, so that few statements need be prepared; values that
//! are not bound are null, and every statement leaves rows out whose first value is null.

use std::sync::{Arc, OnceLock};

use sqlx::encode::Encode;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, FromRow, Sqlite, SqliteConnection, Type};

use super::failed;
use crate::Error;

/// The most rows of one statement.
pub(super) const MOST: usize = 512;
const SIZES: usize = MOST.ilog2() as usize + 1;

/// A statement over a list of rows: `head (values …) tail`. Parameters of its own come in the head.
#[derive(Debug)]
pub(super) struct Batch {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; SIZES],
}

/// The values of a statement, in the order of its question marks.
#[derive(Debug, Default)]
pub(super) struct Cells(SqliteArguments);

impl Batch {
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self {
            head,
            columns,
            tail,
            texts: [const { OnceLock::new() }; SIZES],
        }
    }

    /// Runs it over `rows` rows; their values are in `cells`.
    pub(super) async fn run<T>(
        &self,
        conn: &mut SqliteConnection,
        rows: usize,
        cells: Cells,
    ) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        sqlx::query_as_with(AssertSqlSafe(self.text(rows)), cells.0)
            .fetch_all(conn)
            .await
            .map_err(failed)
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let size = rows.next_power_of_two();
        let index = (size.ilog2() as usize).min(SIZES - 1);
        let text = self.texts[index].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            let rows = vec![row; size].join(", ");
            format!("{} (values {rows}) {}", self.head, self.tail).into()
        });
        text.clone()
    }
}

impl Cells {
    /// Adds a value.
    pub(super) fn put<'a, T: Encode<'a, Sqlite> + Type<Sqlite>>(
        &mut self,
        value: T,
    ) -> Result<(), Error> {
        self.0
            .add(value)
            .map_err(|error| Error::Setting(format!("a value cannot be sent: {error}")))
    }
}
