//! The workers of the demo: this binary itself, so that nothing else is needed.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::exit::{Exit, Failure};

/// A command as the demo's workers run it: input on standard input, output on standard output
#[derive(Debug, Args)]
pub(crate) struct DemoWorker {
    act: Act,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Act {
    /// Answers in capitals.
    Shout,
    /// Fails twice, then answers.
    Stumble,
    /// Does not end by itself.
    Linger,
    /// Answers after a moment.
    Ponder,
    /// Tells how far it has come, and answers.
    Paint,
}

/// The attempt that does not stumble.
const STEADY: u32 = 3;

const MOMENT: Duration = Duration::from_millis(150);
/// Clients see progress at most four times a second.
const PAGE: Duration = Duration::from_millis(300);
const PAGES: u32 = 3;
const LONG: Duration = Duration::from_secs(3600);

impl DemoWorker {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut input = String::new();
        std::io::stdin().lock().read_to_string(&mut input)?;
        match self.act {
            Act::Shout => {}
            Act::Stumble => {
                let attempt = std::env::var("CLERKWORK_ATTEMPT").ok();
                let attempt: u32 = attempt.and_then(|text| text.parse().ok()).unwrap_or(0);
                if attempt < STEADY {
                    crate::terminal::note(&format!("attempt {attempt} stumbles"));
                    return Ok(Exit::Again);
                }
            }
            Act::Linger => tokio::time::sleep(LONG).await,
            Act::Ponder => tokio::time::sleep(MOMENT).await,
            Act::Paint => paint().await?,
        }
        std::io::stdout()
            .lock()
            .write_all(input.to_uppercase().as_bytes())?;
        Ok(Exit::Ok)
    }
}

/// Tells of each page on file descriptor 3.
async fn paint() -> std::io::Result<()> {
    let mut events = std::fs::OpenOptions::new().write(true).open("/dev/fd/3")?;
    for page in 1..=PAGES {
        let fraction = f64::from(page) / f64::from(PAGES);
        writeln!(events, "progress {fraction:.2} page {page} of {PAGES}")?;
        tokio::time::sleep(PAGE).await;
    }
    Ok(())
}
