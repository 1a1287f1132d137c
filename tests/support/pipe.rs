//! Many submissions in a hurry: HTTP/1.1 requests sent without waiting for the answers in between.

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections that submit and count what is accepted.
#[derive(Debug)]
pub struct Pipe;

/// How many connections there are: a clerk commits what they have sent together.
const CONNECTIONS: usize = 128;

const ACCEPTED: &[u8] = b"HTTP/1.1 202 ";

impl Pipe {
    /// Submits the same body so many times, and returns how many were accepted.
    ///
    /// # Panics
    /// When the clerk hangs up.
    pub async fn submit(base: &str, body: &str, jobs: usize) -> usize {
        let host = base.trim_start_matches("http://");
        let request = format!(
            "POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let connections = (0..CONNECTIONS).map(|number| {
            let share = jobs / CONNECTIONS + usize::from(number < jobs % CONNECTIONS);
            connection(host, &request, share)
        });
        join_all(connections).await.into_iter().sum()
    }
}

async fn connection(host: &str, request: &str, jobs: usize) -> usize {
    let stream = TcpStream::connect(host).await;
    let (mut read, mut write) = stream.expect("the clerk listens").into_split();
    let requests = async {
        for _ in 0..jobs {
            let sent = write.write_all(request.as_bytes()).await;
            sent.expect("the clerk reads on");
        }
        write
    };
    let answers = async {
        let (mut seen, mut kept) = (0, Vec::new());
        while seen < jobs {
            let mut bytes = [0; 16 * 1024];
            let count = read.read(&mut bytes).await.expect("the clerk answers");
            assert!(
                count > 0,
                "the clerk hung up after {seen} answers of {jobs}"
            );
            kept.extend_from_slice(&bytes[..count]);
            seen += taken(&mut kept);
        }
        seen
    };
    let (_write, seen) = tokio::join!(requests, answers);
    seen
}

/// Counts the status lines and keeps what may be the beginning of one.
fn taken(kept: &mut Vec<u8>) -> usize {
    let count = kept
        .windows(ACCEPTED.len())
        .filter(|window| *window == ACCEPTED)
        .count();
    let refused = kept
        .windows(9)
        .filter(|window| *window == b"HTTP/1.1 ")
        .count();
    assert!(
        refused <= count + 1,
        "refused: {}",
        String::from_utf8_lossy(kept)
    );
    let tail = kept.len().saturating_sub(ACCEPTED.len() - 1);
    kept.drain(..tail);
    count
}
