//! `demo`: the whole tour on this machine, with nothing to install and nothing left behind.

mod server;
mod tour;
pub(crate) mod worker;

use std::time::Instant;

use clap::Args;
use clerkwork_client::Client;

use crate::exit::{Exit, Failure};
use crate::terminal::announce;
use server::Server;
use tour::Tour;

/// See everything at work in under ten seconds; nothing to install, nothing left behind
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork demo
  clerkwork demo --keep        leaves it running and prints its address")]
pub(crate) struct Demo {
    /// Leave the server running at the end, so that the printed curl commands work
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let begin = Instant::now();
        let folder = tempfile::Builder::new()
            .prefix("clerkwork-demo-")
            .tempdir()?;
        let mut server = Server::start(folder.path(), "127.0.0.1:0").await?;
        announce(&format!(
            "A clerk and its workers in one process: {}\nIts record: {}\n",
            server.url(),
            folder.path().display()
        ))?;
        let client = Client::new(server.url())?;
        Tour::new(client, server.url()).run(&mut server).await?;
        announce(&format!(
            "Every answer was right, in {:.1} s.",
            begin.elapsed().as_secs_f64()
        ))?;
        if self.keep {
            let (folder, url) = (folder.keep(), server.url().to_owned());
            let folder = folder.to_string_lossy();
            let folder = shell_words::quote(&folder);
            let pid = server.leave();
            announce(&format!(
                "It goes on at {url}\nTo end it: kill {pid}; rm -r {folder}"
            ))?;
        } else {
            server.end().await?;
            announce(
                "The server has ended, and its record is deleted. \
                 `clerkwork demo --keep` leaves it running: then the curl commands above work.",
            )?;
        }
        Ok(Exit::Ok)
    }
}
