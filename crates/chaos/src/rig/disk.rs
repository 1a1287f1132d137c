//! A disk that can be slowed, by a library of our own in front of the C library's `fsync` and `fdatasync`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::Failure;

const SOURCE: &str = include_str!("slow_disk.c");

/// The disk of the servers.
#[derive(Debug)]
pub(crate) struct Disk(TempDir);

impl Disk {
    /// Builds the library.
    pub(crate) fn build() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("cwdisk").tempdir()?;
        // PostgreSQL runs as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let disk = Self(folder);
        fs::write(disk.path("slow_disk.c"), SOURCE)?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(disk.path("slow_disk.so"))
            .arg(disk.path("slow_disk.c"))
            .arg("-ldl")
            .output();
        let built =
            built.map_err(|error| format!("NOT RUN: there is no C compiler: cc: {error}"))?;
        if !built.status.success() {
            return Err(format!("cc: {}", String::from_utf8_lossy(&built.stderr)).into());
        }
        disk.slow(0)?;
        Ok(disk)
    }

    /// What a server is started with.
    pub(crate) fn variables(&self) -> Vec<(String, PathBuf)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.path("slow_disk.so")),
            ("CHAOS_DISK".to_owned(), self.path("ms")),
        ]
    }

    /// Makes everything that must reach the disk take so many milliseconds more.
    pub(crate) fn slow(&self, ms: u64) -> io::Result<()> {
        fs::write(self.path("ms"), ms.to_string())?;
        fs::set_permissions(self.path("ms"), Permissions::from_mode(0o644))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_must_reach_the_disk_takes_as_long_as_it_is_told() {
        let disk = Disk::build().unwrap();
        let written = || {
            let began = Instant::now();
            let mut command = Command::new("dd");
            command
                .args(["if=/dev/zero", "bs=1", "count=1", "conv=fsync"])
                .arg(format!("of={}", disk.path("written").display()))
                .envs(disk.variables());
            assert!(command.output().unwrap().status.success());
            began.elapsed()
        };
        let slow = Duration::from_secs(1);
        disk.slow(1_000).unwrap();
        assert!(written() >= slow);
        disk.slow(0).unwrap();
        assert!(written() < slow);
    }
}
