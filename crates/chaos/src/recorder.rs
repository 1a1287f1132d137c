//! The history of a run, to which everybody writes, and the file that keeps it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clerkwork_checker::{Event, History, Op, Phase, View, Violation, What};
use clerkwork_core::{Clock as _, SystemClock};

use crate::Failure;

/// Who writes it all down.
#[derive(Debug)]
pub(crate) struct Recorder {
    book: Mutex<Book>,
    calls: AtomicU64,
    last_accepted: AtomicI64,
}

#[derive(Debug)]
struct Book {
    history: History,
    file: BufWriter<File>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    Job(View),
    NoJob,
    Refused(String),
    Unknown(String),
}

impl Recorder {
    pub(crate) fn create(file: &Path) -> io::Result<Self> {
        let book = Book {
            history: History::default(),
            file: BufWriter::new(File::create(file)?),
        };
        Ok(Self {
            book: Mutex::new(book),
            calls: AtomicU64::new(1),
            last_accepted: AtomicI64::new(0),
        })
    }

    /// Writes down what is seen now.
    pub(crate) fn push(&self, what: What) {
        let mut book = self.book();
        // The time is taken in turn, so that no later line has an earlier one.
        book.push(what.at(now()));
    }

    /// Writes down that a call begins, and gives it a number.
    pub(crate) fn call(&self, client: &str, node: &str, op: Op) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.push(What::Invoke {
            call,
            client: client.to_owned(),
            node: node.to_owned(),
            op,
        });
        call
    }

    /// Writes down what became of a call, and hands on the job that it showed.
    pub(crate) fn answer(&self, call: u64, answer: Answer) -> Option<View> {
        let (what, view) = match answer {
            Answer::Job(view) => {
                let shown = Some(view.clone());
                (What::Ok { call, view: shown }, Some(view))
            }
            Answer::NoJob => (What::Ok { call, view: None }, None),
            Answer::Refused(why) => (What::Fail { call, why }, None),
            Answer::Unknown(why) => (What::Info { call, why }, None),
        };
        self.push(what);
        view
    }

    pub(crate) fn fault(&self, fault: &str, phase: Phase) {
        let fault = fault.to_owned();
        self.push(What::Fault { fault, phase });
    }

    pub(crate) fn note_accepted(&self) {
        self.last_accepted.fetch_max(now(), Ordering::Relaxed);
    }

    /// When a submission was last accepted.
    pub(crate) fn last_accepted(&self) -> i64 {
        self.last_accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.book().history.accepted()
    }

    /// Some of the jobs that are known.
    pub(crate) fn some_jobs(&self, most: usize) -> Vec<String> {
        let book = self.book();
        let jobs = book.history.jobs().take(most);
        jobs.map(str::to_owned).collect()
    }

    /// The known jobs that were not shown as ended.
    pub(crate) fn open_jobs(&self, most: usize) -> Vec<String> {
        let book = self.book();
        let open = book.history.jobs();
        let open = open.filter(|job| !book.history.has_ended(job));
        open.take(most).map(str::to_owned).collect()
    }

    pub(crate) fn has_ended(&self, job: &str) -> bool {
        self.book().history.has_ended(job)
    }

    /// Takes in what workers wrote down. The last line of a worker that was killed may be half a line.
    pub(crate) fn take_in(&self, journal: &Path) -> io::Result<()> {
        let mut book = self.book();
        for line in BufReader::new(File::open(journal)?).lines() {
            if let Ok(event) = serde_json::from_str(&line?) {
                book.push(event);
            }
        }
        Ok(())
    }

    /// Does something with the whole history, once it is on disk.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&History) -> T) -> Result<T, Failure> {
        let mut book = self.book();
        book.file.flush()?;
        Ok(look(&book.history))
    }

    /// Writes down what a check of the history has found.
    pub(crate) fn keep(&self, violations: &[Violation]) -> io::Result<()> {
        let mut book = self.book();
        for Violation { rule, job, what } in violations {
            let found = What::Violation {
                rule: rule.to_string(),
                job: job.clone(),
                what: what.clone(),
            };
            writeln!(book.file, "{}", found.at(now()).to_line())?;
        }
        book.file.flush()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn push(&mut self, event: Event) {
        // A full disk shows when the file is flushed at the end.
        let _ = writeln!(self.file, "{}", event.to_line());
        self.history.push(event);
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemClock::default().now().0
}
