//! Tests of what two who share a commit are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;

use super::batch::{Batch, Cells};
use super::hand::{Inner, Sharing, Unshared};
use super::open;
use crate::Error;

static INSERT: Batch = Batch::new(
    "insert or rollback into queues (name, declared_at) select * from",
    2,
    "where column1 is not null",
);

/// Inserts a queue of this name in a transaction that others may share.
async fn insert(inner: Arc<Inner>, name: &'static str) -> Result<(), Unshared> {
    let mut sharing = inner.share().await;
    part(&mut sharing, name).await?;
    sharing.commit().await.map_err(Unshared::Failed)
}

async fn part(sharing: &mut Sharing<'_>, name: &str) -> Result<(), Unshared> {
    let mut cells = Cells::default();
    cells.put(name).map_err(Unshared::Failed)?;
    cells.put(1i64).map_err(Unshared::Failed)?;
    sharing.run::<(i64,)>(&INSERT, 1, cells).await.map(drop)
}

async fn names(inner: &Inner) -> Vec<String> {
    let mut writing = inner.write().await.unwrap();
    let names = sqlx::query_scalar("select name from queues order by name");
    let names = names.fetch_all(&mut *writing).await.unwrap();
    writing.done();
    names
}

/// Lets `first` do its part and `second` come while it does.
async fn first_part<'a>(
    inner: &'a Arc<Inner>,
    first: &'static str,
    second: &'static str,
) -> (Sharing<'a>, JoinHandle<Result<(), Unshared>>) {
    let mut sharing = inner.share().await;
    let other = tokio::spawn(insert(inner.clone(), second));
    while inner.sharers.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    part(&mut sharing, first).await.unwrap();
    (sharing, other)
}

/// The same, and lets both end.
async fn both(
    inner: &Arc<Inner>,
    first: &'static str,
    second: &'static str,
) -> (Result<(), Error>, Result<(), Unshared>) {
    let (sharing, other) = first_part(inner, first, second).await;
    (sharing.commit().await, other.await.unwrap())
}

#[tokio::test]
async fn both_are_told_once_the_second_has_committed() {
    let inner = open::memory().await.unwrap();
    let told = both(&inner, "a", "b").await;
    assert!(matches!(told, (Ok(()), Ok(()))), "{told:?}");
    assert_eq!(names(&inner).await, ["a", "b"]);
}

#[tokio::test]
async fn a_part_that_fails_takes_the_other_back_and_both_are_told() {
    let inner = open::memory().await.unwrap();
    let told = both(&inner, "a", "a").await;
    let expected = matches!(told, (Err(Error::Unavailable(_)), Err(Unshared::Taken)));
    assert!(expected, "{told:?}");
    assert!(names(&inner).await.is_empty());
    insert(inner.clone(), "a").await.unwrap();
    assert_eq!(names(&inner).await, ["a"], "the next one writes as ever");
}

#[tokio::test]
async fn the_first_commits_by_itself_where_the_second_goes_away() {
    let inner = open::memory().await.unwrap();
    let (sharing, other) = first_part(&inner, "a", "b").await;
    other.abort();
    assert!(other.await.is_err());
    sharing.commit().await.unwrap();
    assert_eq!(names(&inner).await, ["a"]);
}

#[tokio::test]
async fn a_part_whose_owner_goes_away_is_taken_back() {
    let inner = open::memory().await.unwrap();
    let (sharing, other) = first_part(&inner, "a", "b").await;
    drop(sharing);
    other.await.unwrap().unwrap();
    assert_eq!(names(&inner).await, ["b"]);
}
