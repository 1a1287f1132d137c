//! The holders of API keys: all keys are read from the store at the start and every few seconds, and
//! remembered here.
//!
//! A revoked key is refused as soon as the next round has read that, and a new one is accepted at
//! once, since what is not remembered is looked up. Only so many look-ups are made, but those who hold
//! keys need none: names that nobody knows cannot keep them out. While the store is away, keys that
//! were heard of in the last minute go on working; of others nothing can be said.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{ApiKey, KeyId};
use clerkwork_store::{Error, KnownKey, Store};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::bucket::Bucket;

/// What is known of API keys; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    /// Whoever looks a key up has its lane, so that a thousand requests with one new key are one
    /// look-up, and strangers never have all of the store's connections.
    lanes: [tokio::sync::Mutex<()>; LANES],
}

#[derive(Debug)]
struct Known {
    /// Whether there is or ever was a key.
    needed: bool,
    good: HashMap<KeyId, Remembered>,
    /// Names that no key has, or only a revoked one, and when that was read.
    bad: HashMap<KeyId, Instant>,
    /// How many unknown names may still be tried now.
    strangers: Bucket,
}

#[derive(Clone, Debug)]
struct Remembered {
    key: Arc<KnownKey>,
    read: Instant,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It came without a key.
    Missing,
    /// Its key is none, or was revoked.
    Unknown,
    /// Too many unknown keys are being tried.
    Busy,
    /// Whether its key is good cannot be said: the store is away.
    Away,
}

const LANES: usize = 4;
/// How long a key is good that could not be read anew.
const TRUST: Duration = Duration::from_secs(60);
/// How long a name is bad without another look.
const DISTRUST: Duration = Duration::from_secs(10);
/// The longest wait for a look-up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most good keys that are remembered; of more, some are looked up when they are used.
const MOST_GOOD: usize = 100_000;
/// The most other names that are remembered.
const MOST_BAD: usize = 10_000;
/// How many unknown names may be tried in a second.
const STRANGERS: u32 = 100;

impl Keys {
    /// Reads all keys.
    pub(crate) async fn open(store: Arc<dyn Store>) -> Result<Self, Error> {
        let known = Known {
            needed: false,
            good: HashMap::new(),
            bad: HashMap::new(),
            strangers: Bucket::full(STRANGERS, Instant::now()),
        };
        let keys = Self(Arc::new(Inner {
            store,
            known: Mutex::new(known),
            lanes: Default::default(),
        }));
        keys.refresh().await?;
        Ok(keys)
    }

    /// Whether requests need a key: there is one, or there was one once.
    #[must_use]
    pub fn are_needed(&self) -> bool {
        self.known().needed
    }

    /// Who shows this; `None` is everybody, while there are no keys.
    pub(crate) async fn holder(
        &self,
        shown: Option<&str>,
    ) -> Result<Option<Arc<KnownKey>>, Denied> {
        let found = match shown.map(str::parse::<ApiKey>) {
            None => Err(Denied::Missing),
            Some(Err(_)) => Err(Denied::Unknown),
            Some(Ok(key)) => match self.find(key.id()).await {
                Ok(Some(known)) if key.fits(&known.hash) => Ok(known),
                Ok(_) => Err(Denied::Unknown),
                Err(denied) => Err(denied),
            },
        };
        match found {
            Ok(known) => Ok(Some(known)),
            Err(denied) if self.are_needed() => Err(denied),
            Err(_) => Ok(None),
        }
    }

    /// Whether who came in with this key, or without one, would still be let in: for what stays open
    /// for long.
    pub(crate) async fn still_lets_in(&self, key: Option<KeyId>) -> bool {
        match key {
            None => !self.are_needed(),
            // What cannot be looked up now is not cut off for that.
            Some(id) => !matches!(self.find(id).await, Ok(None) | Err(Denied::Unknown)),
        }
    }

    /// The good key of this name.
    async fn find(&self, id: KeyId) -> Result<Option<Arc<KnownKey>>, Denied> {
        if let Some(judged) = self.remembered(id) {
            return Ok(judged);
        }
        if self.known().strangers.left(Instant::now()) == 0 {
            return Err(Denied::Busy);
        }
        let looked = tokio::time::timeout(PATIENCE, self.look_up(id)).await;
        looked.unwrap_or(Err(Denied::Away))
    }

