//! How values are written: durations, sizes, addresses.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clerkwork_core::QueueName;
use ipnet::IpNet;

/// Reads `250ms`, `30s`, `5m`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "it is written like 250ms, 30s, 5m, 12h or 7d".to_owned())
}

/// Reads a duration of a client's option, where a bare number counts seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => duration(text).map_err(|error| format!("{error}, or in seconds")),
    }
}

/// Reads `64KiB`, `4MiB`, or a number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "it is written like 64KiB or 4MiB".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(wrong)
}

/// Reads `host:port`; the host may have several addresses.
pub(crate) fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    match text.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(_) => Err("it is written like 127.0.0.1:8080".to_owned()),
    }
}

/// Reads `10.0.0.0/8` or `fd00::/8`.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .map_err(|_| "it is a network, written like 10.0.0.0/8 or fd00::/8".to_owned())
}

/// Reads `queue` or `queue*4`.
pub(crate) fn queue(text: &str) -> Result<(QueueName, Option<usize>), String> {
    let (name, concurrency) = match text.split_once('*') {
        Some((name, number)) => {
            let number = number
                .parse()
                .ok()
                .filter(|number| (1..=10_000).contains(number));
            let number = number.ok_or("the number after * must be between 1 and 10000")?;
            (name, Some(number))
        }
        None => (text, None),
    };
    let name = name
        .parse()
        .map_err(|error| format!("the queue's name {error}"))?;
    Ok((name, concurrency))
}

/// Where the record is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoreAddress {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Where the message queue is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum BrokerAddress {
    Memory,
    Amqp(String),
}

impl StoreAddress {
    /// The error does not repeat the text: it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path)) {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("it is written like postgres://user:password@host/database or sqlite:DIR/clerkwork.db".to_owned()),
        }
    }
}

impl BrokerAddress {
    /// The error does not repeat the text: it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("amqp://") || text.starts_with("amqps://") {
            return Ok(Self::Amqp(text.to_owned()));
        }
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        Err(
            "it is written like amqp://user:password@host:5672/vhost, amqps://…, or memory:"
                .to_owned(),
        )
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://…"),
        }
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory:",
            Self::Amqp(_) => "amqp://…",
        })
    }
}
