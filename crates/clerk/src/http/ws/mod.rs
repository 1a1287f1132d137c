//! `GET /v1/ws`: many jobs followed live on one connection.

mod close;
mod message;
mod session;
mod subscription;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::problem::{Kind, Problem};
use crate::http::takeover::Takeover;
use crate::http::{browsers, rates, respond};
use session::Session;

const PROTOCOL: &str = "clerkwork.v1";
/// The largest message and the largest frame of a client, in bytes.
const LARGEST: usize = 16 * 1024;

/// Opens a WebSocket.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Result<Caller, Problem>,
    mut request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let Some(accept) = accept(headers) else {
        return Ok(upgrade_required());
    };
    // Who shows no key may say who it is in its first message.
    let caller = match caller {
        Err(problem) if headers.contains_key(AUTHORIZATION) => return Err(problem),
        caller => caller.ok(),
    };
    browsers::check_origin(&desk.config.cors_origins, headers)?;
    let offers = offers(headers)?;
    let counted = match &caller {
        Some(caller) => {
            let stream = desk.limits.stream(caller.viewer());
            Some(stream.map_err(rates::too_many_streams)?)
        }
        None => None,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let takeover = Takeover::new(async move {
        match upgrade.await {
            Ok(io) => {
                let limits = WebSocketConfig::default()
                    .read_buffer_size(LARGEST)
                    .write_buffer_size(0)
                    .max_message_size(Some(LARGEST))
                    .max_frame_size(Some(LARGEST));
                let io = TokioIo::new(io);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
                Session::new(desk, caller, counted, socket).run().await;
            }
            Err(error) => tracing::debug!(%error, "a WebSocket was not opened"),
        }
    });
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, respond::value(accept));
    if offers {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response.extensions_mut().insert(takeover);
    Ok(response)
}

/// What answers the client's key, if the request asks for a WebSocket as RFC 6455 has it.
fn accept(headers: &HeaderMap) -> Option<String> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let asks = lists(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"))
        && lists(headers, &UPGRADE).any(|word| word.eq_ignore_ascii_case("websocket"))
        && headers.get(SEC_WEBSOCKET_VERSION)? == "13";
    asks.then(|| derive_accept_key(key.as_bytes()))
}

fn upgrade_required() -> Response {
    let detail = "this endpoint speaks WebSocket (RFC 6455, version 13) only";
    let mut response = Problem::because(Kind::UpgradeRequired, detail).into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// Whether the client offers our subprotocol; one that offers others only wants something else.
fn offers(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut offered = lists(headers, &SEC_WEBSOCKET_PROTOCOL).peekable();
    if offered.peek().is_none() {
        return Ok(false);
    }
    if offered.any(|word| word == PROTOCOL) {
        return Ok(true);
    }
    let detail = format!("the only subprotocol here is {PROTOCOL}");
    Err(Problem::because(Kind::MalformedRequest, detail))
}

/// The words of all lines of a header.
fn lists<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let words = lines.flat_map(|line| line.split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}
