//! Whether some bytes are JSON that can be handed on untouched.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

/// How deep a part of an output may be nested while its job runs.
pub const MAX_DEPTH: usize = 100;

/// Why some bytes cannot be handed on as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// They do not follow the grammar.
    #[error("not JSON: {0}")]
    Malformed(String),
    /// Half a surrogate pair, which no text can hold.
    #[error("a \\u escape is half a surrogate pair (at byte {0})")]
    LoneSurrogate(usize),
    /// Nested deeper than allowed.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

/// Checks that `bytes` are one JSON value, nested at most `depth` deep, whose strings are text.
///
/// Numbers of any size and repeated names are let through: whoever reads the value decides.
///
/// # Errors
/// See [`NotJson`].
pub fn check(bytes: &[u8], depth: usize) -> Result<(), NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|error| NotJson::Malformed(error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| NotJson::Malformed(error.to_string()))?;
    check_strings_and_depth(bytes, depth)
}

/// The members of a JSON object that others wrote: one that is not as expected says nothing of the rest.
#[derive(Debug)]
pub struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Reads an object; `None` where the bytes are anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        // A list would pass for members in their order.
        let object = bytes.trim_ascii_start().starts_with(b"{");
        object.then(|| serde_json::from_slice(bytes).ok().map(Self))?
    }

    /// Whether it has no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member of this name, if it is there and of this type.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// The member of this name as it was written, if it is not null.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<Box<RawValue>> {
        let raw = self.0.get(name)?;
        (raw.get() != "null").then(|| raw.clone())
    }

    /// The member of this name in words: a text as it is, a list of errors as FastAPI writes it in a
    /// sentence for each, and any other JSON as it was written. `None` where it says nothing.
    #[must_use]
    pub fn words(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        let words = match serde_json::from_str(raw.get()) {
            Ok(Value::String(text)) => text,
            Ok(Value::Array(list)) => sentences(&list).unwrap_or_else(|| raw.get().to_owned()),
            _ => raw.get().to_owned(),
        };
        (!words.trim().is_empty()).then_some(words)
    }
}

/// The sentences of a list of `{"loc": ["body", "pages"], "msg": "…"}`; `None` if it is no such list.
fn sentences(list: &[Value]) -> Option<String> {
    let sentence = |error: &Value| {
        let message = error.get("msg")?.as_str()?;
        let place = error.get("loc").and_then(Value::as_array);
        let place: Vec<String> = place
            .into_iter()
            .flatten()
            .map(|step| {
                step.as_str()
                    .map_or_else(|| step.to_string(), str::to_owned)
            })
            .collect();
        Some(match place.is_empty() {
            true => message.to_owned(),
            false => format!("{}: {message}", place.join(".")),
        })
    };
    let sentences: Option<Vec<String>> = list.iter().map(sentence).collect();
    sentences.map(|sentences| sentences.join("; "))
}

/// Expects JSON, so that a quote or a bracket means what it seems to mean.
fn check_strings_and_depth(bytes: &[u8], most: usize) -> Result<(), NotJson> {
    let (mut at, mut depth, mut in_string) = (0, 0usize, false);
    while let Some(byte) = bytes.get(at) {
        match (in_string, byte) {
            (true, b'\\') if bytes.get(at + 1) == Some(&b'u') => {
                at = after_escape(bytes, at)?;
                continue;
            }
            (true, b'\\') => at += 1,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > most {
                    return Err(NotJson::TooDeep(most));
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The place after the `\u` escape at `at`, both halves of a pair taken together.
fn after_escape(bytes: &[u8], at: usize) -> Result<usize, NotJson> {
    match unit(bytes, at) {
        Some(0xD800..0xDC00) => match unit(bytes, at + 6) {
            Some(0xDC00..0xE000) => Ok(at + 12),
            _ => Err(NotJson::LoneSurrogate(at)),
        },
        Some(0xDC00..0xE000) | None => Err(NotJson::LoneSurrogate(at)),
        Some(_) => Ok(at + 6),
    }
}

fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let hex = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_no_parser_should_choke_on_is_let_through() {
        let good = [
            r#""\u0000""#,
            r#""\ud83d\ude00""#,
            r#"{"a":1,"a":2}"#,
            "1e400",
            "-0",
            r#""\\u12""#,
        ];
        for text in good {
            assert_eq!(check(text.as_bytes(), 100), Ok(()), "{text}");
        }
        assert_eq!(
            check("123456789012345678901234567890".as_bytes(), 100),
            Ok(())
        );
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for text in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\u0041""#,
            r#"{"\udfff":1}"#,
        ] {
            assert!(
                matches!(check(text.as_bytes(), 100), Err(NotJson::LoneSurrogate(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(nested(100).as_bytes(), 100), Ok(()));
        assert_eq!(
            check(nested(101).as_bytes(), 100),
            Err(NotJson::TooDeep(100))
        );
        assert_eq!(
            check(nested(200_000).as_bytes(), 100),
            Err(NotJson::TooDeep(100))
        );
        assert_eq!(
            check(format!("\"{}\"", "[".repeat(500)).as_bytes(), 100),
            Ok(())
        );
    }

    #[test]
    fn a_member_of_another_type_leaves_its_neighbours_readable() {
        let text = br#" {"title": "T", "detail": [{"msg": "m"}], "status": "422", "data": null}"#;
        let members = Members::read(text).unwrap();
        assert_eq!(members.get::<String>("title").as_deref(), Some("T"));
        assert_eq!(members.get::<String>("detail"), None);
        assert_eq!(members.get::<u16>("status"), None);
        assert!(members.raw("data").is_none() && members.raw("none").is_none());
        assert!(Members::read(b"[1]").is_none() && Members::read(b"{").is_none());
    }

    #[test]
    fn a_member_is_put_into_words_whatever_its_type() {
        for (detail, words) in [
            (r#""plain""#, Some("plain")),
            (
                r#"[{"loc": ["body", "pages", 0], "msg": "no number"}, {"msg": "m"}]"#,
                Some("body.pages.0: no number; m"),
            ),
            (r#"[{"code": 1}]"#, Some(r#"[{"code": 1}]"#)),
            (r#"{"code": 1}"#, Some(r#"{"code": 1}"#)),
            ("[]", None),
            ("null", None),
            (r#"" ""#, None),
        ] {
            let text = format!(r#"{{"detail": {detail}}}"#);
            let members = Members::read(text.as_bytes()).unwrap();
            assert_eq!(members.words("detail").as_deref(), words, "{detail}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", " ", "{", "[1,]", "nul", "1 2", "\"\u{1}\"", "{a:1}"] {
            assert!(
                matches!(check(text.as_bytes(), 100), Err(NotJson::Malformed(_))),
                "{text}"
            );
        }
        assert!(matches!(
            check(b"\"\xff\"", 100),
            Err(NotJson::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn checking_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes, 3);
        }

        #[test]
        fn what_passes_is_read_by_a_strict_parser(text in r#"[\[\]{}",:\\u0-9a-fd8c ]{0,40}"#) {
            if check(text.as_bytes(), 100).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok()
                    || text.contains('e'));
            }
        }
    }
}
