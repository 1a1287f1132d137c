//! The settings of a clerk.

use std::time::Duration;

use clerkwork_core::QueueName;
use ipnet::IpNet;

use crate::Origin;

/// The settings of a clerk, checked by whoever made them; the defaults are those of the command
/// line.
#[derive(Clone, Debug)]
pub struct Config {
    /// The clerk's name, for people: usually the machine's.
    pub name: String,
    /// The prefix of queues and exchanges.
    pub prefix: String,
    /// The longest wait of a held request.
    pub wait_max: Duration,
    /// The largest input, in bytes.
    pub max_input: usize,
    /// The largest output, in bytes.
    pub max_output: usize,
    /// How long a job stays readable after its end.
    pub retention: Duration,
    /// The time between heartbeats; silent for ten, a clerk is taken over.
    pub heartbeat: Duration,
    /// How long the worker of a held job may be silent; three times that while the broker guards it.
    pub lease: Duration,
    /// How long a dispatch may go unseen before it is checked; twice as long after each doubt.
    pub margin: Duration,
    /// How long a drain may take.
    pub grace: Duration,
    /// Queues to declare at the start.
    pub queues: Vec<QueueName>,
    /// Whether a submission creates its queue.
    pub create_queues: bool,
    /// Jobs of a queue on the broker, unstarted.
    pub window: u32,
    /// Unfinished jobs per queue, beyond which submissions are refused.
    pub queue_cap: Option<u64>,
    /// Unfinished jobs per tenant, beyond which submissions are refused.
    pub max_unfinished: Option<u64>,
    /// Submissions per second and key.
    pub rate_submit: Option<u32>,
    /// Other requests per second and key.
    pub rate_other: Option<u32>,
    /// Held requests, beyond which requests answer at once.
    pub held_max: usize,
    /// Whether jobs carry an opaque id of their tenant.
    pub send_tenant: bool,
    /// A line in the log, at the level info, for each job that ends; a purge has one for all.
    pub log_jobs: bool,
    /// The web pages that may call from a browser, beside those of the same origin.
    pub cors_origins: Vec<Origin>,
    /// Private networks that webhooks may reach, by plain http and on any port too.
    pub webhook_allow: Vec<IpNet>,
    /// How often who follows jobs is told that the connection lives, and looked at whether they still
    /// may; a WebSocket's client is given up that was silent for three times as long.
    pub beat: Duration,
    /// How often keys are read anew. What a revoked key has opened ends after this and a beat.
    pub key_round: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "clerk".to_owned(),
            prefix: "clerkwork".to_owned(),
            wait_max: Duration::from_secs(45),
            max_input: 4 * 1024 * 1024,
            max_output: 4 * 1024 * 1024,
            retention: Duration::from_secs(7 * 24 * 3600),
            heartbeat: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            margin: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            queues: Vec::new(),
            create_queues: false,
            window: 2_000,
            queue_cap: None,
            max_unfinished: None,
            rate_submit: None,
            rate_other: None,
            held_max: 20_000,
            send_tenant: false,
            log_jobs: false,
            cors_origins: Vec::new(),
            webhook_allow: Vec::new(),
            beat: Duration::from_secs(15),
            key_round: Duration::from_secs(4),
        }
    }
}
