//! The whole of Clerkwork in one program: a clerk, its record in a folder, and a typed handler.
//!
//! `cargo run --release -p clerkwork --example embedded_upper -- --listen ADDR --data DIR`

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use clerkwork::{Embedded, JobError, Worker};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[arg(long, default_value = "./clerkwork-data")]
    data: PathBuf,
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
    reason = "whoever starts the example wants the address"
)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let worker = Worker::new(()).queue("upper", upper);
    let system = Embedded::new(arguments.data)
        .listen([arguments.listen])
        .worker(worker)
        .start()
        .await?;
    println!("embedded_upper listening on http://{}", system.address());
    clerkwork::until_signal(|stop| system.run(stop)).await??;
    Ok(())
}
