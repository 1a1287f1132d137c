//! Taking an address to listen on.

use std::io;
use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};

/// How many clients may be connected and not served yet; the kernel has a bound of its own. One that
/// comes when it is reached waits a second until it tries again.
const BACKLOG: u32 = 4_096;

/// More files than a clerk ever has open.
const MOST_FILES: u64 = 1 << 20;

/// An address is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; choose another --{setting}")]
pub struct ListenError {
    address: String,
    reason: io::Error,
    setting: &'static str,
}

/// An address that other machines reach, while whoever reaches it may do everything.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "{0} can be reached from other machines and there are no API keys, so everybody could do \
     everything: make one with `clerkwork key create --tenant default --role operator --store …`, \
     or listen on 127.0.0.1"
)]
pub struct OpenError(SocketAddr);

/// Refuses a public address while there are no keys; tells the log who may do what.
pub(crate) fn guard(address: SocketAddr, there_are_keys: bool) -> Result<(), OpenError> {
    if there_are_keys {
        tracing::info!("every caller needs an API key");
        return Ok(());
    }
    if !address.ip().to_canonical().is_loopback() {
        return Err(OpenError(address));
    }
    tracing::info!(
        "there are no API keys: every caller on this machine is the tenant default and an operator"
    );
    Ok(())
}

/// Lets this process have as many connections as the system allows: what a shell or a service manager
/// starts usually may have a thousand files open, though the system would allow more.
pub(crate) fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(MOST_FILES).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is, and bounds the connections");
    }
}

/// Takes the first of these addresses that is free; `setting` names them.
pub(crate) async fn bind(
    addresses: &[SocketAddr],
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let refused = |reason| {
        let address = addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" or ");
        ListenError {
            address,
            reason,
            setting,
        }
    };
    let listener = first_of(addresses).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match listen(*address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port that was ours a moment ago may be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
