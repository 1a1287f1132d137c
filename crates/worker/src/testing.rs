//! Running one handler without a broker, in tests.
//!
//! ```
//! use clerkwork_worker::{Attempt, JobError, Progress, testing};
//!
//! async fn greet(name: String, Attempt(n): Attempt, progress: Progress) -> Result<String, JobError> {
//!     progress.progress(0.5, "thinking");
//!     Ok(format!("hello {name}, {n}"))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let tested = testing::run(greet, "you").attempt(2).await;
//! assert_eq!(tested.output::<String>(), "hello you, 2");
//! assert_eq!(tested.progress[0].message.as_deref(), Some("thinking"));
//! # });
//! ```

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Chunk, Clock as _, JobId, LogLine, SystemClock};
use clerkwork_wire::v1::{EventKind, WorkerEvent};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::teller::{Outbox, Teller};
use crate::{Context, Handler, Input, IntoInput, JobError, Level, Output};

/// Prepares one run of a handler; await it.
pub fn run<H, Args>(handler: H, input: impl IntoInput) -> Trial<H, Args, ()> {
    Trial {
        handler,
        input: input.into_input(),
        state: (),
        attempt: 1,
        timeout: Duration::from_secs(600),
        stop: CancellationToken::new(),
        args: PhantomData,
    }
}

/// One run of a handler that is being prepared.
#[derive(Debug)]
#[must_use = "await it to run the handler"]
pub struct Trial<H, Args, S> {
    handler: H,
    input: Result<Input, JobError>,
    state: S,
    attempt: u32,
    timeout: Duration,
    stop: CancellationToken,
    args: PhantomData<fn() -> Args>,
}

/// What a run of a handler came to.
#[derive(Debug)]
pub struct Tested {
    /// What the handler returned.
    pub outcome: Result<Output, JobError>,
    /// All progress that clients would have seen.
    pub progress: Vec<clerkwork_core::Progress>,
    /// All log lines.
    pub logs: Vec<(Level, String)>,
    /// All chunks, as JSON.
    pub chunks: Vec<String>,
}

impl<H, Args, S> Trial<H, Args, S> {
    /// Gives the handler a state.
    pub fn state<T>(self, state: T) -> Trial<H, Args, T> {
        Trial {
            handler: self.handler,
            input: self.input,
            state,
            attempt: self.attempt,
            timeout: self.timeout,
            stop: self.stop,
            args: PhantomData,
        }
    }

    /// Sets the number of the attempt; 1 if unset.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets how long the handler is told that it may run; nothing ends it then.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Cancels the attempt when `stop` is cancelled.
    pub fn cancelled_by(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }
}

impl<H, Args, S> IntoFuture for Trial<H, Args, S>
where
    H: Handler<Args, S>,
    Args: 'static,
    S: Send + Sync + 'static,
{
    type Output = Tested;
    type IntoFuture = BoxFuture<'static, Tested>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let outbox = Arc::new(Outbox::default());
            let outcome = match self.input {
                Ok(input) => {
                    let clock = Arc::new(SystemClock::new());
                    let now = clock.now();
                    let correlation = "testing".into();
                    let outbox = Arc::clone(&outbox);
                    let teller = Arc::new(Teller::new(correlation, outbox, clock, false));
                    let call = Call {
                        job: JobId::at(now),
                        attempt: self.attempt,
                        queue: "testing".into(),
                        input,
                        max_output: usize::MAX,
                        deadline: now.after(self.timeout),
                        timeout: self.timeout,
                        trace: None,
                        stop: self.stop,
                        started: CancellationToken::new(),
                        teller: Arc::clone(&teller),
                    };
                    let outcome = self
                        .handler
                        .call(Context {
                            state: self.state,
                            call,
                        })
                        .await;
                    teller.tell_last();
                    outcome
                }
                Err(error) => Err(error),
            };
            Tested::new(outcome, &outbox.take())
        })
    }
}

impl Tested {
    /// The output as the type that it was made of.
    ///
    /// # Panics
    /// The handler failed, or the output is no JSON of this form.
    #[must_use]
    pub fn output<T: DeserializeOwned>(&self) -> T {
        match &self.outcome {
            Ok(output) => match serde_json::from_slice(&output.bytes) {
                Ok(value) => value,
                Err(error) => panic!("the output is something else: {error}"),
            },
            Err(error) => panic!("the handler failed: {error}"),
        }
    }

    /// The error with which the handler failed.
    ///
    /// # Panics
    /// It succeeded.
    #[must_use]
    pub fn error(&self) -> &JobError {
        match &self.outcome {
            Ok(output) => panic!("the handler succeeded with {} bytes", output.bytes.len()),
            Err(error) => error,
        }
    }

    fn new(outcome: Result<Output, JobError>, events: &[WorkerEvent]) -> Self {
        let mut tested = Self {
            outcome,
            progress: Vec::new(),
            logs: Vec::new(),
            chunks: Vec::new(),
        };
        for event in events {
            let json = event.data.get();
            match event.event {
                EventKind::Progress => tested.progress.extend(serde_json::from_str(json)),
                EventKind::Log => {
                    let line = serde_json::from_str(json);
                    tested
                        .logs
                        .extend(line.map(|line: LogLine| (line.level, line.message)));
                }
                EventKind::Chunk => {
                    let chunk = serde_json::from_str(json);
                    tested
                        .chunks
                        .extend(chunk.map(|chunk: Chunk| chunk.data.get().to_owned()));
                }
                EventKind::Other => {}
            }
        }
        tested
    }
}
