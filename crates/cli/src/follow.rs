//! How a job that is followed is shown on standard error: a bar on a terminal, else a line each.

use std::io::IsTerminal as _;

use clerkwork_client::{Event, JobObject, Progress, Status};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::commands::show;
use crate::terminal::{Terminal, note, plain};

/// The parts that the bar counts.
const WHOLE: u64 = 1000;

/// Shows events as they come.
pub(crate) struct View {
    wanted: bool,
    bar: Option<ProgressBar>,
    last: Option<(Status, u32)>,
}

impl View {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self {
            wanted: terminal.progress,
            bar: is_live(terminal).then(new_bar),
            last: None,
        }
    }

    pub(crate) fn show(&mut self, event: &Event) {
        if !self.wanted {
            return;
        }
        match event {
            Event::State(job) => self.state(job),
            Event::Progress(progress) => self.progress(progress),
            Event::Log(line) => {
                let level = format!("{:?}", line.level).to_lowercase();
                self.line(&format!("{level}: {}", line.message));
            }
            Event::Chunk(chunk) => self.line(&format!("chunk {}: {}", chunk.index, chunk.data)),
            Event::Gap(gap) => self.line(&format!("events {} to {} are gone", gap.from, gap.to)),
        }
    }

    fn state(&mut self, job: &JobObject) {
        let now = (job.status, job.attempt);
        if job.done || self.last.replace(now) == Some(now) {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(0);
                bar.set_message(one_line(job.status.as_str(), job.note.as_deref()));
            }
            None => note(&show::news(job)),
        }
        if let Some(progress) = &job.progress {
            self.progress(progress);
        }
    }

    fn progress(&self, progress: &Progress) {
        let Some(bar) = &self.bar else {
            return note(&show::progress(progress));
        };
        if let Some(fraction) = progress.fraction {
            // Rounded, and within the bar whatever it is.
            bar.set_position((fraction.clamp(0.0, 1.0) * WHOLE as f64).round() as u64);
        }
        bar.set_message(one_line("", progress.message.as_deref()));
    }

    /// A line of its own, above the bar.
    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }
}

/// Whether a person looks on and wants to see how far it is.
pub(crate) fn is_live(terminal: Terminal) -> bool {
    terminal.progress && std::io::stderr().is_terminal()
}

/// A bar that leaves nothing behind, also where the watching is interrupted.
fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr())
        .with_style(style.progress_chars("#>-"))
        .with_finish(ProgressFinish::AndClear)
}

fn one_line(first: &str, more: Option<&str>) -> String {
    let text = match more {
        Some(more) if first.is_empty() => more.to_owned(),
        Some(more) => format!("{first}: {more}"),
        None => first.to_owned(),
    };
    plain(&text).replace(['\n', '\t'], " ")
}
