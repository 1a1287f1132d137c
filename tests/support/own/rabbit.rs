//! A RabbitMQ of one's own.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt as _;
use tempfile::TempDir;
use tokio::process;

use super::free_port;
use crate::services::Services;
use crate::until::eventually;

/// A broker that may be killed and started again; its data stay.
#[derive(Debug)]
pub struct Rabbit {
    folder: TempDir,
    port: u16,
    distribution: u16,
    variables: Vec<(String, PathBuf)>,
    child: Option<Child>,
}

impl Rabbit {
    /// Starts one and returns when it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        Self::launch(&[], "").await
    }

    /// Starts one with more lines in its `rabbitmq.conf`, and returns when it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_set(settings: &str) -> Self {
        Self::launch(&[], settings).await
    }

    pub(super) async fn launch(variables: &[(String, PathBuf)], settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("cwrabbit").tempdir();
        let mut rabbit = Self {
            folder: folder.expect("there is room for temporary files"),
            port: free_port(),
            distribution: free_port(),
            variables: variables.to_vec(),
            child: None,
        };
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nloopback_users = none\nraft.wal_max_size_bytes = 64000000\n{settings}\n",
            rabbit.port
        );
        let written = fs::write(rabbit.path("rabbitmq.conf"), config);
        written.expect("the folder is writable");
        rabbit.run().await;
        rabbit
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2F", self.port)
    }

    /// Where services are for whoever uses it beside the shared PostgreSQL.
    #[must_use]
    pub fn services(&self) -> Services {
        Services {
            rabbit: self.url(),
            ..Services::shared()
        }
    }

    /// Starts it again after [`Rabbit::kill`], and returns when it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn run(&mut self) {
        let log = File::create(self.path("out")).expect("the folder is writable");
        let child = self
            .command("rabbitmq-server")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn();
        self.child = Some(child.expect("rabbitmq-server is installed"));
        let address = ([127, 0, 0, 1], self.port).into();
        eventually("RabbitMQ answers", Duration::from_secs(180), async || {
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        })
        .await;
    }

    /// Kills it at once, as a power cut would, and returns when it is gone.
    ///
    /// # Panics
    /// When it does not go.
    pub async fn kill(&mut self) {
        self.shoot();
        let port = self.port;
        eventually("RabbitMQ is gone", Duration::from_secs(20), async || {
            TcpListener::bind(("127.0.0.1", port)).ok()
        })
        .await;
    }

    /// Kills it and deletes all that it has kept; it starts as if it were new.
    ///
    /// # Panics
    /// When it does not go, or its data do not.
    pub async fn lose_data(&mut self) {
        self.kill().await;
        let deleted = fs::remove_dir_all(self.path("mnesia"));
        deleted.expect("what is stored can be deleted");
    }

    /// Stops it in the middle of whatever it does, without closing a connection.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Rabbit::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = fs::read_to_string(self.path("pid")).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse() {
            // A process that is gone already needs no signal, here and below.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn shoot(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(mut child) = self.child.take() {
            if let Ok(group) = child.id().try_into() {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = child.wait();
        }
    }

    /// Evaluates an Erlang expression in it.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn eval(&self, expression: &str) {
        self.control(&["eval", expression]).await;
    }

    /// Runs `rabbitmqctl` on it.
    ///
    /// # Panics
    /// When it fails.
    pub async fn control(&self, words: &[&str]) -> Output {
        let mut command = self.command("rabbitmqctl");
        command.args(words);
        let done = process::Command::from(command).kill_on_drop(true).output();
        let done = done.await.expect("rabbitmqctl is installed");
        assert!(done.status.success(), "rabbitmqctl {words:?}: {done:?}");
        done
    }

    /// How many deliveries wait for their acknowledgement, on all channels.
    ///
    /// # Panics
    /// When the broker cannot be asked.
    pub async fn unacknowledged(&self) -> u64 {
        // The channels are asked themselves; what is listed of a quorum queue is seconds old.
        let words = [
            "-q",
            "list_channels",
            "--no-table-headers",
            "messages_unacknowledged",
        ];
        let listed = self.control(&words).await.stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let counts = listed.lines().map(|line| line.trim().parse::<u64>());
        counts.sum::<Result<_, _>>().expect("channels have counts")
    }

    /// Whether it has written `words` into its log.
    #[must_use]
    pub fn has_logged(&self, words: &str) -> bool {
        let files = fs::read_dir(self.path("log")).into_iter().flatten();
        files
            .filter_map(|file| fs::read(file.ok()?.path()).ok())
            .any(|log| String::from_utf8_lossy(&log).contains(words))
    }

    fn command(&self, program: &str) -> Command {
        // Debian's wrapper in /usr/sbin changes the user and the folder; the program behind it does not.
        let behind = Path::new("/usr/lib/rabbitmq/bin").join(program);
        let program = if behind.exists() {
            behind
        } else {
            program.into()
        };
        let mut command = Command::new(program);
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command
            .envs(variables)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env(
                "RABBITMQ_NODENAME",
                format!("clerkwork{}@localhost", self.port),
            )
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_MNESIA_BASE", self.path("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                self.path("enabled_plugins"),
            )
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.shoot();
    }
}
