//! Measures the embedded mode and the fleet beside a bare RPC loop over the same broker, in one run.
//!
//! `scripts/bench` builds what it needs and runs it. Everything runs on this machine, clients and
//! servers alike, so the figures are ratios of each other rather than limits of anything.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod bare;
mod cpu;
mod http;
mod load;
mod scenes;

use scenes::Failure;
use tokio::runtime::Builder;

/// Runs all scenes, or those whose names are given: `bare`, `embedded`, `fleet`, `drain`, `backlog`.
fn main() -> Result<(), Failure> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    println!("| scene | per second | p50 ms | p99 ms | own CPU µs per job |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let bare = if wants("bare") {
        let both_ends = Builder::new_multi_thread().enable_all().build()?;
        Some(both_ends.block_on(scenes::bare())?)
    } else {
        None
    };
    // Clients share the machine with what they measure, so they run on the one thread that costs least.
    let clients = Builder::new_current_thread().enable_all().build()?;
    let fleet = clients.block_on(ours(wants))?;
    if let (Some(bare), Some(fleet)) = (bare, fleet) {
        println!(
            "\nAt 64 clients the fleet does {:.2} of the bare loop.",
            fleet / bare
        );
    }
    Ok(())
}

/// The scenes of Clerkwork; returns the fleet's rate at 64 clients.
async fn ours(wants: impl Fn(&str) -> bool) -> Result<Option<f64>, Failure> {
    if wants("embedded") {
        scenes::embedded().await?;
    }
    let fleet = if wants("fleet") {
        Some(scenes::fleet().await?)
    } else {
        None
    };
    if wants("drain") {
        scenes::drain().await?;
    }
    if wants("backlog") {
        scenes::backlog().await?;
    }
    Ok(fleet)
}
