//! The rules of the house: sizes, seams, and documents that do not lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clerkwork_tests::repository;
use serde_json::{Value, json};

/// Which crates each crate may know, at run time.
const EDGES: [(&str, &[&str]); 12] = [
    ("core", &[]),
    ("wire", &["core"]),
    ("faults", &[]),
    ("broker", &["core", "wire", "faults"]),
    ("store", &["core", "faults"]),
    ("clerk", &["core", "wire", "broker", "store", "faults"]),
    ("worker", &["core", "wire", "broker", "faults"]),
    ("client", &["core"]),
    ("checker", &[]),
    ("faulty", &["core", "broker", "store"]),
    (
        "sim",
        &[
            "core", "wire", "broker", "store", "clerk", "worker", "faults", "faulty", "checker",
        ],
    ),
    (
        "cli",
        &[
            "core", "wire", "broker", "store", "clerk", "worker", "client", "faults", "faulty",
        ],
    ),
];

#[test]
fn no_file_is_longer_than_400_lines() {
    let long: Vec<_> = files("rs")
        .into_iter()
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > 400)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_file_says_in_its_first_line_what_it_owns() {
    let silent: Vec<_> = files("rs")
        .into_iter()
        .filter(|path| !read(path).starts_with("//! ") && !read(path).starts_with("#![doc"))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn lower_crates_know_nothing_of_higher_ones() {
    for (name, allowed) in EDGES {
        let manifest = read(&repository().join("crates").join(name).join("Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for line in dependencies.lines() {
            let Some(known) = line.strip_prefix("clerkwork-") else {
                continue;
            };
            let known = known.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&known), "{name} must not know {known}");
        }
    }
}

#[test]
fn both_stores_have_the_same_migrations() {
    let list = |store: &str| -> BTreeSet<String> {
        let folder = repository().join("migrations").join(store);
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let postgres = list("postgres");
    assert!(!postgres.is_empty());
    assert_eq!(postgres, list("sqlite"));
}

/// Where SQL is put together, and what is put in: never a value, which is always bound.
///
/// The driver takes a text that is not in the source only as `AssertSqlSafe`.
const SQL_PUT_TOGETHER: [(&str, &str); 4] = [
    (
        "crates/store/src/postgres/session.rs",
        "the number of a day",
    ),
    (
        "crates/store/src/postgres/days.rs",
        "the bounds of a day, which are ids",
    ),
    (
        "crates/store/src/postgres/success.rs",
        "nothing: a statement of ours is explained",
    ),
    (
        "crates/store/src/sqlite/batch.rs",
        "as many places for values as there are rows",
    ),
];

#[test]
fn no_statement_is_put_together_but_in_the_places_that_are_listed() {
    let mut put_together = BTreeMap::new();
    for path in files("rs") {
        let path = path.strip_prefix(repository()).unwrap().to_owned();
        let text = read(&repository().join(&path));
        let is_test = path.iter().any(|part| part == "tests");
        if is_test || !text.contains("sqlx") {
            continue;
        }
        let asserted = text.lines().filter(|line| {
            let used = line.contains("AssertSqlSafe(");
            used || (line.contains("query") && line.contains("format!("))
        });
        let asserted = asserted.count();
        if asserted > 0 {
            put_together.insert(path.to_string_lossy().into_owned(), asserted);
        }
    }
    let listed: BTreeSet<_> = SQL_PUT_TOGETHER.iter().map(|(path, _)| *path).collect();
    let found: BTreeSet<_> = put_together.keys().map(String::as_str).collect();
    assert_eq!(found, listed);
    assert_eq!(put_together.values().sum::<usize>(), SQL_PUT_TOGETHER.len());
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    for document in files("md") {
        let text = read(&document);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let path = document.parent().unwrap().join(file);
            assert!(path.exists(), "{}: {target}", document.display());
        }
    }
}

#[test]
fn every_source_file_that_the_documents_name_exists() {
    let sources = files("rs");
    for document in files("md") {
        for word in read(&document).split('`').skip(1).step_by(2) {
            let named =
                word.starts_with("crates/") || (word.ends_with(".rs") && !word.contains(' '));
            let found = repository().join(word).exists()
                || sources
                    .iter()
                    .any(|path| path.ends_with(word) && word.ends_with(".rs"));
            assert!(!named || found, "{}: {word}", document.display());
        }
    }
}

#[test]
fn every_test_that_the_pages_about_security_and_reliability_name_exists() {
    let sources: Vec<_> = files("rs").iter().map(|path| read(path)).collect();
    let tables = [
        ("docs/security.md", "| threat |"),
        ("docs/reliability.md", "| fault | what happens |"),
    ];
    let rows = tables.iter().flat_map(|(page, head)| {
        let page = read(&repository().join(page));
        let table: Vec<_> = page
            .lines()
            .skip_while(|line| !line.starts_with(head))
            .take_while(|line| line.starts_with("| "))
            .map(str::to_owned)
            .collect();
        assert!(table.len() > 20, "{head}");
        table.into_iter().skip(2)
    });
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            let declared = format!("fn {test}(");
            let found = sources.iter().any(|source| source.contains(&declared));
            assert!(found, "{test} is not there");
        }
    }
}

#[test]
fn the_two_commands_of_the_readme_are_there() {
    let readme = read(&repository().join("README.md"));
    let commands = blocks(&readme);
    assert_eq!(
        commands.first().map(String::as_str),
        Some("cargo run --release -- demo")
    );
    assert!(commands.iter().any(|command| command == "scripts/test"));
    assert_eq!(default_run(), ["clerkwork"], "what `cargo run` alone runs");
}

/// The programs that `cargo run` takes where none is named: more than one is an error to it.
fn default_run() -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let words = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    let mut cargo = Command::new(cargo);
    let metadata = cargo.args(words).current_dir(repository()).output();
    let metadata: Value = serde_json::from_slice(&metadata.unwrap().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let named = packages
        .iter()
        .filter_map(|package| package["default_run"].as_str());
    let named: Vec<_> = named.map(str::to_owned).collect();
    if !named.is_empty() {
        return named;
    }
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap());
    targets
        .filter(|target| target["kind"] == json!(["bin"]))
        .map(|target| target["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_subcommand_that_the_documents_use_exists() {
    let mut unknown = BTreeMap::new();
    for document in files("md") {
        for command in blocks(&read(&document)) {
            let words: Vec<_> = command.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| *word == "clerkwork") else {
                continue;
            };
            let Some(word) = words
                .get(at + 1)
                .filter(|word| word.starts_with(char::is_alphabetic))
            else {
                continue;
            };
            let help = std::process::Command::new(clerkwork_tests::clerkwork())
                .args([word, "--help"])
                .output()
                .unwrap();
            if !help.status.success() {
                unknown.insert(command.clone(), document.clone());
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn the_architecture_fits_on_200_lines() {
    assert!(read(&repository().join("ARCHITECTURE.md")).lines().count() <= 200);
}

/// The commands in a document's shell blocks, one a line.
fn blocks(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside && ["```sh", "```console", "```bash"].contains(&line.trim_end());
        } else if inside {
            let line = line.trim_start_matches("$ ").trim();
            if !line.is_empty() && !line.starts_with('#') {
                commands.push(line.to_owned());
            }
        }
    }
    commands
}

/// All files of the repository with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
