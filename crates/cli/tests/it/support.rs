//! Starts the binary, and asks it things.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// What a command heeds beside its own settings.
const OTHERS: [&str; 3] = ["DATABASE_URL", "AMQP_URL", "NO_COLOR"];

/// The binary with these arguments, and none of the settings of whoever runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clerkwork"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CLERKWORK_") || OTHERS.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a line of a shell on a terminal, where `clerkwork` is the binary; what the terminal shows is its `out`.
pub(crate) fn on_terminal(line: &str, environment: &[(&str, &str)]) -> Said {
    let binary = Path::new(env!("CARGO_BIN_EXE_clerkwork"));
    let mut path = vec![binary.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    // Without the settings of whoever runs the tests, as `command` is.
    let mut terminal = Command::new("script");
    for (name, value) in command(&[]).get_envs() {
        assert!(value.is_none());
        terminal.env_remove(name);
    }
    terminal
        .args(["-qec", line, "/dev/null"])
        .env("TERM", "xterm")
        .env("PATH", std::env::join_paths(path).unwrap())
        .envs(environment.iter().copied());
    terminal.stdin(Stdio::null()).output().unwrap().into()
}

/// What a command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) fn run(arguments: &[&str]) -> Said {
    command(arguments).output().unwrap().into()
}

/// A `dev` in a folder of its own, killed in the end.
pub(crate) struct Dev {
    pub(crate) url: String,
    folder: Option<TempDir>,
    child: Child,
}

impl Dev {
    /// With queues `shout`, `stumble` (fails twice), `linger` (does not end), `ponder` and `paint` (tells of three pages).
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(folder: TempDir) -> Self {
        let workers: Vec<String> = ["shout", "stumble", "linger", "ponder", "paint"]
            .iter()
            .map(|act| {
                format!(
                    "{act}*2={} demo-worker {act}",
                    env!("CARGO_BIN_EXE_clerkwork")
                )
            })
            .collect();
        let mut dev = command(&["dev", "--listen", "127.0.0.1:0", "--log", "warn", "--data"]);
        dev.arg(data(folder.path()))
            .args(workers.iter().flat_map(|w| ["--worker", w]));
        let mut child = dev
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .trim()
            .strip_prefix("clerkwork dev listening on ")
            .unwrap()
            .to_owned();
        Self {
            url,
            folder: Some(folder),
            child,
        }
    }

    pub(crate) fn data(&self) -> String {
        data(self.folder())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Runs a client command against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        command(arguments)
            .env("CLERKWORK_URL", &self.url)
            .output()
            .unwrap()
            .into()
    }

    /// Runs a client command with something on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut command = command(arguments);
        command
            .env("CLERKWORK_URL", &self.url)
            .stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Submits, and gives the id.
    pub(crate) fn submit(&self, arguments: &[&str]) -> String {
        let said = self.run(&[&["submit"], arguments].concat());
        assert_eq!(said.code, 0, "{said:?}");
        said.out.trim().to_owned()
    }

    /// Asks it to end, and gives its exit code.
    pub(crate) fn end(mut self) -> i32 {
        self.terminate();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Asks it to end again and again until it does, and gives its exit code.
    pub(crate) fn end_impatiently(mut self) -> i32 {
        loop {
            self.terminate();
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it and starts it again on the same folder.
    pub(crate) fn restart(mut self) -> Self {
        let folder = self.folder.take().unwrap();
        assert_eq!(self.end(), 0);
        Self::start_in(folder)
    }

    fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(folder: &Path) -> String {
    folder.join("data").to_str().unwrap().to_owned()
}
