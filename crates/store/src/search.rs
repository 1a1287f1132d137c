//! The bounds of one page of a list, the same over both databases.
//!
//! No filter can scan a tenant's history in one request: rows are looked at in chunks, until the page is
//! full or enough was spent on it. A page ends at the last row looked at, so that each one moves on.

use std::collections::HashMap;
use std::time::Duration;

use clerkwork_core::{Job, JobId};
use sqlx_macros::FromRow;
use tokio::time::Instant;
use uuid::Uuid;

use crate::rows::job_id;
use crate::{Error, Filter, Kept, Listed};

/// The rows of the first chunk, where the page needs no more: most lists end with it.
const FIRST_CHUNK: u32 = 100;
/// The most rows of one chunk.
const CHUNK: u32 = 500;
/// The most rows that one page looks at.
const MOST_ROWS: u32 = 20_000;
/// The most bytes that are read for one page.
const MOST_BYTES: usize = 16 << 20;
/// The longest time that is spent on one page, beyond its last chunk.
const TIME: Duration = Duration::from_millis(200);

/// A row that was looked at.
#[derive(Clone, Copy, Debug, FromRow)]
pub(crate) struct LookedRow {
    pub(crate) id: Uuid,
    /// Whether the filter lets it through.
    pub(crate) fits: bool,
}

/// The work on one page.
#[derive(Debug)]
pub(crate) struct Search<'f> {
    filter: &'f Filter,
    jobs: Vec<Kept>,
    begun: Instant,
    rows: u32,
    bytes: usize,
    /// The last row that was looked at.
    last: Option<JobId>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    GoesOn,
    /// There is more than the page takes.
    Full,
    /// There is nothing more.
    Ended,
}

impl<'f> Search<'f> {
    pub(crate) fn new(filter: &'f Filter) -> Self {
        Self {
            filter,
            jobs: Vec::new(),
            begun: Instant::now(),
            rows: 0,
            bytes: 0,
            last: None,
            state: State::GoesOn,
        }
    }

    /// How many rows are to be looked at next.
    pub(crate) fn chunk(&self) -> u32 {
        match self.last {
            // One more than the page takes tells whether there is another page.
            None => self
                .filter
                .limit
                .saturating_add(1)
                .clamp(FIRST_CHUNK, CHUNK),
            Some(_) => CHUNK,
        }
    }

    /// The id before which they are.
    pub(crate) fn before(&self) -> Uuid {
        let before = self.last.or(self.filter.before);
        before.map_or(Uuid::max(), JobId::uuid)
    }

    /// Takes the rows that were looked at of a chunk of this size; returns which are to be read.
    pub(crate) fn looked(&mut self, chunk: u32, rows: &[LookedRow]) -> Result<Vec<Uuid>, Error> {
        let lacking = (self.filter.limit as usize).saturating_sub(self.jobs.len());
        let mut fits = Vec::new();
        for row in rows {
            if row.fits && fits.len() == lacking {
                self.state = State::Full;
                return Ok(fits);
            }
            self.last = Some(job_id("jobs", row.id)?);
            self.rows += 1;
            if row.fits {
                fits.push(row.id);
            }
        }
        if rows.len() < chunk as usize {
            self.state = State::Ended;
        }
        Ok(fits)
    }

    /// Takes jobs that were read, in the order of their ids. What has changed since it was looked at may not
    /// fit any more.
    pub(crate) fn found(&mut self, jobs: Vec<Kept>, ids: &[Uuid]) {
        let by_id = jobs.into_iter().map(|kept| (kept.job.id.uuid(), kept));
        let mut by_id: HashMap<Uuid, Kept> = by_id.collect();
        for id in ids {
            let found = by_id.remove(id);
            if let Some(kept) = found.filter(|kept| self.fits(&kept.job)) {
                self.bytes += size(&kept.job);
                self.jobs.push(kept);
            }
        }
    }

    /// Whether another chunk is to be looked at. Where somebody waits for the connection, there is none.
    pub(crate) fn goes_on(&self, is_wanted: bool) -> bool {
        self.state == State::GoesOn
            && !is_wanted
            && self.jobs.len() < self.filter.limit as usize
            && self.rows < MOST_ROWS
            && self.bytes < MOST_BYTES
            && self.begun.elapsed() < TIME
    }

    pub(crate) fn page(self) -> Listed {
        Listed {
            jobs: self.jobs,
            searched_to: self.last.filter(|_| self.state != State::Ended),
        }
    }

    fn fits(&self, job: &Job) -> bool {
        let Filter { queues, states, .. } = self.filter;
        (queues.is_empty() || queues.contains(&job.queue))
            && (states.is_empty() || states.contains(&job.standing.state))
    }
}

/// How much was read for a job, roughly: what others chose the size of.
fn size(job: &Job) -> usize {
    let failure = job.failure.as_ref().map_or(0, |failure| {
        let data = failure.data.as_ref().map_or(0, |data| data.get().len());
        failure.detail.as_ref().map_or(0, String::len) + data
    });
    failure + job.spec.webhook.as_ref().map_or(0, String::len) + size_of::<Job>()
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;

    use super::*;

    fn filter(limit: u32) -> Filter {
        Filter {
            limit,
            ..Filter::default()
        }
    }

    /// Rows from the newest on, of which these fit.
    fn rows(count: u32, fits: impl Fn(u32) -> bool) -> Vec<LookedRow> {
        let row = |at| LookedRow {
            id: JobId::at(UnixMs(1_000_000 - i64::from(at))).uuid(),
            fits: fits(at),
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn a_page_ends_before_the_first_job_that_it_does_not_take() {
        let filter = filter(2);
        let mut search = Search::new(&filter);
        assert_eq!(search.chunk(), FIRST_CHUNK);
        let rows = rows(10, |at| at % 3 == 0);
        let fits = search.looked(10, &rows).unwrap();
        assert_eq!(fits, [rows[0].id, rows[3].id]);
        assert!(!search.goes_on(false));
        let to = search.page().searched_to.unwrap();
        assert_eq!(to.uuid(), rows[5].id, "the sixth fits no more");
    }

    #[test]
    fn a_page_without_jobs_moves_on_until_enough_was_spent() {
        let filter = filter(1);
        let mut search = Search::new(&filter);
        // However slow this machine is.
        search.begun += Duration::from_secs(3_600);
        let rows = rows(CHUNK, |_| false);
        let mut chunks = 0;
        while search.goes_on(false) {
            assert!(search.looked(CHUNK, &rows).unwrap().is_empty());
            assert_eq!(search.before(), rows[CHUNK as usize - 1].id);
            chunks += 1;
        }
        assert_eq!(chunks * CHUNK, MOST_ROWS);
        let page = search.page();
        assert!(page.jobs.is_empty() && page.searched_to.is_some());

        let mut search = Search::new(&filter);
        search.begun += Duration::from_secs(3_600);
        search.looked(CHUNK, &rows).unwrap();
        assert!(search.goes_on(false));
        assert!(!search.goes_on(true), "somebody else waits");
        search.begun = Instant::now() - TIME;
        assert!(!search.goes_on(false));
        assert!(search.page().searched_to.is_some());
    }

    #[test]
    fn the_last_page_has_no_end_to_go_on_from() {
        let filter = filter(5);
        let mut search = Search::new(&filter);
        search.looked(10, &rows(9, |at| at < 5)).unwrap();
        assert!(!search.goes_on(false));
        assert_eq!(search.page().searched_to, None);
    }
}
