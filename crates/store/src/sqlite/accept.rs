//! New jobs.

use std::collections::HashSet;

use clerkwork_core::{ClerkId, JobId};
use clerkwork_faults::{Point, reach};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::hand::{Inner, Unshared};
use super::write::{INPUT, insert_bytes};
use super::{failed, keys};
use crate::cells::{self, beside, inline};
use crate::rows::{int, long};
use crate::{Accepted, Error, NewJob};

/// The columns of a new job, and where their values come from.
macro_rules! new_jobs {
    ($insert:literal) => {
        concat!(
            $insert,
            " into jobs (id, tenant, queue, state, rev, attempt, timeout_s, start_within_s,
                max_attempts, retry_delay_s, webhook, tags, trace_parent, trace_state, input_type,
                input_size, created_at, due_at, wake_at, clerk, number, retry_of, input)
            select * from"
        )
    };
}

/// All of them, or none if one is there already. Since that ends the transaction, SQLite need not keep
/// a journal for the statement alone.
static INSERT: Batch = Batch::new(
    new_jobs!("insert or rollback"),
    23,
    "where column1 is not null",
);

/// Those that are not there yet.
static INSERT_NEW: Batch = Batch::new(
    new_jobs!("insert"),
    23,
    "where column1 is not null on conflict (id) do nothing returning id",
);

static INSERT_TAGS: Batch = Batch::new(
    "insert into tags (tenant, tag, job_id) select * from",
    3,
    "where column1 is not null on conflict do nothing",
);

/// Stores new jobs for a clerk that is not fenced; what became of each. Jobs whose data the database refuses are taken
/// out, and the others stored.
pub(super) async fn accept(
    inner: &Inner,
    clerk: ClerkId,
    jobs: &[NewJob],
) -> Result<Vec<Accepted>, Error> {
    let mut unfit = cells::unfit(jobs);
    match accept_fit(inner, clerk, jobs, &unfit).await {
        Err(Error::Refused(error)) => {
            tracing::warn!(error, "jobs that cannot be stored are taken out of a batch");
            sift(inner, jobs, &mut unfit).await?;
            cells::spread_unfit(jobs, &mut unfit);
            accept_fit(inner, clerk, jobs, &unfit).await
        }
        answers => answers,
    }
}

/// Marks the jobs whose data the database refuses, each tried in a transaction that leaves nothing.
async fn sift(inner: &Inner, jobs: &[NewJob], unfit: &mut [bool]) -> Result<(), Error> {
    for (new, unfit) in jobs.iter().zip(unfit) {
        if *unfit {
            continue;
        }
        let (job, mut answers) = (std::slice::from_ref(new), [None]);
        // Dropped without a commit, which takes it back.
        let mut writing = inner.begin().await?;
        let tried = match insert(&mut writing, job, &mut answers).await {
            Ok(()) => insert_beside(&mut writing, job, &answers).await,
            refused => refused,
        };
        match tried {
            Err(Error::Refused(_)) => *unfit = true,
            tried => tried?,
        }
    }
    Ok(())
}

/// Stores those that are not unfit.
async fn accept_fit(
    inner: &Inner,
    clerk: ClerkId,
    jobs: &[NewJob],
    unfit: &[bool],
) -> Result<Vec<Accepted>, Error> {
    let mut answers: Vec<Option<Accepted>> = unfit
        .iter()
        .map(|unfit| unfit.then_some(Accepted::Unfit))
        .collect();
    let plain = jobs.len() <= MOST && jobs.iter().all(is_plain);
    if !plain || !accept_plain(inner, clerk, jobs, &answers).await? {
        let mut writing = inner.begin().await?;
        inner.unfenced(clerk)?;
        claim(&mut writing, jobs, &mut answers).await?;
        insert(&mut writing, jobs, &mut answers).await?;
        insert_beside(&mut writing, jobs, &answers).await?;
        reach(Point::IntakeBeforeCommit);
        writing.commit().await?;
    }
    Ok(answers
        .into_iter()
        .map(|answer| answer.unwrap_or(Accepted::New))
        .collect())
}

/// Stores the jobs that have no answer yet, each of which is its row and nothing else; `false` if one
/// of them is there already.
async fn accept_plain(
    inner: &Inner,
    clerk: ClerkId,
    jobs: &[NewJob],
    answers: &[Option<Accepted>],
) -> Result<bool, Error> {
    let (mut cells, mut count) = (Cells::default(), 0);
    for (new, answer) in jobs.iter().zip(answers) {
        if answer.is_none() {
            put(&mut cells, new)?;
            count += 1;
        }
    }
    if count == 0 {
        return Ok(true);
    }
    let mut sharing = inner.share().await;
    inner.unfenced(clerk)?;
    match sharing.run::<(i64,)>(&INSERT, count, cells).await {
        Ok(_) => {
            reach(Point::IntakeBeforeCommit);
            sharing.commit().await.map(|()| true)
        }
        Err(Unshared::Taken) => Ok(false),
        Err(Unshared::Failed(error)) => Err(error),
    }
}

/// Whether a job is its row and nothing else.
fn is_plain(new: &NewJob) -> bool {
    new.key.is_none()
        && new.job.retry_of.is_none()
        && new.job.spec.tags.is_empty()
        && beside(&new.input).is_none()
}

