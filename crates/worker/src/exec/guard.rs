//! The guard: a small process between the worker and one command, which owns all that the command starts.
//!
//! It adopts what loses its parent and reaps it, and it holds one end of a pipe to the worker. It kills
//! all below it, also what left the group or the session, once the command has ended and the worker says
//! so, and once the worker is gone, however it went. The working folder of a worker that is gone it
//! removes.
//!
//! The worker starts it from its own program, so that program's `main` begins with [`run_if_asked`].
//! It has the descriptors 0 to 3 of the command, and these two:
//!
//! | descriptor | what passes |
//! | --- | --- |
//! | 4 | from the worker: `T` asks the command's group to stop, `K` and the end have all killed |
//! | 5 | to the worker, in lines: `started PID`, `failed WORDS`, `exited CODE`, `killed SIGNAL` |

use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, close};

/// The word by which a program is asked to be a guard.
pub(super) const WORD: &str = "command-guard";
/// The descriptor that the worker speaks through.
pub(super) const CONTROL: RawFd = 4;
/// The descriptor that the guard answers through.
pub(super) const STATUS: RawFd = 5;
/// Begins the name of each working folder.
pub(super) const FOLDER: &str = "clerkwork-";
/// Asks the command's group to stop.
pub(super) const TERMINATE: u8 = b'T';
/// Has all killed.
pub(super) const KILL: u8 = b'K';

/// The program that a worker starts as a guard, where this one can be: itself, whatever becomes of its
/// file meanwhile.
#[must_use]
pub fn this_program() -> Option<PathBuf> {
    let path = Path::new("/proc/self/exe");
    if !path.exists() {
        tracing::warn!(
            "there is no /proc, so commands run without a guard: what leaves its process group, or \
             outlives a worker that is killed, is not stopped; mount /proc"
        );
        return None;
    }
    Some(path.to_owned())
}

/// Guards a command if this process was started for that; `None` if it was not. To be called before
/// anything else: the less is set up before, the sooner a job starts.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let folder = PathBuf::from(arguments.next().unwrap_or_default());
    let argv: Vec<OsString> = arguments.collect();
    Some(match guard(&folder, &argv) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "{WORD} is started by a worker, not by hand: {error}"
            );
            ExitCode::from(2)
        }
    })
}

