//! A message as any AMQP client sees it: properties, headers, body.

use bytes::Bytes;

/// The properties, headers and body of one message.
///
/// Properties carry routing, headers the little that every job has, the body the user's bytes
/// untouched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The media type of the body.
    pub content_type: Option<String>,
    /// What a reply must echo.
    pub correlation_id: Option<String>,
    /// The routing key to answer to.
    pub reply_to: Option<String>,
    /// Names this message among those in flight: `<job id>:<attempt>` for a job.
    pub message_id: Option<String>,
    /// What kind of message this is: `job`, `replies`, …
    pub kind: Option<String>,
    /// The broker user that published it, as verified by the broker; only on control and notices.
    pub user_id: Option<String>,
    /// Everything else.
    pub headers: Headers,
    /// The user's bytes, or JSON of ours.
    pub body: Bytes,
}

/// The headers of a message: few, so a list is cheaper than a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, HeaderValue)>);

/// The value of a header. Kinds of value that we never write are dropped when a message is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// Any AMQP integer, or a timestamp.
    Int(i64),
    /// Any AMQP string that is UTF-8.
    Text(String),
    /// An AMQP boolean.
    Bool(bool),
}

impl Headers {
    /// The number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a header; the last value of a name counts.
    pub fn set(&mut self, name: &str, value: impl Into<HeaderValue>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// A header as text; `None` if it is absent or no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            HeaderValue::Text(text) => Some(text),
            HeaderValue::Int(_) | HeaderValue::Bool(_) => None,
        }
    }

    /// A header as an integer; decimal text counts too, since some clients send nothing else.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            HeaderValue::Int(int) => Some(*int),
            HeaderValue::Text(text) => text.parse().ok(),
            HeaderValue::Bool(_) => None,
        }
    }

    /// A header as a truth value: a boolean, a number other than 0, or the text `true`.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(HeaderValue::Bool(flag)) => *flag,
            Some(HeaderValue::Int(int)) => *int != 0,
            Some(HeaderValue::Text(text)) => text == "true",
            None => false,
        }
    }

    /// All headers in the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl From<i64> for HeaderValue {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<bool> for HeaderValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
