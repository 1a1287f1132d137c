//! A worker of a fleet with a typed handler; the broker and the prefix come from the environment.
//!
//! `cargo run --release -p clerkwork --example upper_worker -- --queue upper --concurrency N`

use std::error::Error;

use clap::Parser;
use clerkwork::{Fleet, JobError};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "upper")]
    queue: String,
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
}

#[derive(Deserialize, Serialize)]
struct Text {
    text: String,
}

async fn upper(input: Text) -> Result<Text, JobError> {
    Ok(Text {
        text: input.text.to_uppercase(),
    })
}

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "whoever starts the example waits for this line"
)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let fleet = Fleet::from_environment()?;
    let worker = fleet
        .worker(())
        .queue(&arguments.queue, upper)
        .concurrency(arguments.concurrency);
    let ready = || println!("upper_worker consuming {}", arguments.queue);
    clerkwork::until_signal(|stop| fleet.run(worker, stop, ready)).await??;
    Ok(())
}
