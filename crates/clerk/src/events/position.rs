//! How far a watcher has come: `rev.attempt.seq`.

use std::fmt;

/// How far a watcher has come: it has seen the state of revision `rev`, and the live events of
/// `attempt` up to `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The job's revision; the store counts it.
    pub(crate) rev: u32,
    /// The attempt whose events were seen.
    pub(crate) attempt: u32,
    /// The number of the last of them; the worker counts it.
    pub(crate) seq: u64,
}

impl Position {
    /// Reads what a client sends back; `None` where it is none of ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let position = Self {
            rev: number(parts.next()?)?,
            attempt: number(parts.next()?)?,
            seq: number(parts.next()?)?,
        };
        parts.next().is_none().then_some(position)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.rev, self.attempt, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position {
            rev: 2,
            attempt: 1,
            seq: u64::MAX,
        };
        assert_eq!(Position::read(&position.to_string()), Some(position));
    }

    #[test]
    fn what_is_no_position_is_none() {
        let bad = [
            "",
            ".",
            "..",
            "1",
            "1.1",
            "1.1.1.1",
            "1.1.1 ",
            " 1.1.1",
            "+1.1.1",
            "-1.1.1",
            "1..1",
            "a.1.1",
            "1.1.99999999999999999999",
            "4294967296.1.1",
            "1,1,1",
            "1.1.1\n",
            "0x1.1.1",
        ];
        for text in bad {
            assert_eq!(Position::read(text), None, "{text:?}");
        }
    }
}