fn guard(folder: &Path, argv: &[OsString]) -> io::Result<()> {
    let control = take(CONTROL, File::options().read(true))?;
    let status = take(STATUS, File::options().write(true))?;
    // What is sent to a whole control group is for the command; the guard stays until all is reaped.
    SigSet::all().thread_block()?;
    prctl::set_name(c"clerkwork-guard")?;
    prctl::set_child_subreaper(true)?;
    prctl::set_no_new_privs()?;
    umask(Mode::from_bits_truncate(0o077));
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut guard = Guard {
        control,
        status,
        signals,
        command: None,
        worker_is_gone: false,
    };
    if !guard.is_called_off() {
        guard.start(argv);
        guard.watch()?;
        guard.kill_all();
    }
    if guard.worker_is_gone && is_ours(folder) {
        let _ = std::env::set_current_dir("/");
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(())
}

/// Starts the command in a process group of its own, with the signals of any process. The standard library's
/// `Command` would leave it our signal mask, in which all are blocked: it would not notice a SIGTERM.
fn spawn(argv: &[OsString]) -> io::Result<Pid> {
    let program = argv.first().ok_or(io::ErrorKind::InvalidInput)?;
    let program = CString::new(program.as_bytes())?;
    let arguments = argv
        .iter()
        .map(|argument| CString::new(argument.as_bytes()));
    let environment = std::env::vars_os()
        .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
    let mut own = SigSet::empty();
    // Ignored in every Rust program.
    own.add(Signal::SIGPIPE);
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    attributes.set_sigdefault(&own)?;
    attributes.set_sigmask(&SigSet::empty())?;
    Ok(posix_spawnp(
        &program,
        &PosixSpawnFileActions::init()?,
        &attributes,
        &arguments.collect::<Result<Vec<_>, _>>()?,
        &environment.collect::<Result<Vec<_>, _>>()?,
    )?)
}

struct Guard {
    control: File,
    status: File,
    signals: SignalFd,
    /// The command, until it is reaped.
    command: Option<Pid>,
    worker_is_gone: bool,
}

impl Guard {
    /// Whether the worker has gone, or has changed its mind, before anything was started.
    fn is_called_off(&mut self) -> bool {
        let mut ready = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        let asked = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        asked && self.heed()
    }

    fn start(&mut self, argv: &[OsString]) {
        match spawn(argv) {
            Ok(command) => {
                self.command = Some(command);
                self.tell(&format!("started {command}"));
            }
            Err(error) => self.tell(&format!("failed {error}")),
        }
        // They are the command's alone, so that they end with it.
        for descriptor in 0..=3 {
            let _ = close(descriptor);
        }
    }

    /// Serves the worker and reaps, until nobody is left or all is to be killed.
    fn watch(&mut self) -> io::Result<()> {
        while self.reap() {
            let mut ready = [
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let asked = ready[0].any() == Some(true);
            while self.signals.read_signal()?.is_some() {}
            if asked && self.heed() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Does what the worker says; whether all is to be killed.
    fn heed(&mut self) -> bool {
        let mut words = [0; 16];
        match self.control.read(&mut words) {
            Ok(count @ 1..) if words[..count].contains(&KILL) => true,
            Ok(1..) => {
                if let Some(command) = self.command {
                    let _ = killpg(command, Signal::SIGTERM);
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            Ok(0) | Err(_) => {
                self.worker_is_gone = true;
                true
            }
        }
    }

    /// Reaps whoever has ended; whether somebody is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => return true,
                Ok(ended) => self.note(ended),
                Err(_) => return false,
            }
        }
    }

    fn note(&mut self, ended: WaitStatus) {
        if ended.pid() != self.command {
            return;
        }
        match ended {
            WaitStatus::Exited(_, code) => self.tell(&format!("exited {code}")),
            WaitStatus::Signaled(_, signal, _) => self.tell(&format!("killed {}", signal as i32)),
            _ => return,
        }
        self.command = None;
    }

    /// Kills all below this process, over and over: whoever is killed leaves its children to us.
    fn kill_all(&mut self) {
        loop {
            if let Some(command) = self.command {
                let _ = killpg(command, Signal::SIGKILL);
            }
            for child in children() {
                let _ = kill(child, Signal::SIGKILL);
            }
            match waitpid(None, None) {
                Ok(ended) => self.note(ended),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            if !self.reap() {
                return;
            }
        }
    }

    fn tell(&mut self, line: &str) {
        // Nobody to tell: then the end of the other pipe says so too.
        let _ = self.status.write_all(format!("{line}\n").as_bytes());
    }
}

/// Takes a descriptor over that the worker handed down: the command must not have it.
fn take(descriptor: RawFd, how: &OpenOptions) -> io::Result<File> {
    let file = how.open(format!("/proc/self/fd/{descriptor}"))?;
    close(descriptor)?;
    Ok(file)
}

/// Whether this is a folder as workers make them.
fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    folder.is_absolute() && name.is_some_and(|name| name.starts_with(FOLDER))
}

/// The children of this process, which has one thread.
fn children() -> Vec<Pid> {
    match std::fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => list.split_whitespace().filter_map(pid).collect(),
        // A kernel without that list.
        Err(_) => children_among_all(),
    }
}

fn children_among_all() -> Vec<Pid> {
    let parent = nix::unistd::getpid().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter_map(|name| pid(&name));
    let is_child = |process: &Pid| {
        // After the name in parentheses: the state, then the parent.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(parent.as_str())
    };
    pids.filter(is_child).collect()
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}
