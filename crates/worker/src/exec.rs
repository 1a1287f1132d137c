//! A command as a worker: one process per attempt, input on stdin, output on stdout.
//!
//! Exit code 0 is success, 75 a failure to be retried, 65 and 64 failures never to be retried, all
//! else a failure by policy. Lines on stderr are log lines; lines on file descriptor 3 are
//! events. The environment is cleared but for a short list, there is no shell, and each
//! attempt has a process group and a working folder of its own, both gone when it ends.
//! With a [`guard`] all that a command started is gone too, also where the worker was killed.

mod attempt;
mod environment;
mod group;
pub mod guard;
mod input;
mod line;
mod pump;
mod spawner;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::call::Call;
use crate::registry::{Run, RunError};
use crate::{Error, Output};
use environment::Environment;
use spawner::Spawner;

/// How long past the kill a command may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// A command that runs the jobs of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments. They never contain anything of a job. A program without a
    /// slash is looked for in `PATH`; since each attempt has a working folder of its own, paths
    /// among the arguments should be absolute.
    pub argv: Vec<String>,
    /// The media type of the output; detected if unset.
    pub output_type: Option<String>,
    /// Environment variables to let through beside `PATH HOME LANG LC_* TZ TMPDIR USER`.
    pub env: Vec<String>,
    /// How long the process group has between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    /// The program that guards each attempt: one whose `main` begins with [`guard::run_if_asked`], as
    /// that of `clerkwork` does; see [`guard::this_program`]. Unset, an attempt is a process group: what
    /// leaves the group is not stopped, and a worker that is killed leaves its commands behind.
    pub guard: Option<PathBuf>,
}

impl Command {
    /// A command with the usual settings.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            output_type: None,
            env: Vec::new(),
            kill_grace: Duration::from_secs(5),
            guard: None,
        }
    }

    /// Splits a line into words as a shell would; nothing else of it is a shell's.
    ///
    /// # Errors
    /// A quote that is not closed.
    pub fn parse(line: &str) -> Result<Self, Error> {
        shell_words::split(line)
            .map(Self::new)
            .map_err(|why| Error::Unquoted {
                line: line.to_owned(),
                why: why.to_string(),
            })
    }

    /// Makes it ready to run; the program must be there.
    pub(crate) fn runner(&self, queue: &str) -> Result<Runner, Error> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(Error::EmptyCommand(queue.to_owned()));
        };
        let Some(program) = find(program) else {
            return Err(Error::NoProgram(program.clone()));
        };
        let program = program.to_string_lossy().into_owned();
        let mut argv = Vec::with_capacity(arguments.len() + 1);
        argv.push(program);
        argv.extend_from_slice(arguments);
        Ok(Runner {
            argv,
            output_type: self.output_type.clone(),
            environment: Environment::of_this_process(&self.env),
            kill_grace: self.kill_grace,
            guard: self.guard.clone(),
            spawner: Mutex::default(),
        })
    }
}

/// A command that is ready to run.
#[derive(Debug)]
pub(crate) struct Runner {
    argv: Vec<String>,
    output_type: Option<String>,
    environment: Environment,
    kill_grace: Duration,
    guard: Option<PathBuf>,
    /// Made with the first attempt, and again where that failed.
    spawner: Mutex<Option<Spawner>>,
}

impl Runner {
    fn spawner(&self) -> std::io::Result<Spawner> {
        let mut known = self.spawner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spawner) = &*known {
            return Ok(spawner.clone());
        }
        let spawner = Spawner::new()?;
        *known = Some(spawner.clone());
        Ok(spawner)
    }
}

impl Run for std::sync::Arc<Runner> {
    fn run(&self, call: Call) -> BoxFuture<'static, Result<Output, RunError>> {
        let runner = Self::clone(self);
        Box::pin(async move { attempt::run(&runner, &call).await })
    }

    fn stop_grace(&self) -> Duration {
        self.kill_grace + AFTER_KILL
    }
}

/// The absolute path of a program, as a shell would find it.
fn find(program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return std::path::absolute(Path::new(program))
            .ok()
            .filter(is_program);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .filter_map(|folder| std::path::absolute(folder.join(program)).ok())
        .find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_into_words_once_and_expands_nothing() {
        let command = Command::parse(r#"convert - "a b" 'c;d' $(id) *"#).unwrap();
        assert_eq!(command.argv, ["convert", "-", "a b", "c;d", "$(id)", "*"]);
        assert!(matches!(
            Command::parse("echo 'x"),
            Err(Error::Unquoted { .. })
        ));
    }

    #[test]
    fn a_program_that_is_not_there_is_refused_at_the_start() {
        let no_program = Command::new(["no-such-program-anywhere"]).runner("q");
        assert_eq!(
            no_program.err(),
            Some(Error::NoProgram("no-such-program-anywhere".to_owned()))
        );
        assert!(
            Command::new([concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
                .runner("q")
                .is_err(),
            "it cannot be executed"
        );
        assert!(Command::new(["sh", "-c", "true"]).runner("q").is_ok());
        assert_eq!(
            find("/bin/../bin/sh"),
            Some(PathBuf::from("/bin/../bin/sh"))
        );
    }
}
