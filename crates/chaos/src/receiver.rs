//! The receiver of webhooks: it writes down what it is told.

use std::io;
use std::sync::Arc;

use clerkwork_checker::What;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::load::view;
use crate::recorder::Recorder;

/// More than any delivery of these jobs has.
const MOST: usize = 256 * 1024;

/// A receiver, gone when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn open(recorder: Arc<Recorder>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let serving = tokio::spawn(serve(listener, recorder));
        Ok(Self { url, serving })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, recorder: Arc<Recorder>) {
    let mut clients = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while clients.try_join_next().is_some() {}
        clients.spawn(take(client, Arc::clone(&recorder)));
    }
}

/// Takes deliveries from one connection until it ends.
async fn take(mut client: TcpStream, recorder: Arc<Recorder>) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            if bytes.len() > MOST || client.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let words = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let header = |name: &str| {
            let line = words.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim)
        };
        let length = header("content-length:").and_then(|length| length.parse().ok());
        let length: usize = length.unwrap_or_default();
        while bytes.len() < head + length && bytes.len() <= MOST {
            if client.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let delivery = header("webhook-id:").unwrap_or_default().to_owned();
        let body = bytes.get(head..head + length).unwrap_or_default();
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(view) = view(&told["data"], None) {
            recorder.push(What::Webhook { delivery, view });
        }
        client.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        bytes.drain(..(head + length).min(bytes.len()));
    }
}
