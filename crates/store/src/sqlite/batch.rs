//! Statements over many rows at once.
//!
//! Each statement costs a hop to the connection's thread, so a batch is one statement with a list of
//! values. Its length is the next power of two, so that few statements need be prepared; values that
//! are not bound are null, and every statement leaves rows out whose first value is null.

use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt as _;
use sqlx::encode::Encode;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Executor as _, FromRow, Sqlite, SqliteConnection, Type,
};

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
    texts: [[OnceLock<Arc<str>>; SIZES]; 4],
}

/// What goes along with a statement, so that it costs no hop of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// The transaction's begin.
    pub(super) begin: bool,
    /// Its commit.
    pub(super) commit: bool,
}

/// Why a statement with its frame was not done.
#[derive(Debug)]
pub(super) struct Halt {
    pub(super) error: sqlx::Error,
    /// Whether it was the commit that failed.
    pub(super) committing: bool,
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
            texts: [const { [const { OnceLock::new() }; SIZES] }; 4],
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
        T: for<'r> FromRow<'r, SqliteRow>,
    {
        let found = self.run_in(Frame::default(), conn, rows, cells).await;
        decode(&found.map_err(|halt| failed(halt.error))?)
    }

    /// Runs it with its frame; what comes after a failure is not run.
    pub(super) async fn run_in(
        &self,
        frame: Frame,
        conn: &mut SqliteConnection,
        rows: usize,
        cells: Cells,
    ) -> Result<Vec<SqliteRow>, Halt> {
        let text = AssertSqlSafe(self.text(rows, frame));
        let mut results = conn.fetch_many(sqlx::query_with(text, cells.0));
        let (mut found, mut finished) = (Vec::with_capacity(rows), 0);
        let before_commit = usize::from(frame.begin) + 1;
        let error = loop {
            match results.try_next().await {
                Ok(Some(Either::Left(_))) => finished += 1,
                Ok(Some(Either::Right(row))) => found.push(row),
                Ok(None) if finished == before_commit + usize::from(frame.commit) => {
                    return Ok(found);
                }
                // Whoever ran it is gone.
                Ok(None) => break sqlx::Error::WorkerCrashed,
                Err(error) => break error,
            }
        };
        Err(Halt {
            error,
            committing: frame.commit && finished == before_commit,
        })
    }

    fn text(&self, rows: usize, frame: Frame) -> Arc<str> {
        let size = rows.next_power_of_two();
        let index = (size.ilog2() as usize).min(SIZES - 1);
        let framed = usize::from(frame.begin) + 2 * usize::from(frame.commit);
        let text = self.texts[framed][index].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            let rows = vec![row; size].join(", ");
            let begin = if frame.begin { "begin immediate; " } else { "" };
            let commit = if frame.commit { "; commit" } else { "" };
            let Self { head, tail, .. } = self;
            format!("{begin}{head} (values {rows}) {tail}{commit}").into()
        });
        text.clone()
    }
}

pub(super) fn decode<T>(rows: &[SqliteRow]) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, SqliteRow>,
{
    let decoded: Result<_, _> = rows.iter().map(T::from_row).collect();
    decoded.map_err(failed)
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
