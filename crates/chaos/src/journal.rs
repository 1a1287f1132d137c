//! The journal in which a worker writes down when it starts and ends a job.

use std::env;
use std::fs::File;
use std::io::{self, Write as _};

use clerkwork_checker::{How, What};

use crate::Failure;
use crate::recorder::now;

/// The variable with the path of the journal.
pub(crate) const JOURNAL: &str = "CHAOS_JOURNAL";
/// The variable with the name of the worker.
pub(crate) const WORKER: &str = "CHAOS_WORKER";

/// The file in which runs are written down.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The worker's name and the number of this process.
    pub(crate) worker: String,
    file: File,
}

impl Journal {
    /// Opens the journal that this process was started with.
    pub(crate) fn open() -> Result<Self, Failure> {
        let path = env::var(JOURNAL)?;
        Ok(Self {
            worker: format!("{}-{}", env::var(WORKER)?, std::process::id()),
            file: File::options().create(true).append(true).open(path)?,
        })
    }

    /// Writes one line at once, so that a kill leaves whole lines.
    fn write(&self, what: What) -> io::Result<()> {
        let line = format!("{}\n", what.at(now()).to_line());
        (&self.file).write_all(line.as_bytes())
    }

    pub(crate) fn start(&self, job: &str, token: &str, nonce: &str) -> io::Result<()> {
        self.write(What::Start {
            worker: self.worker.clone(),
            job: job.to_owned(),
            token: Some(token.to_owned()),
            nonce: nonce.to_owned(),
        })
    }

    pub(crate) fn end(&self, job: &str, nonce: &str, how: How) -> io::Result<()> {
        self.write(What::End {
            worker: self.worker.clone(),
            job: job.to_owned(),
            nonce: nonce.to_owned(),
            how,
        })
    }

    pub(crate) fn bad_input(&self, job: &str, why: String) -> io::Result<()> {
        self.write(What::BadInput {
            worker: self.worker.clone(),
            job: job.to_owned(),
            why,
        })
    }
}
