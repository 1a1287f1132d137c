//! Full disks: what cannot be written is refused, and everything goes on once there is room.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::own::{self, Own, Postgres};
use clerkwork_tests::{Kind, Load, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::crash::{HEALED, becomes, clerks, fleet, refused_for_the_moment, refuses};

/// A small disk, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Puts one at this place; `None`, said aloud, where this process may not.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let disk = Self(at);
        let mounted = disk.mounted(&format!("size={size}"));
        if !mounted {
            eprintln!("NOT RUN: this process may not mount a tmpfs");
        }
        mounted.then_some(disk)
    }

    fn mounted(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        let mounted = mount.arg(&self.0).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once, whoever has files open on it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn while_the_disk_is_full_jobs_are_refused_for_certain_and_afterwards_all_end() {
    let plan = Kind::Embedded.plan().command("w", 2, &["cat"]);
    let Some(disk) = Disk::mount(plan.file("data"), "6m") else {
        return;
    };
    let system = plan.start().await;
    let api = system.api();
    let job = json!({"queue": "w", "input": "x".repeat(200_000)});
    let mut accepted = Vec::new();
    let refused = loop {
        let answer = api.try_submit(&job).await.unwrap();
        if !answer.status().is_success() {
            break answer;
        }
        accepted.push(answer.json::<JobObject>().await.unwrap());
        assert!(accepted.len() < 100, "the disk is never full");
    };
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("Retry-After"));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["type"], "urn:clerkwork:problem:unavailable");
    assert!(accepted.len() > 2, "it was full from the first");
    assert!(disk.mounted("remount,size=200m"));
    eventually("jobs are accepted again", HEALED, async || {
        let answer = api.try_submit(&job).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    for job in &accepted {
        let ended = api.ended_within(job, HEALED).await;
        assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    }
    // It goes first, so that the folder can be cleared away.
    drop(disk);
}

/// Writes until there is no room for more.
fn fill(folder: &Path) -> PathBuf {
    let filler = folder.join("filler");
    let mut file = File::create(&filler).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[1; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    filler
}

#[tokio::test]
async fn a_data_folder_that_is_removed_makes_its_process_refuse_jobs() {
    let plan = Kind::Embedded.plan().command("work", 1, &["cat"]);
    let data = plan.file("data");
    let system = plan.start().await;
    let api = system.api();
    api.run("work", json!("before")).await;
    fs::remove_dir_all(&data).unwrap();
    becomes(&system, 503, json!({"store": "down", "broker": "up"})).await;
    for _ in 0..3 {
        refuses(&system).await;
    }
    let log = system.clerks[0].process.complaints();
    assert!(log.contains("was removed or replaced"), "{log}");
    let read = api.refusal(api.request(Method::GET, "/jobs")).await;
    assert_eq!(read.status, 503);
}

#[tokio::test]
async fn while_the_disk_of_postgresql_is_full_jobs_are_refused_and_afterwards_all_end() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path().join("disk"), "400m") else {
        return;
    };
    let mut postgres = Postgres::start_in(&disk.0).await;
    let (system, _journal) = fleet(Kind::Fleet.plan().on(postgres.services())).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    let filler = fill(&disk.0);
    // What is large finds no room at once; what is small may still find some in what the server has set aside.
    let large = json!({"queue": "work", "input": "x".repeat(500_000)});
    eventually("a clerk says so", HEALED, async || {
        let answer = system.api().try_submit(&large).await.ok()?;
        (answer.status().as_u16() == 503).then_some(())
    })
    .await;
    refuses(&system).await;
    fs::remove_file(filler).unwrap();
    // It may have given up.
    postgres.run().await;
    load.accept(40).await;
    let seen = load.stop().await;
    refused_for_the_moment(&seen);
    seen.all_succeed(&clerks(&system), HEALED).await;
}

#[tokio::test]
async fn while_rabbitmq_has_too_little_disk_jobs_are_accepted_and_afterwards_all_end() {
    let Some(own) = Own::start().await else {
        return;
    };
    let (system, _journal) = fleet(Kind::Fleet.plan().on(own.services())).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    // More than any machine has.
    own.rabbit
        .control(&["set_disk_free_limit", "1000000000000000"])
        .await;
    becomes(&system, 200, json!({"store": "up", "broker": "blocked"})).await;
    load.accept(40).await;
    own.rabbit
        .control(&["set_disk_free_limit", "1000000"])
        .await;
    load.accept(20).await;
    let seen = load.stop().await;
    seen.refused_nothing_else();
    seen.all_succeed(&clerks(&system), HEALED).await;
}
