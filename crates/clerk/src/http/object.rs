//! JSON objects as clients send them: known members only, each once, their values untouched.

use std::borrow::Cow;
use std::fmt;

use clerkwork_core::json::{self, NotJson};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::json_place;
use crate::http::problem::{Complaints, Kind, Problem};

/// The members with these names, in their order. Other names and repeated ones are complained of.
pub(crate) fn members<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
    complaints: &mut Complaints,
) -> Result<[Option<&'a RawValue>; N], Problem> {
    let members = members_of(checked(body)?, names, complaints)?;
    members.ok_or_else(|| Complaints::one(Kind::InvalidRequest, "", NO_OBJECT))
}

/// The same of a text that is known to be JSON; `None`, and a complaint, where it is no object.
pub(crate) fn members_of<'a, const N: usize>(
    text: &'a str,
    names: [&'static str; N],
    complaints: &mut Complaints,
) -> Result<Option<[Option<&'a RawValue>; N]>, Problem> {
    if !text.trim_start().starts_with('{') {
        complaints.add("", NO_OBJECT);
        return Ok(None);
    }
    let members = Members { names, complaints };
    serde_json::Deserializer::from_str(text)
        .deserialize_map(members)
        .map(Some)
        .map_err(|error| malformed(&NotJson::Malformed(error.to_string())))
}

const NO_OBJECT: &str = "must be a JSON object";

/// The elements of an array, of which there may be `most`; `None` where it is none, or has more.
pub(crate) fn elements(value: &RawValue, most: usize) -> Option<Vec<&RawValue>> {
    let mut reader = serde_json::Deserializer::from_str(value.get());
    let elements = reader.deserialize_seq(Elements { most }).ok()?;
    (elements.len() <= most).then_some(elements)
}

/// Reads no more elements than tell that there are too many, whatever was sent.
struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() <= self.most
            && let Some(element) = seq.next_element()?
        {
            elements.push(element);
        }
        if elements.len() > self.most {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(elements)
    }
}

/// One whole number within these bounds, or a complaint.
pub(crate) fn whole(
    value: &RawValue,
    name: &str,
    bounds: std::ops::RangeInclusive<u32>,
    complaints: &mut Complaints,
) -> Option<u32> {
    let (least, most) = (bounds.start(), bounds.end());
    let number = serde_json::from_str::<i128>(value.get()).ok();
    let Some(number) = number else {
        let detail = format!("must be a whole number between {least} and {most}");
        complaints.add(name, detail);
        return None;
    };
    let number = u32::try_from(number)
        .ok()
        .filter(|number| bounds.contains(number));
    if number.is_none() {
        complaints.add(name, format!("must be between {least} and {most}"));
    }
    number
}

/// The body as text, if it is one JSON value that every parser reads alike.
fn checked(body: &[u8]) -> Result<&str, Problem> {
    // Depth is judged where it matters, by the member that is too deep.
    let checked = json::check(body, usize::MAX);
    checked.map_err(|error| malformed(&error).at(json_place::of_error(body, &error)))?;
    std::str::from_utf8(body).map_err(|error| malformed(&NotJson::Malformed(error.to_string())))
}

fn malformed(error: &NotJson) -> Problem {
    Problem::because(
        Kind::MalformedRequest,
        format!(
            "the body is {}",
            match error {
                NotJson::Malformed(_) | NotJson::TooDeep(_) => error.to_string(),
                NotJson::LoneSurrogate(_) => format!("not JSON: {error}"),
            }
        ),
    )
}

struct Members<'c, const N: usize> {
    names: [&'static str; N],
    complaints: &'c mut Complaints,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value()?;
            match self.names.iter().position(|known| *known == name) {
                None => self.complaints.add(&name, "is not known"),
                Some(at) if values[at].is_some() => self.complaints.add(&name, "is given twice"),
                Some(at) => values[at] = Some(value),
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<[Option<&str>; 2], String> {
        let mut complaints = Complaints::default();
        let values = members(body.as_bytes(), ["a", "b"], &mut complaints);
        let values = values.map_err(|problem| format!("{problem:?}"))?;
        let complaints = complaints.result(Kind::InvalidRequest);
        complaints.map_err(|problem| format!("{problem:?}"))?;
        Ok(values.map(|value| value.map(RawValue::get)))
    }

    #[test]
    fn values_are_taken_untouched() {
        let [a, b] = read(r#" {"\u0061" : {"x":1, "x":1e400} , "b":null}  "#).unwrap();
        assert_eq!(a, Some(r#"{"x":1, "x":1e400}"#));
        assert_eq!(b, Some("null"));
        assert_eq!(read("{}").unwrap(), [None, None]);
    }

    #[test]
    fn unknown_and_repeated_names_are_complained_of_with_their_place() {
        assert!(read(r#"{"c":1}"#).unwrap_err().contains("\"/c\""));
        assert!(read(r#"{"a":1,"\u0061":1}"#).unwrap_err().contains("twice"));
    }

    #[test]
    fn what_is_no_object_does_not_fit_and_what_is_no_json_is_malformed() {
        for body in ["1", "[]", "null", "\"{\""] {
            assert!(read(body).unwrap_err().contains("InvalidRequest"), "{body}");
        }
        for body in ["", "{", "{}x", "{\"a\":\"\\ud800\"}", "\u{feff}{}"] {
            assert!(
                read(body).unwrap_err().contains("MalformedRequest"),
                "{body}"
            );
        }
    }

    #[test]
    fn the_elements_of_an_array_are_taken_untouched_and_too_many_are_none() {
        let of = |text: &str| {
            let value = RawValue::from_string(text.to_owned()).unwrap();
            let elements = elements(&value, 2);
            elements.map(|all| {
                all.iter()
                    .map(|one| one.get().to_owned())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            of("[ {\"a\": 1e400} , []]").unwrap(),
            ["{\"a\": 1e400}", "[]"]
        );
        assert_eq!(of("[]").unwrap(), Vec::<String>::new());
        for none in ["[1,2,3]", "[1,2,3,4]", "{}", "null", "\"[]\"", "7"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn numbers_are_whole_and_within_their_bounds() {
        let whole = |text: &str| {
            let value = RawValue::from_string(text.to_owned()).unwrap();
            let mut complaints = Complaints::default();
            super::whole(&value, "n", 1..=9, &mut complaints).ok_or(format!("{complaints:?}"))
        };
        assert_eq!(whole("9"), Ok(9));
        for outside in ["0", "10", "-1", "99999999999999999999999999"] {
            assert!(
                whole(outside)
                    .unwrap_err()
                    .contains("must be between 1 and 9")
            );
        }
        for other in ["1.5", "1e0", "\"1\"", "null", "[]", "true"] {
            assert!(
                whole(other).unwrap_err().contains("whole number"),
                "{other}"
            );
        }
    }
}
