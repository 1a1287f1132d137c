//! The backlog's turns: what waits undispatched goes out where there is credit.

use std::collections::HashSet;
use std::time::Duration;

use clerkwork_core::{Clock as _, QueueName};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{SchedulerTask, TICK};
use crate::error::Refusal;
use crate::window::CHUNK;
use crate::writer::Wanted;

/// The interval at which all backlogs are looked at, whatever is known of them.
const BACKLOG: Duration = Duration::from_secs(1);
/// The time after which they are looked at again when one seems to be gone.
const SOON: Duration = Duration::from_millis(100);
/// The age below which a backlog's turn has come.
const YOUNG: Duration = Duration::from_secs(1);

/// The end of a backlog's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handed {
    Jobs,
    /// There is no credit; a new one will give the turn.
    NoCredit,
    /// There was none, or none that may go out now.
    NoJobs,
}

impl SchedulerTask {
    pub(super) async fn hand_out(&self) {
        let mut look_at = Instant::now();
        loop {
            // Turns that keep coming must not keep the look away.
            let _ = tokio::time::timeout_at(look_at, self.window.woken()).await;
            if !self.health.can_publish() {
                tokio::time::sleep(TICK).await;
                continue;
            }
            let handed = if self.window.wants_look() || Instant::now() >= look_at {
                look_at = Instant::now() + BACKLOG;
                self.look().await
            } else {
                self.give_turns(&mut look_at).await
            };
            if let Err(refusal) = handed {
                tracing::debug!(%refusal, "the backlog could not be handed out");
                tokio::time::sleep(BACKLOG).await;
            }
        }
    }

    /// Finds every queue that has a backlog, and begins to hand it out.
    async fn look(&self) -> Result<(), Refusal> {
        let backlog = self.store.backlog().await?;
        let waiting: HashSet<&QueueName> = backlog.iter().map(|backlog| &backlog.queue).collect();
        for queue in self.window.busy() {
            if !waiting.contains(&queue) {
                self.window.no_backlog(&queue);
            }
        }
        for backlog in backlog {
            if self.clock.now().since(backlog.oldest_due_at) < YOUNG {
                self.window.young_backlog(&backlog.queue);
            } else {
                self.window.behind_backlog(&backlog.queue);
            }
            self.hand_out_chunk(&backlog.queue).await?;
        }
        Ok(())
    }

    /// Gives the backlogs whose turn has come a chunk each, so that none keeps the others waiting.
    async fn give_turns(&self, look_at: &mut Instant) -> Result<(), Refusal> {
        for queue in self.window.turns() {
            if self.hand_out_chunk(&queue).await? == Handed::NoJobs {
                // Once that is seen, new jobs go out directly again.
                *look_at = (*look_at).min(Instant::now() + SOON);
            }
        }
        Ok(())
    }

    /// Hands out a chunk of a queue's backlog; where credit is left, its turn comes again.
    async fn hand_out_chunk(&self, queue: &QueueName) -> Result<Handed, Refusal> {
        let limit = self.window.take(queue, CHUNK);
        if limit == 0 {
            return Ok(Handed::NoCredit);
        }
        if self.hand_out_some(queue, limit).await? == 0 {
            return Ok(Handed::NoJobs);
        }
        self.window.waiting(queue);
        Ok(Handed::Jobs)
    }

    /// Hands out up to as many jobs as credits were taken for; gives back the others.
    async fn hand_out_some(&self, queue: &QueueName, limit: u32) -> Result<u32, Refusal> {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted {
            queue: queue.clone(),
            limit,
            answer,
        };
        let handed = match self.wanted.send(wanted).await {
            Ok(()) => answered.await.unwrap_or(Err(Refusal::OutcomeUnknown)),
            Err(_) => Err(Refusal::Unavailable("the clerk drains".to_owned())),
        };
        let used = *handed.as_ref().unwrap_or(&0);
        self.window.give_back(queue, limit - used);
        handed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clerkwork_broker::{Depth, Status};
    use clerkwork_core::SystemClock;
    use clerkwork_store::sqlite;
    use tokio::sync::{mpsc, watch};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::Config;
    use crate::fixture;
    use crate::health::Health;
    use crate::recorder;
    use crate::window::Window;

    fn queue(name: &str) -> QueueName {
        name.parse().unwrap()
    }

    /// A window whose queues are empty and have a consumer each.
    fn served(queues: &[&str]) -> Window {
        let window = Window::new(2_000);
        let depth = Depth {
            ready: 0,
            consumers: 1,
        };
        for name in queues {
            window.looked(&queue(name), Some(depth), 1);
        }
        window
    }

    /// Workers as fast as the hand-outs keep `busy` in credit for ever; its backlog never ends.
    #[tokio::test]
    async fn a_busy_backlog_keeps_no_other_queue_waiting() {
        let store = sqlite::memory().await.unwrap();
        let mut writer = store.writer("here").await.unwrap();
        let clock = Arc::new(SystemClock::new());
        let old = clock.now().before(YOUNG * 10);
        writer.accept(&[fixture::job("busy", old)]).await.unwrap();
        let (_up, broker) = watch::channel(Status::Up);
        let (recorder, _asks) = recorder::channel(store.clone());
        let (wanted, mut asked) = mpsc::channel(16);
        let window = served(&["busy", "told", "unknown"]);
        let stop = CancellationToken::new();
        let task = SchedulerTask {
            config: Config::default(),
            store: store.clone(),
            clock: clock.clone(),
            health: Health::new(broker, stop.clone(), &Config::default()),
            window: window.clone(),
            recorder,
            wanted,
            overtaken: None,
            unheard: Duration::from_secs(60),
            stop: stop.clone(),
        };
        let scheduler = tokio::spawn(task.run());
        let (mut told, mut unknown) = (None, None);
        let mut rounds = 0;
        while told.is_none() || unknown.is_none() {
            let Wanted {
                queue: of,
                limit,
                answer,
            } = tokio::time::timeout(Duration::from_secs(10), asked.recv())
                .await
                .expect("somebody's turn comes")
                .unwrap();
            rounds += 1;
            assert!(rounds < 100_000, "told: {told:?}, unknown: {unknown:?}");
            match of.as_str() {
                "told" => told = told.or(Some(rounds)),
                "unknown" => unknown = unknown.or(Some(rounds)),
                _ => {}
            }
            answer.send(Ok(limit)).unwrap();
            if of == queue("busy") {
                (0..limit).for_each(|_| window.replied(&of));
            }
            if rounds == 3 {
                // One that waits here, and one that a peer which is gone has left behind.
                window.waiting(&queue("told"));
                writer
                    .accept(&[fixture::job("unknown", old)])
                    .await
                    .unwrap();
            }
        }
        assert!(told < Some(9), "its turn came in round {told:?}");
        stop.cancel();
        scheduler.await.unwrap();
    }
}
