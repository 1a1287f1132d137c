//! The pipes of one attempt: output, log lines and events.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::Level;
use clerkwork_core::live::MAX_CHUNK;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Notify;

use super::line::{self, Line};
use crate::Progress;
use crate::teller::Teller;

/// How much is read at a time.
const READ: usize = 16 * 1024;
/// How much of stderr is kept for the error.
const TAIL: usize = 8 * 1024;
/// The longest line of stderr; what is beyond is left out.
const LOG_LINE: usize = 8 * 1024;
/// The longest line of file descriptor 3; a longer one is ignored.
const EVENT_LINE: usize = MAX_CHUNK + 64;

/// What the pipes gave. Kept outside the pumps, so that it is there when they are stopped.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) output: Vec<u8>,
    /// The end of stderr.
    pub(super) tail: Tail,
    pub(super) retry_after: Option<Duration>,
}

/// Reads the output; beyond `most` it says so and reads no more.
pub(super) async fn collect(
    mut stdout: impl AsyncRead + Unpin,
    into: &mut Vec<u8>,
    most: usize,
    over: &Notify,
) {
    loop {
        into.reserve(READ);
        match stdout.read_buf(into).await {
            Ok(0) | Err(_) => return,
            Ok(_) if into.len() > most => return over.notify_one(),
            Ok(_) => {}
        }
    }
}

/// Reads stderr: each line a log line, the end kept.
pub(super) async fn follow(mut stderr: impl AsyncRead + Unpin, teller: &Teller, tail: &mut Tail) {
    let mut lines = Lines::new(LOG_LINE);
    let mut piece = Vec::with_capacity(READ);
    while read(&mut stderr, &mut piece).await {
        tail.add(&piece);
        let mut rest = piece.as_slice();
        while let Some(line) = lines.next(&mut rest) {
            tell_line(teller, &line.text);
        }
    }
    if let Some(line) = lines.last() {
        tell_line(teller, &line.text);
    }
}

/// Reads the events of file descriptor 3.
pub(super) async fn heed(
    mut events: impl AsyncRead + Unpin,
    teller: &Arc<Teller>,
    retry_after: &mut Option<Duration>,
) {
    let mut lines = Lines::new(EVENT_LINE);
    let mut piece = Vec::with_capacity(READ);
    while read(&mut events, &mut piece).await {
        let mut rest = piece.as_slice();
        while let Some(line) = lines.next(&mut rest) {
            obey(&line, teller, retry_after).await;
        }
    }
    if let Some(line) = lines.last() {
        obey(&line, teller, retry_after).await;
    }
}

async fn obey(line: &Cut, teller: &Arc<Teller>, retry_after: &mut Option<Duration>) {
    let Ok(text) = std::str::from_utf8(&line.text) else {
        return;
    };
    match line::read(text).filter(|_| !line.was_cut) {
        Some(Line::Progress(fraction, message)) => teller.progress(fraction, message),
        Some(Line::Log(level, message)) => teller.log(level, message),
        Some(Line::RetryAfter(wait)) => *retry_after = Some(wait),
        Some(Line::Chunk(data)) => {
            if let Err(error) = Progress::new(Arc::clone(teller)).chunk(data).await {
                tracing::debug!(%error, "a chunk was left out");
            }
        }
        None => {}
    }
}

fn tell_line(teller: &Teller, line: &[u8]) {
    let line = line.trim_ascii_end();
    if !line.is_empty() {
        teller.log(Level::Info, &String::from_utf8_lossy(line));
    }
}

/// Reads the next piece; `false` at the end.
async fn read(from: &mut (impl AsyncRead + Unpin), piece: &mut Vec<u8>) -> bool {
    piece.clear();
    matches!(from.read_buf(piece).await, Ok(1..))
}

/// The end of a text, as a terminal would show it: what a carriage return begins anew is gone.
#[derive(Debug, Default)]
pub(super) struct Tail {
    text: Vec<u8>,
    /// A carriage return came, and nothing since.
    returned: bool,
}

impl Tail {
    fn add(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
            let (body, returns) = match part.strip_suffix(b"\r") {
                Some(body) => (body, true),
                None => (part, false),
            };
            if !body.is_empty() {
                if self.returned && body != b"\n" {
                    let begin = self.text.iter().rposition(|byte| *byte == b'\n');
                    self.text.truncate(begin.map_or(0, |before| before + 1));
                }
                self.returned = false;
                self.text.extend_from_slice(body);
            }
            self.returned |= returns;
        }
        let surplus = self.text.len().saturating_sub(TAIL);
        self.text.drain(..surplus);
    }

    /// The bytes, at most 8 KiB.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.text
    }
}

/// Splits pieces into lines of bounded length. A carriage return ends a line too, as progress bars use it.
#[derive(Debug)]
struct Lines {
    most: usize,
    begun: Cut,
}

/// A line, perhaps without its end.
#[derive(Debug, Default)]
struct Cut {
    text: Vec<u8>,
    was_cut: bool,
}

impl Lines {
    fn new(most: usize) -> Self {
        Self {
            most,
            begun: Cut::default(),
        }
    }

    /// The next whole line, of what was left before and of `rest`.
    fn next(&mut self, rest: &mut &[u8]) -> Option<Cut> {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (line, after) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (*rest, &rest[rest.len()..]),
        };
        *rest = after;
        let room = self.most.saturating_sub(self.begun.text.len());
        self.begun
            .text
            .extend_from_slice(&line[..line.len().min(room)]);
        self.begun.was_cut |= line.len() > room;
        end.map(|_| std::mem::take(&mut self.begun))
    }

    /// What is left at the end.
    fn last(&mut self) -> Option<Cut> {
        let last = std::mem::take(&mut self.begun);
        (!last.text.is_empty()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_of_bars_that_overwrite_each_other() {
        let text = b"begin\r\n10 %\r20 %\r\r100 %\nfailed\n7 %\r8 %\r";
        for size in 1..text.len() {
            let mut tail = Tail::default();
            text.chunks(size).for_each(|piece| tail.add(piece));
            let shown = String::from_utf8(tail.bytes().to_vec()).unwrap();
            assert_eq!(shown, "begin\n100 %\nfailed\n8 %", "pieces of {size}");
        }
    }

    #[test]
    fn the_tail_of_many_bars_keeps_what_came_before_them() {
        let mut tail = Tail::default();
        tail.add(b"the reason\n");
        for percent in 0..10_000 {
            tail.add(format!("{percent:060}\r").as_bytes());
        }
        assert!(tail.bytes().starts_with(b"the reason\n"));
    }

    #[test]
    fn lines_come_whole_however_the_pieces_fall() {
        let text = b"one\ntwo\r\nthree-is-long\rend";
        for size in 1..text.len() {
            let mut lines = Lines::new(8);
            let mut seen = Vec::new();
            for mut piece in text.chunks(size) {
                while let Some(line) = lines.next(&mut piece) {
                    seen.push((String::from_utf8(line.text).unwrap(), line.was_cut));
                }
            }
            seen.extend(
                lines
                    .last()
                    .map(|line| (String::from_utf8(line.text).unwrap(), line.was_cut)),
            );
            let expected = [
                ("one", false),
                ("two", false),
                ("", false),
                ("three-is", true),
                ("end", false),
            ];
            let seen: Vec<_> = seen
                .iter()
                .map(|(text, cut)| (text.as_str(), *cut))
                .collect();
            assert_eq!(seen, expected, "pieces of {size}");
        }
    }
}
