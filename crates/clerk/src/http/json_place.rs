//! The member or element that a byte of a JSON text belongs to.

use clerkwork_core::json::NotJson;
use serde::de::IgnoredAny;

/// The most steps of a pointer: an element of a batch, and a member of its input.
const MOST_STEPS: usize = 4;
/// More of a name that a client made up is not repeated to it.
const LONGEST_NAME: usize = 100;

/// The JSON pointer to what a text that is not JSON holds where it ceases to be; the whole where that
/// cannot be said.
pub(crate) fn of_error(text: &[u8], error: &NotJson) -> String {
    match error {
        NotJson::LoneSurrogate(at) => pointer(text, *at),
        NotJson::Malformed(_) => pointer(text, end_of_json(text)),
        NotJson::TooDeep(_) => String::new(),
    }
}

/// The byte at which a parser gives up.
fn end_of_json(text: &[u8]) -> usize {
    if let Err(error) = std::str::from_utf8(text) {
        return error.valid_up_to();
    }
    let Err(error) = serde_json::from_slice::<IgnoredAny>(text) else {
        return text.len();
    };
    if error.is_eof() {
        return text.len();
    }
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    before + error.column().saturating_sub(1)
}

/// An object or an array that is not at its end yet.
enum Open<'a> {
    /// The name of the member that is being read, as it was written.
    Object { name: &'a [u8], has_value: bool },
    /// The index of the element that is being read.
    Array(usize),
}

/// The pointer to what the byte at `end` belongs to. All before it is JSON.
fn pointer(text: &[u8], end: usize) -> String {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    while at < end.min(text.len()) {
        match text[at] {
            b'"' => {
                let close = after_string(text, at);
                let name = text.get(at + 1..close - 1).unwrap_or_default();
                if let Some(Open::Object {
                    name: known,
                    has_value: false,
                }) = open.last_mut()
                {
                    *known = name;
                }
                at = close;
                continue;
            }
            b'{' => open.push(Open::Object {
                name: b"",
                has_value: false,
            }),
            b'[' => open.push(Open::Array(0)),
            b'}' | b']' => drop(open.pop()),
            b':' => {
                if let Some(Open::Object { has_value, .. }) = open.last_mut() {
                    *has_value = true;
                }
            }
            b',' => match open.last_mut() {
                Some(Open::Object { name, has_value }) => (*name, *has_value) = (b"", false),
                Some(Open::Array(index)) => *index += 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    let steps = open.iter().take(MOST_STEPS).map_while(step);
    steps.collect()
}

/// The place after the string that begins at `at`.
fn after_string(text: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while let Some(byte) = text.get(next) {
        match byte {
            b'"' => return next + 1,
            b'\\' => next += 2,
            _ => next += 1,
        }
    }
    text.len().max(at + 1)
}

/// `None` where it is not known which member it is.
fn step(open: &Open<'_>) -> Option<String> {
    match open {
        Open::Array(index) => Some(format!("/{index}")),
        Open::Object {
            has_value: false, ..
        } => None,
        Open::Object { name, .. } => {
            let name = String::from_utf8_lossy(name);
            let name: String = name.chars().take(LONGEST_NAME).collect();
            Some(format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        }
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::json;

    use super::*;

    fn place(text: &[u8]) -> String {
        of_error(text, &json::check(text, usize::MAX).unwrap_err())
    }

    #[test]
    fn the_place_of_what_is_not_json_is_the_member_or_element_that_holds_it() {
        for (text, pointer) in [
            (
                r#"{"jobs":[{"input":1},{"queue":"a,]}","input":"\ud800"}]}"#,
                "/jobs/1/input",
            ),
            (
                r#"{"jobs":[{"input":[1,2]},{"input":nul}]}"#,
                "/jobs/1/input",
            ),
            (
                "{\"jobs\":[\n{\"input\":1},\n\n{\"input\":[[],01]}]}",
                "/jobs/1/input/1",
            ),
            (r#"{"jobs":[{"input":1},{"input" 1}]}"#, "/jobs/1"),
            (r#"{"jobs":[{},{},"#, "/jobs/2"),
            (r#"{"a/~":{"b":{"c":{"d":{"e":tru}}}}}"#, "/a~1~0/b/c/d"),
            (r#"["a\"",]"#, "/1"),
            (r#"{"a":1} x"#, ""),
            ("", ""),
        ] {
            assert_eq!(place(text.as_bytes()), pointer, "{text}");
        }
        assert_eq!(place(b"{\"jobs\":[1,\"\xff\"]}"), "/jobs/1");
    }
}
