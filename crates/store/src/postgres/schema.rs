//! The schema's version, and settings of the server that we cannot do without.

use clerkwork_core::UnixMs;

use super::days;
use super::open::Options;
use super::session::Session;
use super::trouble::Trouble;
use crate::{Error, Migrated, version};

/// The schema, version by version.
const MIGRATIONS: [(&str, &str); 5] = [
    (
        "jobs",
        include_str!("../../migrations/postgres/0001_jobs.sql"),
    ),
    (
        "api_keys",
        include_str!("../../migrations/postgres/0002_api_keys.sql"),
    ),
    (
        "webhooks",
        include_str!("../../migrations/postgres/0003_webhooks.sql"),
    ),
    (
        "cancels_and_failures",
        include_str!("../../migrations/postgres/0004_cancels_and_failures.sql"),
    ),
    (
        "readable_failures",
        include_str!("../../migrations/postgres/0005_readable_failures.sql"),
    ),
];

/// One migrates at a time, and who comes second waits for the first: ten minutes at most, as all upkeep. The lock is the
/// session's, and of this schema: sqlx's own is of the whole database, in which others may have fleets too.
const TURN: [&str; 3] = [
    "set lock_timeout = '600s'",
    "select pg_advisory_lock(hashtext('clerkwork migrate ' || current_schema()))",
    "reset lock_timeout",
];

/// Brings the schema up to date and makes the days around now.
pub(super) async fn migrate(options: &Options) -> Result<Migrated, Error> {
    let found = located(options).await?;
    let mut session = found.upkeep().await?;
    keeps_what_it_gets(&mut session).await?;
    refuse_to_choose(options, &current(&mut session).await?).await?;
    for text in TURN {
        session.run(text).await?;
    }
    let migrations = version::migrations(&MIGRATIONS);
    let applied = applied(&mut session).await?;
    version::refuse_newer(&migrations, &applied)?;
    let migrated = migrations
        .run_direct(None, session.connection(), false)
        .await;
    migrated.map_err(version::failed)?;
    let now = now(&mut session).await?;
    days::make_around(&mut session, now).await?;
    session.close().await;
    Ok(Migrated::of(&migrations, &applied))
}

/// Refuses a server or a schema that does not fit.
pub(super) async fn check(options: &Options) -> Result<(), Error> {
    let mut session = located(options).await?.session().await?;
    fits(&mut session).await?;
    session.close().await;
    Ok(())
}

/// Refuses what [`check`] refuses, on an open session.
pub(super) async fn fits(session: &mut Session) -> Result<(), Error> {
    keeps_what_it_gets(session).await?;
    current(session).await?;
    let applied = applied(session).await?;
    version::refuse_other(&version::migrations(&MIGRATIONS), &applied)
}

/// Tells the log where no standby must confirm a commit.
pub(super) async fn tell_of_standbys(session: &mut Session) -> Result<(), Error> {
    let standbys = setting(session, "synchronous_standby_names").await?;
    if standbys.is_empty() {
        tracing::info!(
            "no synchronous standby: jobs accepted just before a failover may be lost \
             (synchronous_standby_names is empty)"
        );
    }
    Ok(())
}

/// Refuses a server that forgets in a crash what it has committed, and a database that cannot keep every text.
async fn keeps_what_it_gets(session: &mut Session) -> Result<(), Error> {
    if setting(session, "fsync").await? == "off" {
        return Err(Error::Setting(
            "PostgreSQL runs with fsync = off and would lose accepted jobs in a crash: turn it on"
                .to_owned(),
        ));
    }
    let encoding = setting(session, "server_encoding").await?;
    if encoding != "UTF8" {
        let name: Vec<String> = session
            .scalars(sqlx::query_scalar("select current_database()::text"))
            .await?;
        return Err(Error::Setting(format!(
            "the database {} has the encoding {encoding} and would refuse texts of jobs: make one with UTF8 \
             (createdb --encoding=UTF8 --template=template0 NAME)",
            name.concat()
        )));
    }
    Ok(())
}

/// The options with the schema in which the record is, or will be: whoever changes the role's search_path, or makes a
/// schema that comes first in it, moves no session elsewhere.
pub(super) async fn located(options: &Options) -> Result<Options, Error> {
    let mut options = options.clone();
    if options.schema.is_none() {
        let mut session = options.session().await?;
        let found: Vec<String> = session.scalars(sqlx::query_scalar(HOME)).await?;
        options.schema = Some(match found.into_iter().next() {
            Some(found) => found,
            None => current(&mut session).await?,
        });
        session.close().await;
    }
    Ok(options)
}

/// Refuses to migrate a record that is not in the first schema of the search_path: that one may have been made for
/// a record of its own.
async fn refuse_to_choose(options: &Options, found: &str) -> Result<(), Error> {
    let mut session = options.session().await?;
    let first = current(&mut session).await?;
    session.close().await;
    if first == found {
        return Ok(());
    }
    Err(Error::Setting(format!(
        "the schema {first} comes first in search_path and has no record, and the schema {found} has one: set \
         search_path of the role so that the schema that is meant comes first"
    )))
}

/// The first schema of the search_path that has a record, as `search_path` takes it.
const HOME: &str = "
    select quote_ident(name) from unnest(current_schemas(false)) with ordinality as path (name, place)
    where to_regclass(quote_ident(name) || '._sqlx_migrations') is not null
        and to_regclass(quote_ident(name) || '.clerks') is not null
        and to_regclass(quote_ident(name) || '.jobs') is not null
    order by place limit 1";

/// The schema in which the session works, as `search_path` takes it.
async fn current(session: &mut Session) -> Result<String, Error> {
    let text = "select quote_ident(current_schema())";
    let found: Vec<Option<String>> = session.scalars(sqlx::query_scalar(text)).await?;
    found.into_iter().flatten().next().ok_or_else(|| {
        Error::Setting(
            "PostgreSQL knows no schema to work in: search_path of the role or the database names \
             none that is there and may be used: set it, or make the schema"
                .to_owned(),
        )
    })
}

async fn setting(session: &mut Session, name: &str) -> Result<String, Trouble> {
    let query = sqlx::query_scalar("select current_setting($1)").bind(name);
    let value = session.scalars(query).await?;
    Ok(value.into_iter().next().unwrap_or_default())
}

/// The server's time.
pub(super) async fn now(session: &mut Session) -> Result<UnixMs, Trouble> {
    let text = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
    let now = session.scalars(sqlx::query_scalar(text)).await?;
    Ok(UnixMs(now.first().copied().unwrap_or(0)))
}

async fn applied(session: &mut Session) -> Result<Vec<i64>, Error> {
    let text = "select version from _sqlx_migrations where success";
    match session.scalars(sqlx::query_scalar(text)).await {
        Err(Trouble::NoDay) => Ok(Vec::new()),
        applied => Ok(applied?),
    }
}
