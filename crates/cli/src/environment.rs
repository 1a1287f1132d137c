//! The environment of a worker, without its secrets.
//!
//! What a process was started with stays readable in `/proc/<pid>/environ` for all that run as the same
//! user, and the commands of a worker do. So a worker replaces itself by itself, under the same process id,
//! and hands the secrets over in a file without a name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::OnceLock;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::settings::secret_variables;

/// Names the descriptor of the file.
const HANDED_OVER: &str = "CLERKWORK_HANDED_OVER";

/// The commands that run others' commands.
const WORKERS: [&str; 2] = ["worker", "dev"];

static SECRETS: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Takes the secrets out of the environment of a process that will run commands. To be called before
/// anything else is set up; where it cannot be done the process goes on as it is.
pub(crate) fn conceal_secrets() {
    if let Some(descriptor) = std::env::var(HANDED_OVER)
        .ok()
        .and_then(|it| it.parse().ok())
    {
        if let Ok(secrets) = take_over(descriptor) {
            let _ = SECRETS.set(secrets);
        }
        return;
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    let runs_commands = arguments
        .get(1)
        .is_some_and(|word| WORKERS.iter().any(|worker| word == worker));
    // What is to be let through to the commands is no secret from them.
    let is_let_through = |name: &str| {
        let flag = format!("--env={name}");
        arguments.iter().any(|word| word == name || *word == *flag)
    };
    let secrets: BTreeMap<String, String> = secret_variables()
        .filter(|name| !is_let_through(name))
        .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)))
        .collect();
    if runs_commands && !secrets.is_empty() {
        // It comes back only where it failed.
        let _ = hand_over(&secrets, &arguments);
    }
}

/// The variables of this process, the concealed ones included.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let seen = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let concealed = SECRETS.get().cloned().unwrap_or_default();
    seen.chain(concealed).collect()
}

fn hand_over<A: AsRef<OsStr>>(secrets: &BTreeMap<String, String>, arguments: &[A]) -> io::Error {
    let file = match written(secrets) {
        Ok(file) => file,
        Err(error) => return error,
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    for name in secrets.keys() {
        command.env_remove(name);
    }
    command.env(HANDED_OVER, file.as_raw_fd().to_string());
    command.exec()
}

/// A file in memory that outlives the replacement of this process.
fn written(secrets: &BTreeMap<String, String>) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"clerkwork-secrets", MFdFlags::empty())?);
    // No variable holds a zero byte.
    for (name, value) in secrets {
        file.write_all(format!("{name}={value}\0").as_bytes())?;
    }
    file.rewind()?;
    Ok(file)
}

fn take_over(descriptor: RawFd) -> io::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    File::open(format!("/proc/self/fd/{descriptor}"))?.read_to_string(&mut text)?;
    nix::unistd::close(descriptor)?;
    let lines = text.split_terminator('\0');
    let pairs = lines.filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}
