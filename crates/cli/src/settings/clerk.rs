//! The settings of a clerk.

use std::net::SocketAddr;
use std::time::Duration;

use clerkwork_broker::amqp::QueueType;
use clerkwork_clerk::{Config, Origin};
use clerkwork_core::QueueName;

use super::check::Check;
use super::log::LogSettings;
use super::store;
use super::values::{self, BrokerAddress, StoreAddress};

/// What `clerkwork clerk` needs to know.
#[derive(Debug)]
pub(crate) struct ClerkSettings {
    pub(crate) log: LogSettings,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) store: StoreAddress,
    pub(crate) broker: String,
    pub(crate) queue_type: QueueType,
    pub(crate) start_timeout: Duration,
    pub(crate) config: Config,
}

impl ClerkSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        Self {
            log: LogSettings::read(check),
            listen: listen(check),
            store: store::read(check),
            broker: broker(check),
            queue_type: queue_type(check),
            start_timeout: check.duration("start-timeout"),
            config: config(check),
        }
    }
}

/// The address to listen on.
pub(super) fn listen(check: &mut Check) -> Vec<SocketAddr> {
    let listen = check.parse("listen", values::addresses);
    listen.unwrap_or_default()
}

/// RabbitMQ; needed by clerks and workers of a fleet.
pub(super) fn broker(check: &mut Check) -> String {
    let before = check.errors();
    let broker = check.parse("broker", |text| match BrokerAddress::parse(text)? {
        BrokerAddress::Amqp(url) => Ok(url),
        BrokerAddress::Memory => {
            Err("a queue in memory serves one process: use `clerkwork dev`".to_owned())
        }
    });
    if broker.is_none() && check.errors() == before {
        check.wrong("--broker is not set: give amqp://user:password@host:5672/vhost");
    }
    broker.unwrap_or_default()
}

pub(super) fn queue_type(check: &mut Check) -> QueueType {
    match check.word("queue-type").as_deref() {
        Some("classic") => QueueType::Classic,
        _ => QueueType::Quorum,
    }
}

pub(super) fn prefix(check: &mut Check) -> String {
    let prefix = check.parse("prefix", |text| match text.parse::<QueueName>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    });
    prefix.unwrap_or_default()
}

/// What the clerk itself is told.
pub(super) fn config(check: &mut Check) -> Config {
    let usual = Config::default();
    Config {
        name: hostname(),
        prefix: prefix(check),
        wait_max: check.duration("wait-max"),
        max_input: check.size("max-input"),
        max_output: check.size("max-output"),
        retention: check.duration("retention"),
        heartbeat: check
            .optional_duration("heartbeat")
            .unwrap_or(usual.heartbeat),
        lease: check.duration("lease"),
        margin: check.optional_duration("margin").unwrap_or(usual.margin),
        grace: check.duration("grace"),
        queues: check.names("queues", |name| {
            name.parse::<QueueName>().map_err(|error| error.to_string())
        }),
        create_queues: false,
        window: check.count("window").unwrap_or(usual.window),
        queue_cap: check.count("queue-cap"),
        max_unfinished: check.count("max-unfinished"),
        rate_submit: check.count("rate-submit"),
        rate_other: check.count("rate-other"),
        held_max: check.count("held-max").unwrap_or(usual.held_max),
        send_tenant: check.switch("send-tenant"),
        cors_origins: check.names("cors-origins", |origin| {
            origin.parse::<Origin>().map_err(|error| error.to_string())
        }),
        webhook_allow: check.names("webhook-allow", values::network),
        ..usual
    }
}

fn hostname() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "clerk".to_owned())
}
