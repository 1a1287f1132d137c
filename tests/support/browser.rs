//! A headless Chromium, driven by its own driver.

use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::own::free_port;
use crate::process::Process;
use crate::until::eventually;

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session: String,
    driver: Process,
    _folder: TempDir,
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Panics
    /// When Chromium or its driver is not on this machine; `scripts/test` installs both.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).process_group(0);
        let driver = Process::start("chromedriver", command, folder.path());
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(90))
            .build()
            .expect("a client without special wishes");
        let base = format!("http://127.0.0.1:{port}");
        eventually("the driver answers", Duration::from_secs(60), async || {
            let status = client.get(format!("{base}/status")).send().await.ok()?;
            status.status().is_success().then_some(())
        })
        .await;
        let profile = format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        );
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", profile],
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": options,
        }}});
        let mut browser = Self {
            client,
            session: format!("{base}/session"),
            driver,
            _folder: folder,
        };
        let session = browser.post("", wanted).await;
        let id = session["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no session: {session}"));
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Opens a page, and returns when it has loaded.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Runs a function's body in the page; what it returns.
    pub async fn run(&self, script: &str) -> Value {
        let script = json!({"script": script, "args": []});
        self.post("/execute/sync", script).await
    }

    /// The text of the first element that fits this selector; nothing while there is none.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!(
            "return document.querySelector({})?.textContent",
            json!(selector)
        );
        let text = self.run(&script).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text is as wanted.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub async fn shows(&self, selector: &str, wanted: &str, limit: Duration) {
        let what = format!("{selector} shows {wanted:?}");
        eventually(&what, limit, async || {
            (self.text(selector).await == wanted).then_some(())
        })
        .await;
    }

    /// What the page's console has said since it was last asked: errors of scripts, and what the policy forbade.
    pub async fn console(&self) -> Vec<String> {
        self.log("browser").await
    }

    /// The addresses on any network that pages have asked for since this was last asked.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub async fn asked_for(&self) -> Vec<String> {
        let mut asked = Vec::new();
        for line in self.log("performance").await {
            let line: Value = serde_json::from_str(&line).expect("the log is JSON");
            let message = &line["message"];
            let url = match message["method"].as_str() {
                Some("Network.requestWillBeSent") => &message["params"]["request"]["url"],
                Some("Network.webSocketCreated") => &message["params"]["url"],
                _ => continue,
            };
            let url = url.as_str().unwrap_or_default();
            // The browser's own pages ask for parts of the browser.
            if ["http", "ws"].iter().any(|scheme| url.starts_with(scheme)) {
                asked.push(url.to_owned());
            }
        }
        asked
    }

    async fn log(&self, kind: &str) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": kind})).await;
        let lines = log.as_array().into_iter().flatten();
        lines
            .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let answer = self.client.post(url).json(&body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", self.driver.complaints()));
        let mut answer: Value = answer.json().await.expect("a driver answers in JSON");
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{path}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser along only if it ends in order, and not even then always.
        self.driver.signal(Signal::SIGTERM);
        for _ in 0..200 {
            if !self.driver.is_running() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Where nobody is left there is nothing to end.
        let _ = killpg(Pid::from_raw(self.driver.pid()), Signal::SIGKILL);
    }
}