    async fn look_up(&self, id: KeyId) -> Result<Option<Arc<KnownKey>>, Denied> {
        let lane = id.as_str().bytes().map(usize::from).sum::<usize>() % LANES;
        let _turn = self.0.lanes[lane].lock().await;
        // Whoever had the lane before may have looked the same name up.
        if let Some(judged) = self.remembered(id) {
            return Ok(judged);
        }
        // What is read is as old as the question.
        let now = Instant::now();
        if self.known().strangers.take(now).is_err() {
            return Err(Denied::Busy);
        }
        let read = self.0.store.keys(Some(&[id])).await;
        let mut known = self.known();
        let judged = match read {
            Ok(read) => Ok(known.learn(id, read.into_iter().next(), now)),
            Err(error) => {
                tracing::debug!(%error, "a key could not be looked up");
                Err(Denied::Away)
            }
        };
        if judged != Ok(None) {
            known.strangers.give_back();
        }
        judged
    }

    /// What can be said of this name without a look.
    fn remembered(&self, id: KeyId) -> Option<Option<Arc<KnownKey>>> {
        let now = Instant::now();
        let known = self.known();
        if let Some(good) = known.good.get(&id) {
            let trusted = now.duration_since(good.read) < TRUST;
            return trusted.then(|| Some(good.key.clone()));
        }
        let bad = known.bad.get(&id)?;
        (now.duration_since(*bad) < DISTRUST).then_some(None)
    }

