//! Whether some bytes are JSON that can be handed on untouched.

use serde::de::IgnoredAny;

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
