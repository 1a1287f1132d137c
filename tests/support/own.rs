//! Servers of one's own, for tests that kill them or set them up differently.
//!
//! They run from the programs that Debian's packages install, on free ports, with their data in temporary folders.

mod postgres;
mod rabbit;

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;

use tokio::sync::{Semaphore, SemaphorePermit};

pub use postgres::Postgres;
pub use rabbit::Rabbit;

use crate::services::Services;

/// How many tests have servers of their own at a time: each takes memory, and a core while it starts.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A PostgreSQL and a RabbitMQ that nobody else uses.
#[derive(Debug)]
pub struct Own {
    /// The PostgreSQL.
    pub postgres: Postgres,
    /// The RabbitMQ.
    pub rabbit: Rabbit,
    _turn: Turn,
}

/// The right to have servers of one's own.
#[derive(Debug)]
pub struct Turn {
    _permit: SemaphorePermit<'static>,
}

/// Waits for one's turn; `None`, said aloud, where `scripts/test` has found that the programs are not on this machine.
pub async fn turn() -> Option<Turn> {
    if env::var("CLERKWORK_TEST_OWN_SERVERS").is_ok_and(|word| word == "no") {
        eprintln!("NOT RUN: the programs of RabbitMQ and PostgreSQL are not on this machine");
        return None;
    }
    let permit = TURNS.acquire().await.expect("nobody closes it");
    Some(Turn { _permit: permit })
}

impl Own {
    /// Starts both, in one's [`turn`].
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts both with more in their environment.
    pub async fn start_with(variables: &[(String, PathBuf)]) -> Option<Self> {
        Self::start_set(variables, "").await
    }

    /// Starts both with more in their environment, and with more lines in the broker's `rabbitmq.conf`.
    pub async fn start_set(variables: &[(String, PathBuf)], settings: &str) -> Option<Self> {
        let turn = turn().await?;
        let (rabbit, postgres) = tokio::join!(
            Rabbit::launch(variables, settings),
            Postgres::start_with(variables)
        );
        Some(Self {
            postgres,
            rabbit,
            _turn: turn,
        })
    }

    /// Where they answer.
    #[must_use]
    pub fn services(&self) -> Services {
        Services {
            postgres: self.postgres.url(),
            rabbit: self.rabbit.url(),
        }
    }
}

/// A port below those that the kernel gives to clients, so that it is still free after a restart.
#[must_use]
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id().wrapping_mul(61) % 10_000).unwrap_or_default();
    loop {
        let port = 18_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
