//! One attempt to connect, and the means to end a connection at once.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPScheme;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio::time::timeout;

use super::address::Address;
use super::fault::{refused, words};

/// How long connecting may take: names, TCP, TLS and AMQP.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A second handle of a connection's socket. Shutting it down is the only thing that ends a
/// connection whose other side no longer answers, and the client's thread with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Socket(Arc<Mutex<Option<TcpStream>>>);

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Refusal {
    /// In words, without secrets.
    pub(super) reason: String,
    pub(super) cause: Cause,
}

/// The kinds of reasons why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody answers.
    Away,
    /// The broker said no: the login or the virtual host is wrong.
    Denied,
    /// The broker allows fewer channels on a connection than are needed.
    TooFewChannels,
}

impl Socket {
    /// Ends the connection.
    pub(super) fn shut(&self) {
        if let Some(stream) = self.lock().take() {
            // It fails only where the connection is gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn keep(&self, stream: TcpStream) {
        *self.lock() = Some(stream);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects once, within [`CONNECT_LIMIT`], for so many channels.
pub(super) async fn dial(
    address: &Address,
    name: &str,
    channels: u16,
) -> Result<(Connection, Socket), Refusal> {
    let socket = Socket::default();
    match timeout(CONNECT_LIMIT, handshake(address, name, socket.clone())).await {
        Ok(Ok(connection)) => {
            let allowed = connection.configuration().channel_max();
            if allowed >= channels {
                return Ok((connection, socket));
            }
            socket.shut();
            let reason = format!(
                "{}: it allows {allowed} channels on a connection and {channels} are needed: \
                 raise channel_max in its rabbitmq.conf",
                address.shown
            );
            Err(Refusal {
                reason,
                cause: Cause::TooFewChannels,
            })
        }
        Ok(Err(error)) => {
            socket.shut();
            let reason = format!("{}: {}", address.shown, words(&error));
            let cause = if refused(&error) {
                Cause::Denied
            } else {
                Cause::Away
            };
            Err(Refusal { reason, cause })
        }
        Err(_) => {
            socket.shut();
            let reason = format!("{}: no answer within 10 s", address.shown);
            Err(Refusal {
                reason,
                cause: Cause::Away,
            })
        }
    }
}

async fn handshake(
    address: &Address,
    name: &str,
    socket: Socket,
) -> Result<Connection, lapin::Error> {
    if address.uri.scheme == AMQPScheme::AMQPS {
        // An error says that the process has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    Connection::connector(
        address.uri.clone(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let host = uri.authority.host.as_str();
            let work = async {
                let mut failure = std::io::Error::other("the host has no address");
                for place in tokio::net::lookup_host((host, uri.authority.port)).await? {
                    match AsyncTcpStream::connect(&runtime, place).await {
                        Err(error) => failure = error,
                        Ok(stream) => {
                            if let AsyncTcpStream::Plain(plain) = &stream {
                                let handle = plain.get_ref().as_fd().try_clone_to_owned()?;
                                socket.keep(TcpStream::from(handle));
                            }
                            return match uri.scheme {
                                AMQPScheme::AMQP => Ok(stream),
                                AMQPScheme::AMQPS => {
                                    stream
                                        .into_tls(host, OwnedTLSConfig::default().as_ref())
                                        .await
                                }
                            };
                        }
                    }
                }
                Err(failure)
            };
            // A limit of its own: it runs on the client's thread, which nobody else can stop.
            Ok(timeout(CONNECT_LIMIT, work)
                .await
                .map_err(std::io::Error::from)??)
        },
        properties,
    )
    .await
}
