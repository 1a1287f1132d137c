//! How many jobs of each queue and of each tenant are not done, where that is limited.

mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{Clock as _, QueueName, SystemClock};
use clerkwork_store::{Error, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Refusal;
use tally::Tallies;

/// Where there is room for more jobs: as of the last count, with what came and went here since. Cheap
/// to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether anything is limited; if not, nothing is counted.
    limited: bool,
    store: Arc<dyn Store>,
    clock: Arc<SystemClock>,
    unfinished: Mutex<Unfinished>,
    /// Whoever counts has it.
    last: tokio::sync::Mutex<Count>,
}

#[derive(Debug)]
struct Unfinished {
    tenants: Tallies<Arc<str>>,
    queues: Tallies<QueueName>,
}

/// The last count.
#[derive(Debug, Default)]
struct Count {
    begun: Option<Instant>,
    took: Duration,
    /// How many in a row came to no end.
    failed: u32,
}

/// Room that was taken for jobs that nobody has accepted yet. Dropping it keeps the room for them until
/// the next count: what became of them is not known.
#[derive(Debug)]
pub(crate) struct Taken(Option<TakenRoom>);

#[derive(Debug)]
struct TakenRoom {
    room: Room,
    wanted: Wanted,
    accepted: bool,
}

#[derive(Debug)]
struct Wanted {
    tenant: Arc<str>,
    jobs: u64,
    queues: BTreeMap<QueueName, u64>,
}

/// How often the store counts, at most.
const COUNT: Duration = Duration::from_secs(1);
/// Before somebody is refused, a count is made anew, so long after the last one.
const OLD: Duration = Duration::from_millis(100);
/// How long somebody who is to be refused waits for that count to begin.
const BRIEF: Duration = Duration::from_millis(500);
/// A count that takes long comes seldom: this many times as long as it took lies between two.
const REST: u32 = 20;
/// The longest pause after counts that failed: each doubles it, for the store may be too busy to count.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest wait for a count before somebody is refused.
const PATIENCE: Duration = Duration::from_secs(2);

impl Room {
    pub(crate) fn new(config: &Config, store: Arc<dyn Store>, clock: Arc<SystemClock>) -> Self {
        Self(Arc::new(Inner {
            limited: config.max_unfinished.is_some() || config.queue_cap.is_some(),
            store,
            clock,
            unfinished: Mutex::new(Unfinished {
                tenants: Tallies::new(config.max_unfinished),
                queues: Tallies::new(config.queue_cap),
            }),
            last: tokio::sync::Mutex::default(),
        }))
    }

    /// Takes room for a tenant's jobs in these queues, for all of them or for none.
    pub(crate) async fn take<'q>(
        &self,
        tenant: &Arc<str>,
        queues: impl Iterator<Item = &'q QueueName>,
    ) -> Result<Taken, Refusal> {
        if !self.0.limited {
            return Ok(Taken(None));
        }
        let mut wanted = Wanted {
            tenant: tenant.clone(),
            jobs: 0,
            queues: BTreeMap::new(),
        };
        for queue in queues {
            wanted.jobs += 1;
            *wanted.queues.entry(queue.clone()).or_default() += 1;
        }
        let mut room = self.unfinished().take(&wanted);
        if room.is_err() && self.count_anew().await {
            room = self.unfinished().take(&wanted);
        }
        room?;
        Ok(Taken(Some(TakenRoom {
            room: self.clone(),
            wanted,
            accepted: true,
        })))
    }

    /// A job is done.
    pub(crate) fn done(&self, tenant: &Arc<str>, queue: &QueueName) {
        if self.0.limited {
            let mut unfinished = self.unfinished();
            unfinished.tenants.done(tenant);
            unfinished.queues.done(queue);
        }
    }

    /// Waits for a count that begins now or later, for somebody who is to be refused: no job that is long
    /// done, or that a count saw twice, stands in their way. `false` where that takes too long.
    async fn count_anew(&self) -> bool {
        let now = Instant::now();
        let counted = async {
            let mut last = self.0.last.lock().await;
            if let Some(begun) = last.begun {
                if begun > now {
                    return true;
                }
                let next = begun + OLD.max(last.pause());
                if next > now + BRIEF {
                    return false;
                }
                tokio::time::sleep_until(next).await;
            }
            self.count(&mut last).await.is_ok()
        };
        let counted = tokio::time::timeout(PATIENCE, counted).await;
        counted.unwrap_or(false)
    }

    async fn count(&self, last: &mut Count) -> Result<(), Error> {
        let begun = Instant::now();
        last.begun = Some(begun);
        // Unless it comes to its end: nobody may wait for that.
        last.failed = last.failed.saturating_add(1);
        let now = self.0.clock.now();
        let (tenants, queues) = self.unfinished().begin();
        if tenants {
            let counted = self.0.store.unfinished(now).await?;
            let counted = counted
                .into_iter()
                .map(|(tenant, jobs)| (tenant.into(), jobs));
            self.unfinished().tenants.counted(counted);
        }
        if queues {
            let counted = self.0.store.queue_stats(None, now).await?;
            let counted = counted.into_iter().map(|stats| {
                let jobs = stats.queued + stats.running + stats.scheduled;
                (stats.queue.name, jobs)
            });
            self.unfinished().queues.counted(counted);
        }
        last.took = begun.elapsed();
        last.failed = 0;
        Ok(())
    }

    fn unfinished(&self) -> MutexGuard<'_, Unfinished> {
        let guard = self.0.unfinished.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// The time that lies between this count and the next.
    fn pause(&self) -> Duration {
        match self.failed.checked_sub(1) {
            None => self.took * REST,
            Some(before) => (COUNT * (1 << before.min(10))).min(LONGEST),
        }
    }
}

