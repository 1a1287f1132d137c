//! The one hand that writes.
//!
//! A commit waits for the disk, so the two hot paths share theirs: whoever has done its part while
//! another waits for the hand leaves the transaction open to it, and is told when that one commits.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};

use clerkwork_core::ClerkId;
use clerkwork_faults::{Point, is_planned};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Executor as _, FromRow, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::batch::{Batch, Cells, Frame, Halt, decode};
use super::place::Place;
use super::reading::Readers;
use super::{failed, uncommitted};
use crate::Error;

/// An open database.
#[derive(Debug)]
pub(super) struct Inner {
    hand: Mutex<Hand>,
    /// `None` where all share one connection: in memory.
    pub(super) readers: Option<Readers>,
    /// How many wait to [`Inner::share`].
    pub(super) sharers: AtomicUsize,
    fenced: Lock<HashSet<ClerkId>>,
    /// `None` in memory, and beside the process that has the file open.
    pub(super) place: Option<Place>,
}

#[derive(Debug)]
struct Hand {
    conn: SqliteConnection,
    doing: Doing,
    /// There while the transaction of those who share their commit is open; tells them what became of
    /// it.
    round: Option<watch::Sender<Option<Fate>>>,
}

/// What is half-done where whoever did it went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing: what is open is whole.
    Nothing,
    /// A part of a transaction, which is rolled back before anybody else writes.
    Part,
    /// Its commit, which was sent.
    Commit,
}

/// What became of a shared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    TakenBack,
    /// Its commit was sent, and whoever sent it went away or was told of an error.
    Unknown,
}

/// The right to write. What was not [`Writing::done`] is rolled back before the next one writes.
pub(super) struct Writing<'a>(MutexGuard<'a, Hand>);

/// The right to write a part of a transaction that others may have a part in. What was not
/// [`Sharing::commit`]ted is rolled back with all of it before the next one writes.
pub(super) struct Sharing<'a> {
    inner: &'a Inner,
    hand: MutexGuard<'a, Hand>,
}

/// Why a statement did not become a part of a shared transaction, which is rolled back for it.
#[derive(Debug)]
pub(super) enum Unshared {
    /// A row of that key is there already.
    Taken,
    Failed(Error),
}

/// Counts somebody who waits to share.
struct Turn<'a>(&'a AtomicUsize);

impl Inner {
    pub(super) fn new(
        conn: SqliteConnection,
        readers: Option<SqliteConnectOptions>,
        place: Option<Place>,
    ) -> Arc<Self> {
        Arc::new(Self {
            hand: Mutex::new(Hand {
                conn,
                doing: Doing::Nothing,
                round: None,
            }),
            sharers: AtomicUsize::new(0),
            readers: readers.map(Readers::new),
            fenced: Lock::default(),
            place,
        })
    }

    /// Waits for the turn to write.
    pub(super) async fn write(&self) -> Result<Writing<'_>, Error> {
        self.in_place()?;
        let mut hand = self.hand.lock().await;
        hand.clean().await;
        hand.end_round().await?;
        hand.doing = Doing::Part;
        Ok(Writing(hand))
    }

    /// Waits for the turn to write in a transaction whose commit others may share.
    pub(super) async fn share(&self) -> Sharing<'_> {
        let turn = Turn::new(&self.sharers);
        let mut hand = self.hand.lock().await;
        drop(turn);
        hand.clean().await;
        Sharing { inner: self, hand }
    }

    /// Whether nobody waits to share.
    fn is_alone(&self) -> bool {
        self.sharers.load(Ordering::Relaxed) == 0
    }

    /// Waits for the turn to write in a transaction.
    pub(super) async fn begin(&self) -> Result<Writing<'_>, Error> {
        let mut writing = self.write().await?;
        writing.execute("begin immediate").await.map_err(failed)?;
        Ok(writing)
    }

    /// Whoever holds the right to write may ask whether a clerk may still.
    pub(super) fn unfenced(&self, clerk: ClerkId) -> Result<(), Error> {
        let fenced = self.fenced.lock().unwrap_or_else(PoisonError::into_inner);
        if fenced.contains(&clerk) {
            Err(Error::Fenced)
        } else {
            Ok(())
        }
    }

    pub(super) fn fence(&self, clerk: ClerkId) {
        self.fenced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(clerk);
    }
}

impl Hand {
    /// Rolls back what the last one left half-done, and whatever shared its transaction.
    async fn clean(&mut self) {
        if self.doing != Doing::Nothing {
            // There may be nothing to roll back: then this fails, and all is well.
            let _ = self.conn.execute("rollback").await;
            self.tell(if self.doing == Doing::Commit {
                Fate::Unknown
            } else {
                Fate::TakenBack
            });
        }
    }

