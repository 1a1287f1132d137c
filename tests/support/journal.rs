//! What commands wrote down while they ran: the witness of how often a job was run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file to which commands append lines.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// A journal in this folder.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        Self {
            path: folder.join(name),
        }
    }

    /// Shell words that append the job's id as a line.
    #[must_use]
    pub fn note(&self) -> String {
        format!("echo \"$CLERKWORK_JOB_ID\" >> '{}'", self.path.display())
    }

    /// Shell words that append a line of their own.
    #[must_use]
    pub fn write(&self, text: &str) -> String {
        format!("echo \"{text}\" >> '{}'", self.path.display())
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often each line is there.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in self.lines() {
            *counts.entry(line).or_default() += 1;
        }
        counts
    }
}
