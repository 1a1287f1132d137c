//! What is due without anybody saying so: time-outs, ends by force, holding, late progress.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::hands::Rules;
use crate::teller::Ring;

/// One look for all deliveries is cheaper than a timer for each.
const EVERY: Duration = Duration::from_millis(50);

/// Looks at what is in hand until told to stop.
pub(super) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    // In one process nothing is lost while the process lives, and nothing outlives it: the queue
    // guards a job of any length.
    let hold_after = (!desk.broker.in_process()).then_some(desk.options.hold_after);
    let rules = Rules { hold_after };
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = Instant::now();
        let mut untold = false;
        desk.hands.each(|hand| untold |= hand.sweep(now, rules));
        if untold {
            desk.outbox.bell.ring(Ring::Soon);
        }
    }
}
