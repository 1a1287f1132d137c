//! A client's connection that does not wait for ever: neither for a slow request head, nor for a
//! client that does not read its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long the head of a request may take from its first byte; the first of a connection from its
/// beginning.
const HEAD: Duration = Duration::from_secs(10);
/// The time in which a client reads at least so many bytes of an answer that is longer, from when it has
/// to be waited for.
const STALL: Duration = Duration::from_secs(30);
const LEAST: usize = 30 * 1024;
/// The longest silence of a client whose body was not read, and the longest that it may go on sending,
/// before its connection is closed: closing while it sends would take its answer away.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MOST: Duration = Duration::from_secs(30);

/// What a connection is about, told by whoever serves its requests.
#[derive(Clone, Debug)]
pub(crate) struct Phase(Arc<AtomicU8>);

/// Nothing came yet.
const FRESH: u8 = 0;
/// The head of a request is on its way.
const IN_HEAD: u8 = 1;
/// A request is being answered.
const BUSY: u8 = 2;
/// The last request was answered.
const IDLE: u8 = 3;
/// The last request was answered while its body was on its way.
const UNREAD: u8 = 4;

impl Phase {
    /// A request is being answered.
    pub(crate) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The request is answered, perhaps before all of it was read.
    pub(crate) fn answered(&self, unread: bool) {
        let phase = if unread { UNREAD } else { IDLE };
        self.0.store(phase, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    phase: Phase,
    reading: Limit,
    writing: Limit,
    /// The bytes that were written since that limit came on.
    written: usize,
    closing: Limit,
    closing_since: Option<Instant>,
}

impl<S> Socket<S> {
    /// Watches over this stream.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            phase: Phase(Arc::new(AtomicU8::new(FRESH))),
            reading: Limit::default(),
            writing: Limit::default(),
            written: 0,
            closing: Limit::default(),
            closing_since: None,
        }
    }

    /// Fails a write that waits for a client that reads too slowly.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.written += written.as_ref().copied().unwrap_or(0);
            return Poll::Ready(written);
        }
        if self.writing.is_off() {
            self.written = 0;
        }
        while self.writing.poll_over(cx, STALL).is_ready() {
            if std::mem::take(&mut self.written) < LEAST {
                let error = too_slow("the client does not read its answer, or too slowly");
                return Poll::Ready(Err(error));
            }
            self.writing.restart(STALL);
        }
        Poll::Pending
    }

    /// Where to tell what the connection is about.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let phase = self.phase.get();
        if phase == BUSY {
            self.reading.lift();
            return read;
        }
        if read.is_ready() {
            if phase != IN_HEAD && buf.filled().len() > before {
                self.phase.0.store(IN_HEAD, Ordering::Relaxed);
                if phase != FRESH {
                    self.reading.restart(HEAD);
                }
            }
            return read;
        }
        if matches!(phase, FRESH | IN_HEAD) {
            ready!(self.reading.poll_over(cx, HEAD));
            return Poll::Ready(Err(too_slow("the head of a request took too long")));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // All that there was is written.
        self.writing.lift();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        // A head that cannot be read is refused too, by what reads heads.
        if !matches!(self.phase.get(), UNREAD | IN_HEAD) {
            return Poll::Ready(Ok(()));
        }
        let began = *self.closing_since.get_or_insert_with(Instant::now);
        let mut scrap = [0; 8 * 1024];
        while began.elapsed() < LINGER_MOST && self.closing.poll_over(cx, LINGER).is_pending() {
            let mut buf = ReadBuf::new(&mut scrap);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            self.closing.restart(LINGER);
        }
        Poll::Ready(Ok(()))
    }
}

/// A time limit that costs nothing while it is not on.
#[derive(Debug, Default)]
struct Limit(Option<Pin<Box<Sleep>>>);

impl Limit {
    fn is_off(&self) -> bool {
        self.0.is_none()
    }

    fn lift(&mut self) {
        self.0 = None;
    }

    fn restart(&mut self, span: Duration) {
        let end = Instant::now() + span;
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(end),
            None => self.0 = Some(Box::pin(tokio::time::sleep_until(end))),
        }
    }

    /// Ready when `span` has passed since the limit came on; puts it on.
    fn poll_over(&mut self, cx: &mut Context<'_>, span: Duration) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(span)));
        sleep.as_mut().poll(cx)
    }
}

fn too_slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A socket and the client at its other end.
    fn pair() -> (Socket<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(64);
        (Socket::new(server), client)
    }

    async fn read(socket: &mut Socket<DuplexStream>) -> io::Result<usize> {
        socket.read(&mut [0; 8]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_off_ten_seconds_after_its_beginning() {
        let (mut socket, mut client) = pair();
        let began = Instant::now();
        let drip = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let error = loop {
            if let Err(error) = read(&mut socket).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 10);
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_a_head_begins_anew_with_each_request_and_never_while_one_is_answered() {
        let (mut socket, mut client) = pair();
        let phase = socket.phase();
        client.write_all(b"x").await.unwrap();
        assert_eq!(read(&mut socket).await.unwrap(), 1);
        phase.busy();
        let held = tokio::time::timeout(Duration::from_secs(600), read(&mut socket));
        assert!(held.await.is_err());
        phase.answered(false);
        let idle = tokio::time::timeout(Duration::from_secs(60), read(&mut socket));
        assert!(idle.await.is_err());
        client.write_all(b"x").await.unwrap();
        assert_eq!(read(&mut socket).await.unwrap(), 1);
        let began = Instant::now();
        assert!(read(&mut socket).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut socket, _client) = pair();
        let began = Instant::now();
        let error = socket.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_too_slowly_is_given_up_and_a_steady_one_is_not() {
        for (bytes_a_second, is_given_up) in [(500, true), (2_000, false)] {
            let (mut socket, mut client) = pair();
            let reads = tokio::spawn(async move {
                let mut bytes = vec![0; bytes_a_second];
                while client.read_exact(&mut bytes).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let written = socket.write_all(&vec![0; 200_000]).await;
            assert_eq!(
                written.is_err(),
                is_given_up,
                "{bytes_a_second}: {written:?}"
            );
            reads.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_refused_client_is_listened_to_while_closing_and_not_for_long() {
        let (mut socket, _client) = pair();
        let began = Instant::now();
        socket.phase().answered(false);
        socket.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        socket.phase().answered(true);
        socket.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), LINGER);
    }
}
