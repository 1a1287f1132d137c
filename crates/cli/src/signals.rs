//! SIGTERM and SIGINT: the first asks to drain, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// The signals that ask a process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal; the exit code is that of a process that it ended at once.
    pub(crate) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.interrupt.recv() => Exit::Interrupted,
        }
    }

    /// Runs `serving` until it is done; a first signal cancels `stop`, a second drops `serving`.
    pub(crate) async fn over<T>(
        mut self,
        stop: &CancellationToken,
        serving: impl Future<Output = T>,
    ) -> Result<T, Exit> {
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            done = &mut serving => return Ok(done),
            _ = self.next() => {}
        }
        tracing::info!("draining; a second signal ends at once");
        stop.cancel();
        tokio::select! {
            done = &mut serving => Ok(done),
            exit = self.next() => Err(exit),
        }
    }
}

/// The process was told a second time to end; it should, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted while draining")]
pub struct Interrupted;

/// Runs `serving` with a token that the first SIGTERM or SIGINT cancels; a second one drops it.
///
/// # Errors
/// [`Interrupted`] after the second signal; an error of the system if signals cannot be had.
pub async fn until_signal<F: Future>(
    serving: impl FnOnce(CancellationToken) -> F,
) -> std::io::Result<F::Output> {
    let stop = CancellationToken::new();
    let ended = Signals::new()?.over(&stop, serving(stop.clone())).await;
    ended.map_err(|_| std::io::Error::new(std::io::ErrorKind::Interrupted, Interrupted))
}
