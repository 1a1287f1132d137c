//! The trace of a run: every step that matters, as words or as their sum.

use std::fmt::{self, Arguments, Write as _};

/// What happened, in order. Two runs of one seed have the same.
#[derive(Clone, Debug)]
pub struct Trace {
    lines: Option<Vec<String>>,
    sum: Sum,
    steps: u64,
}

/// FNV-1a: the same on every machine and in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum(u64);

impl fmt::Write for Sum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            lines: keep.then(Vec::new),
            sum: Sum(0xcbf2_9ce4_8422_2325),
            steps: 0,
        }
    }

    pub(crate) fn note(&mut self, at: i64, words: Arguments<'_>) {
        self.steps += 1;
        // Neither can fail.
        if let Some(lines) = &mut self.lines {
            let line = format!("{at} {words}");
            let _ = self.sum.write_str(&line);
            lines.push(line);
        } else {
            let _ = write!(self.sum, "{at} {words}");
        }
    }

    /// The steps in words, if they were kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// What all the words sum up to.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.0
    }

    /// How many steps there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
