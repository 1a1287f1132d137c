//! The files that people deploy with.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, eventually, python, repository};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

fn succeeds(command: &mut Command) -> Output {
    let done = command.current_dir(repository()).output();
    let done =
        done.unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs it"));
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    done
}

/// nginx's configuration, with what it writes in `folder`.
fn nginx_config(folder: &Path) -> String {
    let config = std::fs::read_to_string(repository().join("deploy/nginx.conf")).unwrap();
    config.replace(
        "/tmp/nginx.pid",
        &folder.join("nginx.pid").to_string_lossy(),
    )
}

#[test]
fn nginx_accepts_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, nginx_config(folder.path())).unwrap();
    succeeds(Command::new("nginx").args(["-t", "-q", "-c"]).arg(file));
}

#[test]
fn the_compose_file_publishes_nothing_but_nginx_on_loopback_and_waits_for_what_it_needs() {
    let check = r#"
import yaml
services = yaml.safe_load(open("docker-compose.yml"))["services"]
assert {"rabbitmq", "postgres", "migrate", "clerk-1", "clerk-2", "worker", "nginx"} == set(services), set(services)
for name, service in services.items():
    assert not service["image"].endswith(":latest") and ":" in service["image"], name
    assert ("ports" in service) == (name == "nginx"), name
assert services["nginx"]["ports"] == ["127.0.0.1:8080:8080"]
for number, name in enumerate(["clerk-1", "clerk-2"], 1):
    clerk = services[name]
    assert clerk["network_mode"] == "service:nginx", name
    assert clerk["command"] == ["clerk", "--listen", f"127.0.0.1:808{number}"], name
    assert clerk["depends_on"]["migrate"]["condition"] == "service_completed_successfully", name
    assert "healthcheck" in clerk, name
assert services["worker"]["deploy"]["replicas"] == 2
for name in ["clerk-1", "clerk-2", "worker"]:
    assert int(services[name]["stop_grace_period"].removesuffix("s")) > 35, name
upstream = open("deploy/nginx.conf").read()
for port in [8081, 8082]:
    assert f"server 127.0.0.1:{port} " in upstream, port
"#;
    succeeds(Command::new(python()).args(["-c", check]));
}

#[tokio::test]
async fn behind_nginx_a_fleet_goes_on_when_a_clerk_has_ended() {
    let mut system = Kind::Fleet
        .plan()
        .command("shout", 2, &["tr", "a-z", "A-Z"])
        .start()
        .await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    let place = |clerk: usize| {
        system
            .clerk(clerk)
            .base()
            .trim_start_matches("http://")
            .to_owned()
    };
    let config = nginx_config(system.folder())
        .replace("127.0.0.1:8081", &place(0))
        .replace("127.0.0.1:8082", &place(1))
        .replace("listen 8080", &format!("listen {address}"));
    let file = system.folder().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    drop(free);
    let mut command = tokio::process::Command::new("nginx");
    command
        .arg("-c")
        .arg(&file)
        .args(["-g", "daemon off; master_process off;"]);
    let nginx = system.run("nginx", command);
    let api = Api::new(&format!("http://{address}"));
    eventually("nginx answers", Duration::from_secs(20), async || {
        let answer = api.request(Method::GET, "/jobs").send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;

    let rounds = async || {
        for job in join_all((0..20).map(|_| api.run("shout", json!("hello")))).await {
            assert_eq!(job.status, Status::Succeeded, "{job:?}");
        }
    };
    rounds().await;
    system.clerks[0].process.terminate().await;
    rounds().await;
    nginx.signal(clerkwork_tests::Signal::SIGTERM);
}