impl Unfinished {
    /// Takes all that is wanted, or nothing.
    fn take(&mut self, wanted: &Wanted) -> Result<(), Refusal> {
        if let Some(most) = self.tenants.exceeded(&wanted.tenant, wanted.jobs) {
            return Err(Refusal::TenantFull(most));
        }
        let full =
            |(queue, jobs): &(&QueueName, &u64)| self.queues.exceeded(queue, **jobs).is_some();
        if let Some((queue, _)) = wanted.queues.iter().find(full) {
            return Err(Refusal::QueueFull(queue.to_string()));
        }
        self.tenants.take(&wanted.tenant, wanted.jobs);
        for (queue, jobs) in &wanted.queues {
            self.queues.take(queue, *jobs);
        }
        Ok(())
    }

    fn begin(&mut self) -> (bool, bool) {
        (self.tenants.begin(), self.queues.begin())
    }
}

impl Taken {
    /// Gives the room back: no job came of it.
    pub(crate) fn give_back(mut self) {
        if let Some(taken) = &mut self.0 {
            taken.accepted = false;
        }
    }
}

impl Drop for TakenRoom {
    fn drop(&mut self) {
        let mut unfinished = self.room.unfinished();
        let accepted = self.accepted;
        let Wanted {
            tenant,
            jobs,
            queues,
        } = &self.wanted;
        unfinished.tenants.answered(tenant, *jobs, accepted);
        for (queue, jobs) in queues {
            unfinished.queues.answered(queue, *jobs, accepted);
        }
    }
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct RoomTask {
    pub(crate) room: Room,
    pub(crate) stop: CancellationToken,
}

impl RoomTask {
    /// Counts until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(self) {
        if !self.room.0.limited {
            return std::future::pending().await;
        }
        loop {
            let pause = {
                let mut last = self.room.0.last.lock().await;
                let counted = self.room.count(&mut last).await;
                let pause = COUNT.max(last.pause());
                if let Err(error) = counted {
                    tracing::warn!(
                        %error,
                        ?pause,
                        "unfinished jobs could not be counted: limits are held to by the last count"
                    );
                }
                pause
            };
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_store::sqlite;

    use super::*;

    #[tokio::test]
    async fn a_count_that_fails_is_tried_again_after_ever_longer_pauses() {
        let folder = std::env::temp_dir().join(format!("cwt-room-{:x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let store = sqlite::open(folder.join("jobs.db")).await.unwrap();
        let config = Config {
            max_unfinished: Some(1),
            ..Config::default()
        };
        let room = Room::new(&config, store.clone(), Arc::new(SystemClock::new()));
        let mut last = Count::default();
        room.count(&mut last).await.unwrap();
        assert_eq!(last.pause(), last.took * REST);
        store.close().await;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(room.count(&mut last).await.is_err());
            pauses.push(last.pause().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        drop((room, store));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
