//! A connection whose half-close can be seen while its request is being answered.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A client's connection.
#[derive(Debug)]
pub(crate) struct SharedStream {
    read: Arc<Mutex<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

/// The end of what a client sends, as its request's handler sees it: the client has said that it sends
/// no more, or has gone; which of the two shows only when something is written. Cheap to clone.
///
/// It may only be waited for in the task that serves the connection, which it shares the wake-up with.
#[derive(Clone, Debug, Default)]
pub(crate) struct HalfClose(Option<Arc<Mutex<OwnedReadHalf>>>);

impl SharedStream {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self {
            read: Arc::new(Mutex::new(read)),
            write,
        }
    }

    pub(crate) fn half_close(&self) -> HalfClose {
        HalfClose(Some(self.read.clone()))
    }
}

impl HalfClose {
    /// Waits until the client sends no more. Never ends where it has sent another request already. Cancel
    /// safe.
    pub(crate) async fn seen(&self) {
        let Some(read) = &self.0 else {
            return pending().await;
        };
        let peeked = poll_fn(|cx| {
            let mut byte = [0];
            lock(read).poll_peek(cx, &mut ReadBuf::new(&mut byte))
        });
        if peeked.await.is_ok_and(|count| count > 0) {
            pending::<()>().await;
        }
    }
}

impl<S: Sync> FromRequestParts<S> for HalfClose {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Locks the reading half, which is whole at every point: a panic of another holder does not matter.
fn lock(read: &Mutex<OwnedReadHalf>) -> MutexGuard<'_, OwnedReadHalf> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for SharedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.read)).poll_read(cx, buf)
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}
