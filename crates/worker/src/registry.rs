//! Handlers by queue, each one boxed function: all generics end here.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::call::Call;
use crate::{Context, Handler, JobError, Output};

/// How long an attempt that was told to stop may take to do so before it is dropped.
const HANDLER_GRACE: Duration = Duration::from_secs(2);

/// Something that runs attempts: a typed handler, a command.
pub(crate) trait Run: Send + Sync + 'static {
    /// Runs one attempt, and cancels [`Call::started`] once it has begun.
    fn run(&self, call: Call) -> BoxFuture<'static, Result<Output, RunError>>;

    /// Whether an attempt has begun as soon as it runs, so that nothing need cancel [`Call::started`].
    fn begins_at_once(&self) -> bool {
        false
    }

    /// How long an attempt may take to end after it was told to stop.
    fn stop_grace(&self) -> Duration {
        HANDLER_GRACE
    }
}

/// The end of a run that gave no output.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The attempt did not begin, for a reason that is not the job's: in words.
    NotStarted(String),
    /// The attempt failed.
    Failed(JobError),
}

impl From<JobError> for RunError {
    fn from(error: JobError) -> Self {
        Self::Failed(error)
    }
}

/// One queue and what runs its jobs.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) queue: Arc<str>,
    pub(crate) concurrency: usize,
    pub(crate) run: Arc<dyn Run>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}*{})", self.queue, self.concurrency)
    }
}

/// Makes a handler and the state that it draws from into one that asks for neither.
pub(crate) fn erase<H, Args, S>(handler: H, state: S) -> Arc<dyn Run>
where
    H: Handler<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    Arc::new(Typed {
        handler: Arc::new(handler),
        state,
        args: PhantomData::<fn() -> Args>,
    })
}

struct Typed<H, Args, S> {
    handler: Arc<H>,
    state: S,
    args: PhantomData<fn() -> Args>,
}

impl<H, Args, S> Run for Typed<H, Args, S>
where
    H: Handler<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    fn run(&self, call: Call) -> BoxFuture<'static, Result<Output, RunError>> {
        let handler = Arc::clone(&self.handler);
        let context = Context {
            state: self.state.clone(),
            call,
        };
        Box::pin(async move { Ok(handler.call(context).await?) })
    }

    fn begins_at_once(&self) -> bool {
        true
    }
}
