//! Connecting: how a session is set up, and why it was refused.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use clerkwork_faults::{Defect, has};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use super::session::Session;
use crate::Error;

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the record is.
#[derive(Clone)]
pub struct Options {
    /// The address: `postgres://user:password@host:port/database`.
    pub url: String,
    /// The schema, if it is not the one that the server would take.
    pub schema: Option<String>,
    /// Set where jobs are accepted and recorded: the log then says how safe they are. Not set for commands
    /// that only work on keys and settings.
    pub is_for_jobs: bool,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = parse(&self.url).map_or_else(|_| "?".to_owned(), |options| place(&options));
        f.debug_struct("Options")
            .field("place", &place)
            .field("schema", &self.schema)
            .finish()
    }
}

impl Options {
    /// The database at this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: None,
            is_for_jobs: true,
        }
    }

    /// Opens a session for statements that are done in seconds.
    pub(super) async fn session(&self) -> Result<Session, Error> {
        self.connect("9s").await
    }

    /// Opens a session for migrations and pruning.
    pub(super) async fn upkeep(&self) -> Result<Session, Error> {
        self.connect("0").await
    }

    /// How sessions are opened.
    pub(super) fn connecting(&self, statement_timeout: &str) -> Result<PgConnectOptions, Error> {
        let mut options = parse(&self.url)?;
        if options.get_application_name().is_none() {
            options = options.application_name("clerkwork");
        }
        options = options
            .options(SETTINGS)
            .options([("statement_timeout", statement_timeout)])
            .disable_statement_logging();
        if has(Defect::AcceptBeforeCommit) {
            options = options.options([("synchronous_commit", "off")]);
        }
        if let Some(schema) = &self.schema {
            options = options.options([("search_path", schema)]);
        }
        Ok(options)
    }

    async fn connect(&self, statement_timeout: &str) -> Result<Session, Error> {
        let options = self.connecting(statement_timeout)?;
        let connecting = tokio::time::timeout(CONNECT, begin(&options)).await;
        let connected = connecting.map_err(|_| {
            let (place, limit) = (place(&options), CONNECT.as_secs());
            Error::Unavailable(format!(
                "PostgreSQL at {place} did not answer within {limit} s"
            ))
        })?;
        Ok(Session::new(
            connected.map_err(|error| refused(&error, &options))?,
        ))
    }
}

async fn begin(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut conn = PgConnection::connect_with(options).await?;
    conn.execute(NEWER_SETTINGS).await?;
    Ok(conn)
}

/// Settings of each session, whatever the server, the database or the role has set.
///
/// Of the planner's, those are off that would read a whole day for each batch: a day begins empty, and
/// a plan made then stays. The settings of formats are sqlx's own.
const SETTINGS: [(&str, &str); 19] = [
    ("synchronous_commit", "on"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_indexscan", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_bitmapscan", "on"),
    ("enable_nestloop", "on"),
    ("enable_partition_pruning", "on"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("standard_conforming_strings", "on"),
];

/// Limits of sessions that came with PostgreSQL 14 and 17. An older server would refuse a session that
/// begins with them.
const NEWER_SETTINGS: &str = "
    select set_config(name, '0', false)
    from unnest(array['idle_session_timeout', 'transaction_timeout']) as limits (name)
    where current_setting(name, true) is not null";

fn parse(url: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url).ok();
    let options = options.filter(|_| reads_one_way(url)).ok_or_else(|| {
        Error::Setting(
            "the store's address is not like postgres://user:password@host:port/database; in a name or \
             password write %40 for @, %2F for /, %3F for ?, %23 for # and %25 for %"
                .to_owned(),
        )
    })?;
    let asked = url.contains("sslmode=") || url.contains("ssl-mode=");
    Ok(if !asked && is_this_machine(options.get_host()) {
        options.ssl_mode(PgSslMode::Disable)
    } else {
        options
    })
}

/// Whether no part of a password can have been read as something else, which would then be shown: after the host
/// there is one name, and nothing that belongs before it.
fn reads_one_way(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (_, after_host) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let database = after_host.strip_prefix('/').unwrap_or(after_host);
    let database = database.split('?').next().unwrap_or_default();
    !database.contains('/') && !after_host.contains(['@', '#'])
}

/// What does not leave the machine is not encrypted unless asked for. Beside the work, a batch of
/// more than one TLS record goes out in several segments, and sqlx leaves Nagle's algorithm on: each
/// such batch would wait 40 ms for a delayed acknowledgement.
fn is_this_machine(host: &str) -> bool {
    let loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.starts_with('/') || host.parse().is_ok_and(loopback)
}

/// The server and the database, without the password.
fn place(options: &PgConnectOptions) -> String {
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    format!("{}:{}/{database}", options.get_host(), options.get_port())
}

fn refused(error: &sqlx::Error, options: &PgConnectOptions) -> Error {
    let (place, user) = (place(options), options.get_username());
    let sqlx::Error::Database(refusal) = error else {
        return match error {
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => {
                Error::Setting(format!("PostgreSQL at {place}: {error}: check sslmode"))
            }
            _ => Error::Unavailable(format!("PostgreSQL at {place} cannot be reached: {error}")),
        };
    };
    match refusal.code().unwrap_or_default().as_ref() {
        "28P01" => Error::Setting(format!(
            "PostgreSQL at {place} refused the password of user {user}: check the store's address"
        )),
        "28000" => Error::Setting(format!(
            "PostgreSQL at {place} lets user {user} not in: {}",
            refusal.message()
        )),
        "3D000" => Error::Setting(format!(
            "PostgreSQL at {place} has no such database: make it (createdb) or check the address"
        )),
        _ => Error::Unavailable(format!(
            "PostgreSQL at {place} refused: {}",
            refusal.message()
        )),
    }
}
