//! Reading `text/event-stream` as the WHATWG defines it, piece by piece.
//!
//! ```
//! use clerkwork_core::sse::Parser;
//!
//! let mut parser = Parser::new(1024);
//! assert!(parser.feed(b"id: 7\nevent: progress\nda").is_empty());
//! let events = parser.feed(b"ta: {\"fraction\":0.5}\n\n");
//! assert_eq!((events[0].kind.as_str(), events[0].id.as_str()), ("progress", "7"));
//! assert_eq!(events[0].data, br#"{"fraction":0.5}"#);
//! ```

use std::time::Duration;

/// The longest line beyond the data in it: a field's name, an id, a kind.
///
/// The WHATWG sets no limit to ids and kinds. Longer ones are ignored here, as an id with a NUL is:
/// the id goes with every event that follows, and a long one would be in memory once for each.
const FRAME: usize = 1024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The last id that the stream named, with this event or before; empty if none.
    pub id: String,
    /// What kind of event: `message` where the stream does not say.
    pub kind: String,
    /// Its data: the lines, joined by line feeds.
    pub data: Vec<u8>,
    /// Whether data beyond the limit were left out.
    pub cut: bool,
}

/// Takes a stream in any pieces and gives its events.
#[derive(Debug)]
pub struct Parser {
    /// The most bytes of data that an event may have.
    most: usize,
    /// The line that is being read.
    line: Vec<u8>,
    /// Whether the line that is being read went over the limit.
    line_cut: bool,
    /// Whether the last byte was a carriage return, whose line feed may follow.
    after_cr: bool,
    /// Whether a line was read: a mark of the byte order stands only before the first.
    begun: bool,
    /// The id as far as it was read; it counts with the blank line that ends its event.
    id: String,
    kind: String,
    data: Vec<u8>,
    cut: bool,
    /// Whether the event has data: without, it is none.
    has_data: bool,
    retry: Option<Duration>,
}

impl Parser {
    /// A parser of a stream whose events have at most so many bytes of data; what is beyond is left
    /// out, and the event says so.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            line_cut: false,
            after_cr: false,
            begun: false,
            id: String::new(),
            kind: String::new(),
            data: Vec::new(),
            cut: false,
            has_data: false,
            retry: None,
        }
    }

    /// How long the stream wants its readers to wait before they come again.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The kind of the event that is being read and is over the limit already, if one is: whoever
    /// does not want its rest need not wait for it.
    #[must_use]
    pub fn overflowing(&self) -> Option<&str> {
        let line = self.line_cut && self.line.starts_with(b"data:");
        (self.cut || line).then_some(self.kind.as_str())
    }

    /// Takes the next piece, and gives the events that it completes.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            // The line feed of a line that its carriage return has ended.
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            self.take(&rest[..end.unwrap_or(rest.len())]);
            let Some(end) = end else { break };
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            events.extend(self.line());
        }
        events
    }

    /// Adds to the line what has room.
    fn take(&mut self, bytes: &[u8]) {
        let room = (self.most + FRAME).saturating_sub(self.data.len() + self.line.len());
        self.line_cut |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Reads the line that is complete; a blank one ends an event.
    fn line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.line_cut);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.is_empty() {
            return self.event();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.data(value, cut),
            // What is over the limit would be another name or another id.
            b"event" if !cut && fits(value) => self.kind = text(value),
            b"id" if !cut && fits(value) && !value.contains(&0) => self.id = text(value),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = text(value).parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
        None
    }

    fn data(&mut self, value: &[u8], cut: bool) {
        let another = std::mem::replace(&mut self.has_data, true);
        self.cut |= cut;
        if another {
            self.keep(b"\n");
        }
        self.keep(value);
    }

    /// Adds to the data what has room.
    fn keep(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.data.len());
        self.cut |= bytes.len() > room;
        self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn event(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        let cut = std::mem::take(&mut self.cut);
        std::mem::take(&mut self.has_data).then(|| Event {
            id: self.id.clone(),
            kind: if kind.is_empty() {
                "message".to_owned()
            } else {
                kind
            },
            data,
            cut,
        })
    }
}

/// Whether this may be an id or a kind.
fn fits(value: &[u8]) -> bool {
    value.len() <= FRAME
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