/// Answers the jobs whose key or original belongs to another.
async fn claim(
    conn: &mut SqliteConnection,
    jobs: &[NewJob],
    answers: &mut [Option<Accepted>],
) -> Result<(), Error> {
    for (new, answer) in jobs.iter().zip(&mut *answers) {
        if let (None, Some(original)) = (&answer, new.job.retry_of) {
            *answer = retry(conn, new, original).await?;
        }
    }
    let keyed = crate::keys::unclaimed(jobs, answers);
    let claiming: Vec<&NewJob> = keyed.iter().map(|at| &jobs[*at]).collect();
    if !claiming.is_empty() {
        for (at, answer) in keyed.into_iter().zip(keys::claim(conn, &claiming).await?) {
            answers[at] = answer;
        }
    }
    Ok(())
}

/// Makes `new` the retry of `original`; an answer if that is not to be.
async fn retry(
    conn: &mut SqliteConnection,
    new: &NewJob,
    original: JobId,
) -> Result<Option<Accepted>, Error> {
    let text = "select state, retried_as from jobs
                where id = ? and tenant = ? and deleted_at is null";
    let found: Option<(i16, Option<Uuid>)> = sqlx::query_as(text)
        .bind(original.uuid())
        .bind(new.job.tenant.to_string())
        .fetch_optional(&mut *conn)
        .await
        .map_err(failed)?;
    if let Some(answer) = crate::keys::judge_original(found, new.job.id)? {
        return Ok(Some(answer));
    }
    if new.key.is_some()
        && let Some(answer) = keys::claim(conn, &[new])
            .await?
            .into_iter()
            .next()
            .flatten()
    {
        return Ok(Some(answer));
    }
    sqlx::query("update jobs set retried_as = ? where id = ?")
        .bind(new.job.id.uuid())
        .bind(original.uuid())
        .execute(conn)
        .await
        .map_err(failed)?;
    Ok(None)
}

/// Stores the jobs that have no answer yet, and gives them one.
async fn insert(
    conn: &mut SqliteConnection,
    jobs: &[NewJob],
    answers: &mut [Option<Accepted>],
) -> Result<(), Error> {
    let open: Vec<usize> = (0..jobs.len())
        .filter(|at| answers[*at].is_none())
        .collect();
    for chunk in open.chunks(MOST) {
        let mut cells = Cells::default();
        for at in chunk {
            put(&mut cells, &jobs[*at])?;
        }
        let rows: Vec<(Uuid,)> = INSERT_NEW.run(conn, chunk.len(), cells).await?;
        let mut stored: HashSet<Uuid> = rows.into_iter().map(|(id,)| id).collect();
        for at in chunk {
            let new = stored.remove(&jobs[*at].job.id.uuid());
            answers[*at] = Some(if new {
                Accepted::New
            } else {
                Accepted::Already
            });
        }
    }
    Ok(())
}

fn put(cells: &mut Cells, new: &NewJob) -> Result<(), Error> {
    let (job, spec, standing) = (&new.job, &new.job.spec, &new.job.standing);
    let trace = spec.trace.as_ref();
    cells.put(job.id.uuid())?;
    cells.put(job.tenant.clone())?;
    cells.put(job.queue.as_str())?;
    cells.put(standing.state.number())?;
    cells.put(int(standing.rev))?;
    cells.put(int(standing.attempt))?;
    cells.put(int(spec.timeout_s))?;
    cells.put(spec.start_within_s.map(int))?;
    cells.put(int(spec.max_attempts))?;
    cells.put(int(spec.retry_delay_s))?;
    cells.put(spec.webhook.as_deref())?;
    cells.put(cells::tags(spec))?;
    cells.put(trace.map(|trace| trace.parent.as_str()))?;
    cells.put(trace.and_then(|trace| trace.state.as_deref()))?;
    cells.put(job.input.media_type.as_str())?;
    cells.put(long(job.input.size))?;
    cells.put(job.created_at.0)?;
    cells.put(standing.due_at.0)?;
    cells.put(standing.wake_at.map(|at| at.0))?;
    cells.put(standing.dispatch.map(|dispatch| dispatch.clerk.0))?;
    cells.put(standing.dispatch.map(|dispatch| dispatch.number))?;
    cells.put(job.retry_of.map(JobId::uuid))?;
    cells.put(inline(&new.input))
}

/// Stores the tags and large inputs of the new ones.
async fn insert_beside(
    conn: &mut SqliteConnection,
    jobs: &[NewJob],
    answers: &[Option<Accepted>],
) -> Result<(), Error> {
    let stored = jobs
        .iter()
        .zip(answers)
        .filter(|(_, answer)| **answer == Some(Accepted::New));
    let mut tags = Vec::new();
    for (new, _) in stored {
        tags.extend(new.job.spec.tags.iter().map(|tag| (new, tag)));
        if let Some(bytes) = beside(&new.input) {
            insert_bytes(conn, new.job.id.uuid(), INPUT, bytes).await?;
        }
    }
    for chunk in tags.chunks(MOST) {
        let mut cells = Cells::default();
        for (new, tag) in chunk {
            cells.put(new.job.tenant.clone())?;
            cells.put(tag.as_str())?;
            cells.put(new.job.id.uuid())?;
        }
        INSERT_TAGS.run::<(i64,)>(conn, chunk.len(), cells).await?;
    }
    Ok(())
}
