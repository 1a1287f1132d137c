//! nginx before the clerks of a fleet, with the configuration that people deploy.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;

use crate::api::Api;
use crate::own::free_port;
use crate::process::{Process, Signal};
use crate::programs::repository;
use crate::system::System;
use crate::until::eventually;

/// A running nginx.
#[derive(Debug)]
pub struct Front {
    /// A client that goes through it.
    pub api: Api,
    process: Process,
}

impl System {
    /// Starts nginx before the first two clerks; it also serves the pages in `docs/examples`, as a site's own pages would
    /// be.
    ///
    /// # Panics
    /// When nginx is not on this machine, or does not start.
    pub async fn front(&self) -> Front {
        let address = format!("127.0.0.1:{}", free_port());
        let place = |clerk: usize| self.clerk(clerk).address().to_owned();
        let pages = repository().join("docs/examples");
        let pages = format!(
            "location /pages/ {{ alias {}/; types {{ text/html html; }} }}\n        location / {{",
            pages.display()
        );
        let config = nginx_config(self.folder())
            .replace("127.0.0.1:8081", &place(0))
            .replace("127.0.0.1:8082", &place(1))
            .replace("listen 8080", &format!("listen {address}"))
            .replacen("location / {", &pages, 1);
        let file = self.folder().join("nginx.conf");
        std::fs::write(&file, config).expect("the folder is writable");
        let mut command = tokio::process::Command::new("nginx");
        command
            .arg("-c")
            .arg(&file)
            .args(["-g", "daemon off; master_process off;"]);
        let process = self.run("nginx", command);
        let api = Api::new(&format!("http://{address}"));
        eventually("nginx answers", Duration::from_secs(20), async || {
            let answer = api.request(Method::GET, "/jobs").send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Front { api, process }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGTERM);
    }
}

/// nginx's configuration, with what it writes in `folder`.
///
/// # Panics
/// When it is not in the repository.
#[must_use]
pub fn nginx_config(folder: &Path) -> String {
    let file = repository().join("deploy/nginx.conf");
    let config = std::fs::read_to_string(file).expect("the configuration is in the repository");
    let pid = folder.join("nginx.pid");
    // nginx keeps larger bodies in files, by default where only root may write.
    let bodies = format!(
        "http {{\n    client_body_temp_path {}/bodies;",
        folder.display()
    );
    config
        .replace("/tmp/nginx.pid", &pid.to_string_lossy())
        .replacen("http {", &bodies, 1)
}
