//! Time: the wall clocks of the nodes and of the database, all made of the runtime's paused clock.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use clerkwork_core::clock::set_wall;
use clerkwork_core::{Clock, UnixMs};
use tokio::time::Instant;

/// When every run begins.
const BEGIN: i64 = 1_800_000_000_000;

/// The clock on the wall of one machine: the true time and how far it is off.
#[derive(Debug)]
pub(crate) struct Wall {
    begun: Instant,
    off_ms: AtomicI64,
}

impl Wall {
    /// A clock that shows the true time, in a run that began then.
    pub(crate) fn new(begun: Instant) -> Arc<Self> {
        Arc::new(Self {
            begun,
            off_ms: AtomicI64::new(0),
        })
    }

    /// Sets the clock ahead, or back.
    pub(crate) fn step(&self, ms: i64) {
        self.off_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Wall {
    fn now(&self) -> UnixMs {
        let passed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        UnixMs(BEGIN + passed + self.off_ms.load(Ordering::Relaxed))
    }
}

/// Does something on a machine that has this clock.
pub(crate) fn under<T>(wall: &Arc<Wall>, act: impl FnOnce() -> T) -> T {
    let before = set_wall(Some(wall.clone()));
    let done = act();
    set_wall(before);
    done
}

/// A future that runs on a machine with this clock.
pub(crate) struct Under<F> {
    wall: Arc<Wall>,
    work: Pin<Box<F>>,
}

impl<F> Under<F> {
    pub(crate) fn new(wall: &Arc<Wall>, work: F) -> Self {
        Self {
            wall: wall.clone(),
            work: Box::pin(work),
        }
    }
}

impl<F: Future> Future for Under<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let wall = self.wall.clone();
        under(&wall, || self.work.as_mut().poll(context))
    }
}
