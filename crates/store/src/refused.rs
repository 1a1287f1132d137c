//! Batches of which the database refuses a part for its data: halved until what is refused stands alone, so that it
//! holds up no neighbour. Where the store fails on the way, what was stored by then is answered all the same: given
//! again, it would look as if somebody else had stored it.

use clerkwork_core::{Change, UnixMs};

use crate::{Applied, Error, Recorder, Store, Succeeded, Success, WorkerRow};

/// Stores successes as [`Recorder::succeed`] does; one whose data the database refuses is answered
/// [`Succeeded::Unfit`], and the others are stored. Where the store fails after some of them are judged, the others are
/// [`Succeeded::Unanswered`].
///
/// # Errors
/// Those of the recorder, but never [`Error::Refused`]; none of them is judged.
pub async fn succeed_each(
    recorder: &mut dyn Recorder,
    successes: &[Success],
    now: UnixMs,
) -> Result<Vec<Succeeded>, Error> {
    let mut answers = Vec::with_capacity(successes.len());
    let mut parts = vec![successes];
    while let Some(part) = parts.pop() {
        match recorder.succeed(part, now).await {
            Ok(kept) => answers.extend(kept),
            Err(Error::Refused(_)) if part.len() > 1 => parts.extend(halves(part)),
            Err(Error::Refused(why)) => {
                log(part.first().map(|one| one.job), &why);
                answers.extend(part.iter().map(|_| Succeeded::Unfit));
            }
            Err(error) if answers.is_empty() => return Err(error),
            Err(error) => {
                log_rest(successes.len() - answers.len(), &error);
                answers.resize(successes.len(), Succeeded::Unanswered);
                break;
            }
        }
    }
    Ok(answers)
}

/// Stores changes as [`Recorder::apply`] does, each job's on its own where the database refuses the data of one. Where
/// the store fails after some of them are judged, the others are [`Applied::Unanswered`].
///
/// # Errors
/// Those of the recorder, but never [`Error::Refused`]; none of them is judged.
pub async fn apply_each(
    recorder: &mut dyn Recorder,
    changes: &[Change],
) -> Result<Vec<Applied>, Error> {
    let mut answers = Vec::with_capacity(changes.len());
    let mut parts = vec![changes];
    while let Some(part) = parts.pop() {
        match recorder.apply(part).await {
            Ok(done) => answers.extend(done.into_iter().map(Applied::of)),
            Err(Error::Refused(_)) if part.len() > 1 => parts.extend(halves(part)),
            Err(Error::Refused(why)) => {
                log(part.first().map(|change| change.id), &why);
                answers.extend(part.iter().map(|_| Applied::Refused));
            }
            Err(error) if answers.is_empty() => return Err(error),
            Err(error) => {
                log_rest(changes.len() - answers.len(), &error);
                answers.resize(changes.len(), Applied::Unanswered);
                break;
            }
        }
    }
    Ok(answers)
}

/// Keeps the rows of workers as [`Store::keep_workers`] does; one whose data the database refuses is left out.
///
/// # Errors
/// Those of the store, but never [`Error::Refused`].
pub async fn keep_each_worker(store: &dyn Store, workers: &[WorkerRow]) -> Result<(), Error> {
    let mut parts = vec![workers];
    while let Some(part) = parts.pop() {
        match store.keep_workers(part).await {
            Err(Error::Refused(_)) if part.len() > 1 => parts.extend(halves(part)),
            Err(Error::Refused(why)) => {
                let worker = part.first().map(|row| row.id.as_str());
                tracing::error!(worker, error = why, "the store refuses the row of a worker");
            }
            kept => kept?,
        }
    }
    Ok(())
}

/// The halves of a batch, the first one last: the next to be taken off a stack.
fn halves<T>(part: &[T]) -> [&[T]; 2] {
    let (first, second) = part.split_at(part.len() / 2);
    [second, first]
}

fn log(job: Option<clerkwork_core::JobId>, why: &str) {
    let job = job.map(tracing::field::display);
    tracing::error!(job, error = why, "the store refuses the data of a reply");
}

fn log_rest(left: usize, error: &Error) {
    tracing::warn!(left, %error, "the store failed after a part of a batch; the others are recorded again");
}

#[cfg(test)]
mod tests;
