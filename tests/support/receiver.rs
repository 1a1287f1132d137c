//! The receivers of webhooks that the documentation shows.

use std::path::PathBuf;

use tokio::process::Command;

use crate::process::Process;
use crate::programs::{node, python, repository};
use crate::system::System;

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    /// It says what it received.
    pub process: Process,
    /// Where it receives.
    pub url: String,
}

/// What a receiver is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python, with the published package.
    Python,
    /// Node.js, without packages.
    Node,
}

impl System {
    /// Starts a receiver of the documentation; `None`, said aloud, where there is no Node.js.
    pub async fn receiver(&self, language: Language, secret: &str) -> Option<Receiver> {
        let (program, file) = match language {
            Language::Python => (python(), "receive_webhook.py"),
            Language::Node => (node()?, "receive_webhook.mjs"),
        };
        let mut command = Command::new(program);
        command
            .arg(repository().join("docs/examples").join(file))
            .arg("127.0.0.1:0")
            .env("WEBHOOK_SECRET", secret);
        let mut process = self.run("receiver", command);
        let line = process.line_with("listening on").await;
        let address = line.rsplit(' ').next().unwrap_or_default();
        let url = format!("http://{address}/hook");
        Some(Receiver { process, url })
    }

    /// Runs `clerkwork webhook-secret …` beside the servers and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn webhook_secret(&self, act: &str) -> String {
        let mut command = self.program(&["webhook-secret", act, "--tenant", "default"]);
        if let Some(file) = self.database() {
            command.arg(format!("--store=sqlite:{}", file.display()));
        }
        let done = command.output().await.expect("the program starts");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// The one file of the embedded mode.
    fn database(&self) -> Option<PathBuf> {
        let file = self.folder().join("data/clerkwork.db");
        file.exists().then_some(file)
    }
}
