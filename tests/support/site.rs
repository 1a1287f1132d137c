//! A web site of somebody else: another origin than any clerk's.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::programs::repository;

/// A site that serves the pages in `docs/examples`, gone when dropped.
#[derive(Debug)]
pub struct Site {
    origin: String,
    serving: JoinHandle<()>,
}

impl Site {
    /// Opens a site on a free port.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client));
            }
        });
        Self {
            origin: format!("http://{address}"),
            serving,
        }
    }

    /// As a browser writes it in `Origin`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request; a browser that goes away is not missed.
async fn serve(mut client: TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let name = target.split('?').next().unwrap_or_default();
    let file = repository()
        .join("docs/examples")
        .join(name.trim_start_matches('/'));
    let page = std::fs::read(file).unwrap_or_default();
    let status = if page.is_empty() { 404 } else { 200 };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    let _ = client.write_all(&[head.as_bytes(), &page].concat()).await;
}
