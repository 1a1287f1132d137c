//! A PostgreSQL of one's own.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::free_port;
use crate::services::Services;
use crate::until::eventually;

/// A database server that may be killed and started again; its data stay.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    programs: PathBuf,
    user: User,
    variables: Vec<(String, PathBuf)>,
    child: Option<Child>,
}

impl Postgres {
    /// Starts one and returns when it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with its data in a folder of this one.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_in(place: &Path) -> Self {
        Self::bare(place, &[]).make().await
    }

    pub(super) async fn start_with(variables: &[(String, PathBuf)]) -> Self {
        Self::bare(&env::temp_dir(), variables).make().await
    }

    async fn make(mut self) -> Self {
        let made = self
            .command("initdb")
            .args([
                "--no-sync",
                "-A",
                "trust",
                "-U",
                "clerkwork",
                "-E",
                "UTF8",
                "-D",
            ])
            .arg(self.data())
            .output();
        let made = made.expect("initdb is installed");
        assert!(made.status.success(), "initdb: {made:?}");
        self.run().await;
        self
    }

    /// One without data.
    fn bare(place: &Path, variables: &[(String, PathBuf)]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cwpostgres")
            .tempdir_in(place);
        let postgres = Self {
            folder: folder.expect("there is room for temporary files"),
            port: free_port(),
            programs: programs(),
            user: user(),
            variables: variables.to_vec(),
            child: None,
        };
        let (uid, gid) = (postgres.user.uid, postgres.user.gid);
        let owned = chown(postgres.folder.path(), Some(uid), Some(gid));
        owned.expect("a folder can be given to the user that PostgreSQL runs as");
        postgres
    }

    /// Starts a standby without which this one commits nothing from now on.
    ///
    /// # Panics
    /// When it does not follow.
    pub async fn standby(&self) -> Self {
        let mut standby = Self::bare(&env::temp_dir(), &[]);
        let mut copy = standby.command("pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-U", "clerkwork", "-p"])
            .arg(self.port.to_string())
            .args(["-c", "fast", "--no-sync", "-R", "-D"])
            .arg(standby.data());
        let copied = copy.output().expect("pg_basebackup is installed");
        assert!(copied.status.success(), "pg_basebackup: {copied:?}");
        standby.run().await;
        let services = self.services();
        services
            .sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await;
        services.sql("SELECT pg_reload_conf()").await;
        let follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        eventually("the standby follows", Duration::from_secs(60), async || {
            let mut session = PgConnection::connect(&self.url()).await.ok()?;
            let following = sqlx::query_scalar::<_, i64>(follows);
            let following = following.fetch_one(&mut session).await.ok()?;
            (following == 1).then_some(())
        })
        .await;
        standby
    }

    /// Is promoted, and answers where the dead one did, as an address moves in a failover.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn take_the_place_of(&mut self, dead: &Self) {
        self.services().sql("SELECT pg_promote()").await;
        self.kill();
        self.port = dead.port;
        self.run().await;
    }

    /// Restarts it as a standby of nobody: it answers, and takes no writes.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn demote(&mut self) {
        self.kill();
        let signal = File::create(self.data().join("standby.signal"));
        signal.expect("the folder is writable");
        self.run().await;
    }

    /// Takes writes again after [`Postgres::demote`].
    ///
    /// # Panics
    /// When it does not.
    pub async fn promote(&self) {
        self.services().sql("SELECT pg_promote()").await;
    }

    /// A database of it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://clerkwork@127.0.0.1:{}/postgres", self.port)
    }

    /// Where services are for whoever uses it beside the shared RabbitMQ.
    #[must_use]
    pub fn services(&self) -> Services {
        Services {
            postgres: self.url(),
            ..Services::shared()
        }
    }

    /// Starts it again after [`Postgres::kill`], and returns when it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn run(&mut self) {
        let url = self.url();
        // Right after a crash it may refuse for a moment, since the dead processes are not yet reaped: then it is started anew.
        eventually("PostgreSQL answers", Duration::from_secs(60), async || {
            let ended = self
                .child
                .as_mut()
                .is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended {
                self.child = Some(self.spawn());
            }
            PgConnection::connect(&url).await.ok()?.close().await.ok()
        })
        .await;
    }

    /// Kills it and its children at once, as a power cut would.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Stops it in the middle of whatever it does, without closing a connection.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Postgres::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let parent = self.child.as_ref().map(Child::id);
        let Some(Ok(parent)) = parent.map(i32::try_from) else {
            return;
        };
        let known = children(parent);
        // A process that is gone already needs no signal.
        let _ = kill(Pid::from_raw(parent), signal);
        // Those, too, that it made meanwhile; of a parent that is dead nobody is a child any more.
        let all: BTreeSet<i32> = known.into_iter().chain(children(parent)).collect();
        for pid in all {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn spawn(&self) -> Child {
        let log = File::create(self.folder.path().join("log")).expect("the folder is writable");
        self.command("postgres")
            .arg("-D")
            .arg(self.data())
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
            ])
            .args([
                "-c",
                "max_connections=100",
                "-c",
                "shared_buffers=32MB",
                "-k",
            ])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("postgres is installed")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command.envs(variables).current_dir(self.folder.path());
        if Uid::current().is_root() {
            // PostgreSQL refuses to run as root.
            command
                .uid(self.user.uid.as_raw())
                .gid(self.user.gid.as_raw());
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of the newest PostgreSQL on this machine.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql");
    let versions = versions.expect("PostgreSQL's programs are in /usr/lib/postgresql");
    let newest = versions
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .into_string()
                .ok()?
                .parse::<u32>()
                .ok()
        })
        .max();
    let newest = newest.expect("there is a PostgreSQL in /usr/lib/postgresql");
    Path::new("/usr/lib/postgresql")
        .join(newest.to_string())
        .join("bin")
}

/// Whom it runs as.
fn user() -> User {
    let found = if Uid::current().is_root() {
        User::from_name("postgres")
    } else {
        User::from_uid(Uid::current())
    };
    let found = found.ok().flatten();
    found.expect("the user postgres is there")
}

fn children(parent: i32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let listed = listed.unwrap_or_default();
    listed
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