    /// Commits the transaction that is shared, if one is open.
    async fn end_round(&mut self) -> Result<(), Error> {
        if self.round.is_some() {
            self.doing = Doing::Commit;
            let done = self.conn.execute("commit").await;
            if let Err(error) = done.map_err(uncommitted) {
                if matches!(error, Error::Unavailable(_)) {
                    self.doing = Doing::Part;
                }
                return Err(error);
            }
        }
        self.tell(Fate::Committed);
        Ok(())
    }

    /// The transaction is over, and so is whatever was half-done.
    fn tell(&mut self, fate: Fate) {
        self.doing = Doing::Nothing;
        if let Some(round) = self.round.take() {
            round.send_replace(Some(fate));
        }
    }
}

impl Sharing<'_> {
    /// Runs a statement as a part of the transaction. Where nobody waits to share it, its commit goes
    /// along.
    pub(super) async fn run<T>(
        &mut self,
        batch: &Batch,
        rows: usize,
        cells: Cells,
    ) -> Result<Vec<T>, Unshared>
    where
        T: for<'r> FromRow<'r, SqliteRow>,
    {
        self.inner.in_place().map_err(Unshared::Failed)?;
        let frame = Frame {
            begin: self.hand.round.is_none(),
            commit: self.inner.is_alone() && !commits_apart(),
        };
        let hand = &mut *self.hand;
        hand.doing = if frame.commit {
            Doing::Commit
        } else {
            Doing::Part
        };
        match batch.run_in(frame, &mut hand.conn, rows, cells).await {
            Ok(found) => {
                if frame.commit {
                    hand.tell(Fate::Committed);
                } else {
                    hand.round.get_or_insert_with(|| watch::Sender::new(None));
                }
                decode(&found).map_err(Unshared::Failed)
            }
            Err(halt) => {
                if !halt.committing {
                    hand.doing = Doing::Part;
                }
                Err(Unshared::of(halt))
            }
        }
    }

    /// Commits this part: at once, or with the part of somebody who waits for the hand.
    pub(super) async fn commit(self) -> Result<(), Error> {
        let Self { inner, mut hand } = self;
        let (false, Some(round)) = (inner.is_alone(), &hand.round) else {
            return hand.end_round().await;
        };
        let mut told = round.subscribe();
        hand.doing = Doing::Nothing;
        drop(hand);
        // Whoever waited may have gone away: then the hand comes back to us.
        let hand = tokio::select! {
            biased;
            _ = told.wait_for(Option::is_some) => None,
            hand = inner.hand.lock() => Some(hand),
        };
        if let Some(mut hand) = hand {
            hand.clean().await;
            if told.borrow().is_none() {
                return hand.end_round().await;
            }
        }
        let fate = *told.borrow();
        match fate {
            Some(Fate::Committed) => Ok(()),
            Some(Fate::TakenBack) => Err(Error::Unavailable(
                "the transaction that this was a part of was taken back".to_owned(),
            )),
            Some(Fate::Unknown) | None => Err(Error::Unknown(
                "the commit that this was a part of was not answered".to_owned(),
            )),
        }
    }
}

/// Whether this process shall be killed between a statement and its commit.
fn commits_apart() -> bool {
    is_planned(Point::IntakeBeforeCommit) || is_planned(Point::RecordBeforeCommit)
}

impl Unshared {
    fn of(halt: Halt) -> Self {
        let taken = |error: &sqlx::Error| {
            error
                .as_database_error()
                .is_some_and(DatabaseError::is_unique_violation)
        };
        match halt.error {
            error if halt.committing => Self::Failed(uncommitted(error)),
            error if taken(&error) => Self::Taken,
            error => Self::Failed(failed(error)),
        }
    }
}

impl From<Unshared> for Error {
    fn from(unshared: Unshared) -> Self {
        match unshared {
            Unshared::Taken => Self::Unavailable("a row is there already".to_owned()),
            Unshared::Failed(error) => error,
        }
    }
}

impl<'a> Turn<'a> {
    fn new(sharers: &'a AtomicUsize) -> Self {
        sharers.fetch_add(1, Ordering::Relaxed);
        Self(sharers)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Writing<'_> {
    /// The work is done and nothing is open.
    pub(super) fn done(mut self) {
        self.0.doing = Doing::Nothing;
    }

    /// Commits.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        let done = self.execute("commit").await;
        done.map_err(uncommitted)?;
        self.done();
        Ok(())
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
