//! Clients of a WebSocket: one that keeps the rules, and one that writes its frames byte by byte.

use std::time::Duration;

use clerkwork_clerk::Config;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::served::Served;
use crate::support::LIMIT;

/// A clerk that looks often whether those may stay who are there. A client that is busy may say nothing for three beats.
pub(crate) fn often(config: &mut Config) {
    config.beat = Duration::from_secs(2);
    config.key_round = Duration::from_millis(50);
}

/// A client of a WebSocket.
pub(crate) struct Client(pub(crate) WebSocketStream<TcpStream>);

impl Served {
    pub(crate) async fn client(&self) -> Client {
        self.upgrade(&[]).await.unwrap().0
    }

    pub(crate) async fn upgrade(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<(Client, Response<Option<Vec<u8>>>), Error> {
        let mut request = format!("ws://{}/v1/ws", self.address)
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = self.connect().await;
        let opened = timeout(LIMIT, client_async(request, stream)).await.unwrap();
        opened.map(|(socket, response)| (Client(socket), response))
    }

    /// The status with which a connection is refused.
    pub(crate) async fn refused(&self, headers: &[(&'static str, &str)]) -> u16 {
        match self.upgrade(headers).await {
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was opened"),
        }
    }
}

impl Client {
    pub(crate) async fn say(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    pub(crate) async fn subscribe(&mut self, job: &str) {
        self.say(json!({"type": "subscribe", "job": job})).await;
    }

    pub(crate) async fn next(&mut self) -> Message {
        timeout(LIMIT, self.0.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn told(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next().await {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// The code of the close that comes next of all that is no ping.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Message::Close(frame) => return frame.unwrap().code.into(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The first byte of a frame: whether it is the last of its message, and what it is.
pub(crate) const FINAL: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The beginning of a client's frame that says that it is this long. The mask is zero, so that what
/// follows is what it is.
pub(crate) fn head(first: u8, length: u64) -> Vec<u8> {
    const MASKED: u8 = 0x80;
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => head.push(MASKED | short),
        (_, Ok(medium)) => {
            head.push(MASKED | 126);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(MASKED | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// A client's frame.
pub(crate) fn frame(first: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = head(first, data.len() as u64);
    frame.extend(data);
    frame
}

/// A client that writes what it likes, and answers nothing by itself.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Sends these bytes. Who is refused may be cut off in the middle.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = timeout(LIMIT, self.0.write_all(bytes)).await;
        let _ = sent.expect("it is read or refused");
    }

    /// The next frame of the server: its first byte without [`FINAL`], and its data.
    pub(crate) async fn read(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).await.unwrap();
            let mut data = match head[1] {
                126 => vec![0; self.0.read_u16().await.unwrap().into()],
                127 => vec![0; usize::try_from(self.0.read_u64().await.unwrap()).unwrap()],
                short => vec![0; short.into()],
            };
            self.0.read_exact(&mut data).await.unwrap();
            (head[0] & !FINAL, data)
        };
        timeout(LIMIT, read).await.expect("a frame in time")
    }

    /// The code of the close that comes, whatever comes before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            let (kind, data) = self.read().await;
            if kind == CLOSE {
                return u16::from_be_bytes([data[0], data[1]]);
            }
        }
    }
}

impl Served {
    /// A client that is connected and says nothing.
    pub(crate) async fn raw(&self) -> Raw {
        Raw(self.client().await.0.into_inner())
    }
}
