//! Texts of clients, operators and other servers: JSON, streams of events, settings, webhooks' URLs.

use std::net::{IpAddr, Ipv4Addr};

use clerkwork_clerk::Guard;
use clerkwork_core::{json, sse};
use url::{Host, Url};

/// How deep a value may be nested, less than what parsers stop at.
const DEPTH: usize = 64;

/// What is taken for JSON is JSON to a parser that keeps all of it.
pub(crate) fn json(data: &[u8]) {
    if json::check(data, DEPTH).is_err() {
        return;
    }
    match serde_json::from_slice::<serde_json::Value>(data) {
        Ok(_) => {}
        // Numbers of any size are let through: whoever reads the value decides.
        Err(error) => assert!(error.to_string().contains("number out of range"), "{error}"),
    }
}

/// A stream says the same in whatever pieces it arrives, and keeps no more than it may.
pub(crate) fn event_stream(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else {
        return;
    };
    let most = 64;
    let mut whole = sse::Parser::new(most);
    let expected = format!("{:?}", whole.feed(stream));
    let mut pieces = sse::Parser::new(most);
    let mut events = Vec::new();
    for piece in stream.chunks(usize::from(size % 7) + 1) {
        events.extend(pieces.feed(piece));
    }
    assert!(
        events.iter().all(|event| event.data.len() <= most),
        "more data than it may keep"
    );
    assert_eq!(format!("{events:?}"), expected);
    assert_eq!(pieces.retry(), whole.retry());
}

/// A settings file is read, or what is wrong with it is said.
pub(crate) fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // The names of addresses to listen on would be looked up.
    if text.contains("listen") {
        return;
    }
    if let Err(sentence) = clerkwork::check_settings_file(&text) {
        assert!(
            !sentence.trim().is_empty(),
            "nothing is said of what is wrong"
        );
    }
}

/// A URL that is let through is https on a usual port, without a user, and if it names an address, that
/// is none of a private network: judged here by a list of our own.
pub(crate) fn webhook_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if Guard::default().check(&text).is_err() {
        return;
    }
    let url = Url::parse(&text).expect("it was let through");
    assert_eq!(url.scheme(), "https", "{text}");
    assert!(matches!(url.port(), None | Some(443 | 8443)), "{text}");
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{text}"
    );
    match url.host() {
        Some(Host::Ipv4(address)) => assert!(is_public_v4(address), "{text}"),
        Some(Host::Ipv6(address)) => assert!(is_public(address.into()), "{text}"),
        Some(Host::Domain(name)) => assert!(
            !name.is_empty() && name.parse::<IpAddr>().is_err(),
            "{text}"
        ),
        None => panic!("{text} has no host"),
    }
}

fn is_public(address: IpAddr) -> bool {
    let v6 = match address {
        IpAddr::V4(address) => return is_public_v4(address),
        IpAddr::V6(address) => address,
    };
    let segments = v6.segments();
    let inner = Ipv4Addr::from(u32::from(segments[6]) << 16 | u32::from(segments[7]));
    let nat64 = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let global = (0x2000..0x4000).contains(&segments[0]);
    let documentation = segments[0] == 0x2001 && segments[1] == 0xdb8;
    let sixtofour = segments[0] == 0x2002;
    let old = Ipv4Addr::from(u32::from(segments[1]) << 16 | u32::from(segments[2]));
    match v6.to_ipv4_mapped() {
        Some(mapped) => is_public_v4(mapped),
        None if nat64 => is_public_v4(inner),
        None => global && !documentation && (!sixtofour || is_public_v4(old)),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let reserved = a == 0 || a >= 224;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || reserved)
}
