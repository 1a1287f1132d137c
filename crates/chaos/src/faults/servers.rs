//! What RabbitMQ and PostgreSQL can be told to do to everybody.

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
