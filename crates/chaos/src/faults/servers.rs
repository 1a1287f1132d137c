//! What RabbitMQ, PostgreSQL and the machine can be told to do to everybody.

use std::io;

use tokio::task::block_in_place;

use crate::fleet::Fleet;

pub(super) fn alarm(fleet: &Fleet, on: bool) {
    let mark: &[&str] = if on { &["absolute", "1MB"] } else { &["0.6"] };
    let words = [&["set_vm_memory_high_watermark"], mark].concat();
    block_in_place(|| fleet.own.rabbit.control(&words));
}

pub(super) async fn terminate_backends(fleet: &Fleet) {
    let services = fleet.own.services();
    services
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
        .await;
}

pub(super) async fn read_only(fleet: &Fleet, on: bool) {
    let services = fleet.own.services();
    let word = if on { "on" } else { "off" };
    let statement = format!("ALTER SYSTEM SET default_transaction_read_only = {word}");
    services.sql(&statement).await;
    services.sql("SELECT pg_reload_conf()").await;
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
