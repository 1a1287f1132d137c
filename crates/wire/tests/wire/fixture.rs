//! Reads the golden messages.

use std::fs;
use std::path::PathBuf;

use clerkwork_wire::{Envelope, HeaderValue};

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1")
}

/// The names of all golden messages, in order.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".txt").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// The golden message of this name.
pub(crate) fn read(name: &str) -> Envelope {
    let text = fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
    let mut sections: Vec<Vec<&str>> = vec![vec![]];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.is_empty() && sections.len() < 3 {
            sections.push(vec![]);
        } else if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    let [properties, headers, body] = &sections[..] else {
        panic!("{name}: not three sections")
    };
    let mut envelope = Envelope::default();
    for line in properties {
        let (key, value) = line.split_once(": ").unwrap();
        let slot = match key {
            "content_type" => &mut envelope.content_type,
            "correlation_id" => &mut envelope.correlation_id,
            "reply_to" => &mut envelope.reply_to,
            "message_id" => &mut envelope.message_id,
            "type" => &mut envelope.kind,
            other => panic!("{name}: no property is called {other}"),
        };
        *slot = Some(value.to_owned());
    }
    for line in headers {
        let (key, value) = line.split_once(" = ").unwrap();
        envelope.headers.set(key, header(value));
    }
    envelope.body = body.iter().flat_map(|line| bytes(line)).collect();
    envelope
}

fn header(json: &str) -> HeaderValue {
    match serde_json::from_str(json).unwrap() {
        serde_json::Value::Bool(flag) => flag.into(),
        serde_json::Value::Number(number) => number.as_i64().unwrap().into(),
        serde_json::Value::String(text) => text.into(),
        other => panic!("no header is like {other}"),
    }
}

fn bytes(line: &str) -> Vec<u8> {
    match line.split_once(' ') {
        Some(("text", text)) => text.as_bytes().to_vec(),
        Some(("hex", hex)) => {
            let byte = |hex| u8::from_str_radix(hex, 16).unwrap();
            hex.split(' ').map(byte).collect()
        }
        _ => panic!("neither text nor hex: {line}"),
    }
}
