//! What RabbitMQ, PostgreSQL and the machine can be told to do to everybody.

use std::io;

use crate::Failure;
use crate::fleet::Fleet;

pub(super) async fn alarm(fleet: &Fleet, on: bool) {
    let mark: &[&str] = if on { &["absolute", "1MB"] } else { &["0.6"] };
    let words = [&["set_vm_memory_high_watermark"], mark].concat();
    fleet.own.rabbit.control(&words).await;
}

/// What is blocked must consume nothing: its acknowledgements would wait behind what cannot be published.
pub(super) async fn none_consumes_blocked(fleet: &Fleet) -> Result<(), Failure> {
    let list = async |what: &str, of: [&str; 2]| {
        let words = [&["-q", what, "--no-table-headers"], &of[..]].concat();
        let listed = fleet.own.rabbit.control(&words).await.stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let rows = listed.lines().filter_map(|line| line.split_once('\t'));
        let rows = rows.map(|(one, other)| (one.to_owned(), other.trim().to_owned()));
        rows.collect::<Vec<_>>()
    };
    let consuming = list("list_channels", ["connection", "consumer_count"]).await;
    let blocked = list("list_connections", ["pid", "state"]).await;
    let blocked = blocked.iter().filter(|(_, state)| state == "blocked");
    for (connection, _) in blocked {
        let consumes = |(owner, count): &(String, String)| owner == connection && count != "0";
        if consuming.iter().any(consumes) {
            return Err("a connection that the broker has blocked consumes".into());
        }
    }
    Ok(())
}

pub(super) async fn terminate_backends(fleet: &Fleet) {
    let services = fleet.own.services();
    services
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
        .await;
}

/// As after a failover to a standby that is not promoted yet: sessions set `default_transaction_read_only` themselves.
pub(super) async fn read_only(fleet: &mut Fleet, on: bool) {
    match on {
        true => fleet.own.postgres.demote().await,
        false => fleet.own.postgres.promote().await,
    }
}

pub(super) fn slow_disk(fleet: &Fleet, ms: u64) -> io::Result<()> {
    let disk = fleet.rig.disk.as_ref();
    disk.map_or(Ok(()), |disk| disk.slow(ms))
}

pub(super) fn set_clock(fleet: &Fleet, clerk: usize, seconds: i64) -> io::Result<()> {
    let clocks = fleet.rig.clocks.as_ref();
    clocks.map_or(Ok(()), |clocks| {
        clocks.set(&fleet.clerks[clerk].name, seconds)
    })
}
