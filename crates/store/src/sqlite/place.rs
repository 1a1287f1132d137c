//! The files of a database, and whether their paths still lead to them.
//!
//! A file that was removed or replaced can be written by whoever has it open, and all of that is gone
//! when it is closed. SQLite does not notice.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::hand::Inner;
use crate::Error;

/// The files of an open database.
#[derive(Debug)]
pub(super) struct Place {
    files: Vec<(PathBuf, Identity)>,
    is_lost: AtomicBool,
    /// Keeps other processes away as long as it is open.
    _lock: File,
}

/// A file's device and number.
type Identity = (u64, u64);

/// The ends of the names of a database's files.
const ENDS: [&str; 4] = ["", "-wal", "-shm", ".lock"];

impl Place {
    /// The files of the database that was opened at this path.
    pub(super) fn new(path: &Path, lock: File) -> Self {
        let files = ENDS.iter().filter_map(|end| {
            let file = beside(path, end);
            let identity = identity(&file)?;
            Some((file, identity))
        });
        Self {
            files: files.collect(),
            is_lost: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Looks whether all paths lead to the files that are open.
    fn look(&self) {
        let lost = |(file, known): &&(PathBuf, Identity)| identity(file) != Some(*known);
        let first = self.files.iter().find(lost);
        let was_lost = self.is_lost.swap(first.is_some(), Ordering::Relaxed);
        match (was_lost, first) {
            (false, Some((file, _))) => tracing::error!(
                file = %file.display(),
                "a file of the store was removed or replaced while it was open: nothing is accepted \
                 any more, and what was written since is lost when this process ends. Put the file \
                 back where it was, or stop this process, restore the store and start again"
            ),
            (true, None) => {
                tracing::warn!("the files of the store are back: jobs are accepted again")
            }
            _ => {}
        }
    }

    /// Refuses work on files that nobody will find again, as of the last [`Place::look`].
    fn holds(&self) -> Result<(), Error> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(Error::Unavailable(
                "its file was removed or replaced while it was open".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Inner {
    /// Looks whether the database is still where it was opened.
    pub(super) fn look(&self) {
        self.place.iter().for_each(Place::look);
    }

    /// Refuses work where it is not.
    pub(super) fn in_place(&self) -> Result<(), Error> {
        self.place.as_ref().map_or(Ok(()), Place::holds)
    }
}

/// The path of a file whose name begins with the database's.
pub(super) fn beside(path: &Path, end: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn identity(file: &Path) -> Option<Identity> {
    let known = fs::metadata(file).ok()?;
    Some((known.dev(), known.ino()))
}
