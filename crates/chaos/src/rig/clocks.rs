//! Wall clocks of single processes, by libfaketime. What is measured, the monotonic clock, goes on as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Failure;

/// The clocks of a run.
#[derive(Debug)]
pub(crate) struct Clocks {
    library: PathBuf,
    folder: PathBuf,
}

impl Clocks {
    /// Clocks whose files are in `folder`.
    pub(crate) fn find(folder: &Path) -> Result<Self, Failure> {
        let systems = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let library = systems
            .map(|system| system.path().join("faketime/libfaketime.so.1"))
            .find(|library| library.exists());
        let library = library
            .ok_or("NOT RUN: libfaketime is not on this machine (apt-get install faketime)")?;
        Ok(Self {
            library,
            folder: folder.to_owned(),
        })
    }

    /// What a process is started with whose clock this is.
    pub(crate) fn variables(&self, process: &str) -> io::Result<Vec<(String, String)>> {
        self.set(process, 0)?;
        let file = self.file(process);
        let pairs = [
            ("LD_PRELOAD", self.library.to_string_lossy().into_owned()),
            (
                "FAKETIME_TIMESTAMP_FILE",
                file.to_string_lossy().into_owned(),
            ),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ];
        Ok(pairs.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Sets a process's clock: so many seconds from the machine's.
    pub(crate) fn set(&self, process: &str, seconds: i64) -> io::Result<()> {
        // In one step, since the clock is read all the time.
        let next = self.file(&format!("{process}.next"));
        fs::write(&next, format!("{seconds:+}s\n"))?;
        fs::rename(next, self.file(process))
    }

    fn file(&self, process: &str) -> PathBuf {
        self.folder.join(format!("clock-{process}"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::recorder::now;

    #[test]
    fn a_process_s_wall_clock_is_as_wrong_as_it_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let clocks = match Clocks::find(folder.path()) {
            Ok(clocks) => clocks,
            Err(missing) => return eprintln!("{missing}"),
        };
        let variables = clocks.variables("clerk1").unwrap();
        for wrong in [0, 3_600, -3_600] {
            clocks.set("clerk1", wrong).unwrap();
            let told = Command::new("date")
                .arg("+%s")
                .envs(variables.clone())
                .output();
            let told = String::from_utf8(told.unwrap().stdout).unwrap();
            let told: i64 = told.trim().parse().unwrap();
            let off = told - now() / 1_000 - wrong;
            assert!(off.abs() < 60, "{off} s beside {wrong} s");
        }
    }
}