    /// Reads all keys anew.
    async fn refresh(&self) -> Result<(), Error> {
        // What is read is as old as the question.
        let now = Instant::now();
        let read = self.0.store.keys(None).await?;
        let mut known = self.known();
        known.needed |= !read.is_empty();
        // What was looked up meanwhile is newer than what was read.
        known.good.retain(|_, good| good.read > now);
        for key in read {
            if known.is_older(key.id, now) {
                known.learn(key.id, Some(key), now);
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Tells whether nothing was read of a name since then.
    fn is_older(&self, id: KeyId, then: Instant) -> bool {
        let good = self.good.get(&id).map(|good| good.read);
        let read = good.or_else(|| self.bad.get(&id).copied());
        read.is_none_or(|read| read <= then)
    }

    /// Remembers what was read of a name.
    fn learn(&mut self, id: KeyId, found: Option<KnownKey>, now: Instant) -> Option<Arc<KnownKey>> {
        self.needed |= found.is_some();
        let Some(key) = found.filter(|key| key.revoked_at.is_none()) else {
            self.good.remove(&id);
            insert(&mut self.bad, id, now, MOST_BAD);
            return None;
        };
        let key = Arc::new(key);
        let remembered = Remembered {
            key: key.clone(),
            read: now,
        };
        self.bad.remove(&id);
        insert(&mut self.good, id, remembered, MOST_GOOD);
        Some(key)
    }
}

/// Inserts, in the place of any other entry where there is no room.
fn insert<K: Hash + Eq + Copy, V>(map: &mut HashMap<K, V>, key: K, value: V, most: usize) {
    if map.len() >= most
        && !map.contains_key(&key)
        && let Some(other) = map.keys().next().copied()
    {
        map.remove(&other);
    }
    map.insert(key, value);
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct KeysTask {
    pub(crate) keys: Keys,
    /// How often what is remembered is read anew.
    pub(crate) round: Duration,
    pub(crate) stop: CancellationToken,
}

impl KeysTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let Self { keys, round, stop } = self;
        let rounds = async {
            let mut every = tokio::time::interval(round);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                let were_needed = keys.are_needed();
                if let Err(error) = keys.refresh().await {
                    tracing::debug!(%error, "keys could not be read anew");
                }
                if keys.are_needed() && !were_needed {
                    tracing::info!("there are API keys now: every caller needs one");
                }
            }
        };
        let _ = stop.run_until_cancelled(rounds).await;
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::{Role, UnixMs};
    use clerkwork_store::sqlite;

    use super::*;

    async fn added(store: &dyn Store) -> ApiKey {
        let key = ApiKey::random();
        let known = KnownKey::new(&key, "a".parse().unwrap(), Role::Client, UnixMs(1));
        assert!(store.add_key(&known).await.unwrap());
        key
    }

    #[tokio::test]
    async fn what_is_revoked_or_came_without_a_key_is_let_in_no_longer_after_a_round() {
        let store = sqlite::memory().await.unwrap();
        let keys = Keys::open(store.clone()).await.unwrap();
        assert!(keys.still_lets_in(None).await);
        let key = added(&*store).await;
        keys.refresh().await.unwrap();
        assert!(!keys.still_lets_in(None).await);
        assert!(keys.still_lets_in(Some(key.id())).await);
        assert!(store.revoke_key(key.id(), UnixMs(2)).await.unwrap());
        keys.refresh().await.unwrap();
        assert!(!keys.still_lets_in(Some(key.id())).await);
        assert_eq!(keys.holder(Some(&key.reveal())).await, Err(Denied::Unknown));
    }

    #[tokio::test]
    async fn while_the_store_is_away_known_keys_work_for_a_minute_and_of_others_nothing_is_said() {
        let store = sqlite::memory().await.unwrap();
        let known = added(&*store).await;
        let keys = Keys::open(store.clone()).await.unwrap();
        let new = added(&*store).await;
        let holds = async |key: &ApiKey| keys.holder(Some(&key.reveal())).await.map(|_| ());
        assert_eq!(holds(&known).await, Ok(()));
        let read = keys.known().good[&known.id()].read;
        // Whoever has the lanes does not answer: no look-up comes to an end.
        let mut away = Vec::new();
        for lane in &keys.0.lanes {
            away.push(lane.lock().await);
        }
        assert_eq!(holds(&known).await, Ok(()));
        assert_eq!(holds(&new).await, Err(Denied::Away));
        let long_ago = read.checked_sub(TRUST).unwrap();
        keys.known().good.get_mut(&known.id()).unwrap().read = long_ago;
        assert_eq!(holds(&known).await, Err(Denied::Away));
        drop(away);
        assert_eq!(holds(&known).await, Ok(()));
        assert_eq!(holds(&new).await, Ok(()));
    }

    #[tokio::test]
    async fn only_so_many_unknown_names_are_looked_up_and_good_ones_cost_nothing() {
        let store = sqlite::memory().await.unwrap();
        let keys = Keys::open(store.clone()).await.unwrap();
        keys.known().strangers = Bucket::full(1, Instant::now());
        for _ in 0..3 {
            let key = added(&*store).await;
            assert!(keys.holder(Some(&key.reveal())).await.is_ok());
        }
        let unknown: Vec<_> = (0..8).map(|_| ApiKey::random().reveal()).collect();
        let tried = unknown.iter().map(|key| keys.holder(Some(key)));
        let told = futures_util::future::join_all(tried).await;
        assert!(told.contains(&Err(Denied::Unknown)));
        assert!(told.contains(&Err(Denied::Busy)), "{told:?}");
    }

    #[tokio::test]
    async fn unknown_keys_keep_no_valid_one_out_after_a_restart() {
        let store = sqlite::memory().await.unwrap();
        let (mine, revoked) = (added(&*store).await, added(&*store).await);
        assert!(store.revoke_key(revoked.id(), UnixMs(2)).await.unwrap());
        let keys = Keys::open(store.clone()).await.unwrap();
        keys.known().strangers = Bucket::full(1, Instant::now());
        let unknown: Vec<_> = (0..50).map(|_| ApiKey::random().reveal()).collect();
        let tried = unknown.iter().map(|key| keys.holder(Some(key)));
        let told = futures_util::future::join_all(tried).await;
        assert!(told.contains(&Err(Denied::Busy)), "{told:?}");
        assert!(keys.holder(Some(&mine.reveal())).await.is_ok());
        let denied = keys.holder(Some(&revoked.reveal())).await;
        assert_eq!(denied, Err(Denied::Unknown));
        // One that was made meanwhile is known after the next round.
        let new = added(&*store).await;
        keys.refresh().await.unwrap();
        assert!(keys.holder(Some(&new.reveal())).await.is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut map = HashMap::new();
        for number in 0..110 {
            insert(&mut map, number, (), 100);
        }
        assert_eq!(map.len(), 100);
        assert!(map.contains_key(&109));
    }
}
