//! The files that people deploy with.

use std::process::{Command, Output};

use clerkwork_tests::{nginx_config, python, repository};

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
