//! PROTOCOL.md says what the code does.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn of_the_project(path: &str) -> String {
    let path = crate_folder().join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder with this ending, by name.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(crate_folder().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == ending)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_protocol_was_read_again_after_the_last_change_of_version_1() {
    let mut hash = Sha256::new();
    for file in files("src/v1", "rs") {
        hash.update(fs::read(file).unwrap());
    }
    let hex: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let line = format!("<!-- sha256 of crates/wire/src/v1/*.rs: {hex} -->");
    assert!(
        of_the_project("PROTOCOL.md").trim_end().ends_with(&line),
        "crates/wire/src/v1 has changed. Read PROTOCOL.md against it, then end it with\n{line}"
    );
}

#[test]
fn the_example_of_a_plain_worker_is_the_one_that_is_tested() {
    let example = of_the_project("docs/examples/plain_worker.py");
    assert!(of_the_project("PROTOCOL.md").contains(&format!("```python\n{example}```")));
}

#[test]
fn every_header_and_member_of_a_golden_message_is_in_the_protocol() {
    let protocol = of_the_project("PROTOCOL.md");
    let mut names = BTreeSet::new();
    for file in files("fixtures/v1", "txt") {
        let text = fs::read_to_string(file).unwrap();
        names.extend(
            text.lines()
                .filter_map(|line| line.split_once(" = "))
                .map(|(name, _)| name.to_owned()),
        );
        for body in text.lines().filter_map(|line| line.strip_prefix("text {")) {
            if let Ok(json) = serde_json::from_str(&format!("{{{body}")) {
                members(&json, &mut names);
            }
        }
    }
    for own in [
        "a", "z", "n", "pages", "template", "text", "render", "thumbs", "8", "12",
    ] {
        names.remove(own);
    }
    assert!(names.len() > 40, "only {} names", names.len());
    let missing: Vec<_> = names
        .iter()
        .filter(|name| {
            let quoted = [
                format!("`{name}`"),
                format!("\"{name}\""),
                format!(".{name}`"),
                format!("`{name}:"),
            ];
            !quoted.iter().any(|quoted| protocol.contains(quoted))
        })
        .collect();
    assert!(missing.is_empty(), "PROTOCOL.md does not name {missing:?}");
}

/// The names within a message of ours; what users say in `data` and the Job objects of `outcomes` are
/// not of the protocol.
fn members(json: &serde_json::Value, names: &mut BTreeSet<String>) {
    match json {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                if name != "data" && name != "outcomes" {
                    members(value, names);
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| members(value, names)),
        _ => {}
    }
}
