//! Taking an address to listen on.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// An address is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; choose another --{setting}")]
pub struct ListenError {
    address: String,
    reason: io::Error,
    setting: &'static str,
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
    let listener = TcpListener::bind(addresses).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}
