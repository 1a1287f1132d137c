//! Where the programs are that the tests start.

use std::env;
use std::path::{Path, PathBuf};

/// The one binary.
#[must_use]
pub fn clerkwork() -> PathBuf {
    built("clerkwork")
}

/// The chaos command.
#[must_use]
pub fn chaos() -> PathBuf {
    built("clerkwork-chaos")
}

/// An example of the package `clerkwork`.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"))
}

/// A Python that has pika, aio-pika, yaml and standardwebhooks.
#[must_use]
pub fn python() -> String {
    env::var("CLERKWORK_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Node.js; `None`, said aloud, where `scripts/test` could not install it.
///
/// # Panics
/// When it should be there and is not.
#[must_use]
pub fn node() -> Option<String> {
    let there = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join("node").is_file());
    if there {
        return Some("node".to_owned());
    }
    let left_out = env::var("CLERKWORK_TEST_CLIENTS").is_ok_and(|there| there == "no");
    assert!(left_out, "node is not there: scripts/test installs it");
    eprintln!("NOT RUN: Node.js is not on this machine");
    None
}

/// The folder in which scripts/test installs what makes clients from the document of the HTTP
/// interface, and the AMQP client of Node.js; nothing where that was not possible.
///
/// # Panics
/// When it was not installed.
#[must_use]
pub fn client_tools() -> Option<PathBuf> {
    if env::var("CLERKWORK_TEST_CLIENTS").is_ok_and(|there| there == "no") {
        return None;
    }
    let folder = repository().join("target/clients");
    assert!(
        folder.join("complete").exists(),
        "{} is not complete: scripts/test installs it",
        folder.display()
    );
    Some(folder)
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in a folder of the repository")
        .to_owned()
}

/// What `cargo test --workspace` has built beside the test that runs.
fn built(name: &str) -> PathBuf {
    let mut folder = env::current_exe().expect("a test knows its own path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not there: run `cargo test --workspace --no-run` first, or scripts/test, which does",
        path.display()
    );
    path
}
