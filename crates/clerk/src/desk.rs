//! What the endpoints may use.

use std::sync::Arc;

use clerkwork_core::{SystemClock, WatchSeal};
use clerkwork_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::events::Hub;
use crate::health::Health;
use crate::intake::Intake;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::queues::Queues;
use crate::recorder::RecorderHandle;
use crate::waiters::Waiters;
use crate::webhooks::{Guard, Waker};

/// What the endpoints may use: handles of the clerk's parts, and the store for reading.
#[derive(Debug)]
pub struct Desk {
    /// The settings.
    pub config: Config,
    /// The time, kept with the store's.
    pub clock: Arc<SystemClock>,
    /// The record, for reading only.
    pub store: Arc<dyn Store>,
    /// Whether the queue lives in this process.
    pub in_process: bool,
    /// Takes new jobs.
    pub intake: Intake,
    /// Takes what is asked of jobs.
    pub recorder: RecorderHandle,
    /// Who waits for which job.
    pub waiters: Waiters,
    /// What attempts tell while they run.
    pub hub: Hub,
    /// What is known of queues.
    pub queues: Queues,
    /// Where webhooks may go.
    pub guard: Guard,
    /// Wakes the webhooks.
    pub webhooks: Waker,
    /// Whether store and broker answer.
    pub health: Health,
    /// Cancelled when the drain begins: held requests are answered at once.
    pub draining: CancellationToken,
    /// Who holds which API key.
    pub keys: Keys,
    /// How much each key may ask for.
    pub limits: Limits,
    /// Seals watch tokens.
    pub watch_seal: WatchSeal,
    /// Seals list cursors.
    pub cursor_secret: [u8; 32],
}
