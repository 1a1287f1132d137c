//! The address of a RabbitMQ server: `amqp://user:password@host:port/vhost`.

use std::net::IpAddr;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use url::{Host, Url};

use super::Options;
use crate::Error;

/// How long the broker and we may be silent before the other gives up, in seconds. Halved by the
/// protocol into beats; a dead peer is noticed after twice this time.
const HEARTBEAT: u16 = 10;

/// The longest name of the protocol, in bytes.
const LONGEST_NAME: usize = 255;

/// The user and the password that every RabbitMQ begins with.
const GUEST: &str = "guest";

/// Why `guest` is for this machine only, and what to do.
const KNOWN_TO_ALL: &str = "the user guest is for a broker on this machine, since everybody knows \
    its password: make a user with `rabbitmqctl add_user` and put it into the address, like \
    amqp://user:password@host:5672/vhost";

/// Where to connect to and as whom.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) uri: AMQPUri,
    /// The address in words: without user and password.
    pub(super) shown: String,
}

impl Address {
    /// Reads an address. What is wrong is said without repeating the address, which has a password.
    pub(super) fn parse(options: &Options) -> Result<Self, Error> {
        let url = Url::parse(&options.url).map_err(|error| wrong(&error.to_string()))?;
        let (scheme, default_port) = match url.scheme() {
            "amqp" => (AMQPScheme::AMQP, 5672),
            "amqps" => (AMQPScheme::AMQPS, 5671),
            other => {
                return Err(wrong(&format!(
                    "it begins with {other}:, not with amqp: or amqps:"
                )));
            }
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "settings after ? or # are not understood; leave them out",
            ));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => decode(name)?,
            // Without brackets, as name resolution wants it.
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(wrong("there is no host in it")),
        };
        let port = url.port().unwrap_or(default_port);
        let vhost = vhost(url.path())?;
        let username = match url.username() {
            "" => GUEST.to_owned(),
            name => decode(name)?,
        };
        let password = url
            .password()
            .map_or_else(|| Ok(GUEST.to_owned()), decode)?;
        if username == GUEST && !is_this_machine(&host) {
            return Err(Error::Address(KNOWN_TO_ALL.to_owned()));
        }
        let shown = format!(
            "{}:{port}, virtual host {vhost}",
            url.host_str().unwrap_or_default()
        );
        let uri = AMQPUri {
            scheme,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username, password },
                host,
                port,
            },
            vhost,
            query: AMQPQueryString {
                frame_max: Some(options.frame_max),
                heartbeat: Some(HEARTBEAT),
                ..AMQPQueryString::default()
            },
        };
        Ok(Self { uri, shown })
    }

    /// The name of the user.
    pub(super) fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Whether a host, without brackets, is this machine for whoever looks it up.
fn is_this_machine(host: &str) -> bool {
    let loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(loopback)
}

/// The virtual host of a path: nothing, `/` and `//` are the default one, `/`.
fn vhost(path: &str) -> Result<String, Error> {
    let vhost = match path.strip_prefix('/').unwrap_or(path) {
        "" | "/" => "/".to_owned(),
        // It may be the end of a password that was cut at its /, so nothing of it is repeated.
        name if name.contains(['/', '@']) => {
            return Err(wrong(
                "after the host, write %2F for / and %40 for @, as within a name or a password",
            ));
        }
        name => decode(name)?,
    };
    if vhost.len() > LONGEST_NAME {
        return Err(wrong(
            "the name of the virtual host is longer than 255 bytes",
        ));
    }
    Ok(vhost)
}

fn decode(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let escaped = match (first, others) {
            (b'%', &[high, low, ..]) => hex(high).zip(hex(low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high * 16 + low);
            rest = &others[2..];
        } else if first == b'%' {
            return Err(wrong("a % that is meant as such is written %25"));
        } else {
            bytes.push(first);
            rest = others;
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong("its escapes are not UTF-8"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn wrong(what: &str) -> Error {
    Error::Address(format!(
        "{what} (it looks like amqp://user:password@host:5672/vhost)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, Error> {
        Address::parse(&Options::new(url, "test"))
    }

    #[test]
    fn the_default_virtual_host_needs_no_escape() {
        for url in [
            "amqp://u@h",
            "amqp://u@h/",
            "amqp://u@h//",
            "amqp://u@h/%2F",
            "amqp://u@h/%2f",
        ] {
            assert_eq!(parse(url).unwrap().uri.vhost, "/", "{url}");
        }
        assert_eq!(parse("amqp://u@h/a%2Fb").unwrap().uri.vhost, "a/b");
    }

    #[test]
    fn guest_is_for_a_broker_on_this_machine_only() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            for login in ["guest:guest@", "guest@", ""] {
                let url = format!("amqp://{login}{host}/x");
                assert_eq!(parse(&url).unwrap().user(), "guest", "{url}");
            }
        }
        for host in [
            "h",
            "localhost.h",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[fd00::1]",
        ] {
            for login in ["guest:guest@", "guest:other@", "gu%65st:x@", ""] {
                for scheme in ["amqp", "amqps"] {
                    let url = format!("{scheme}://{login}{host}/x");
                    let Err(Error::Address(words)) = parse(&url) else {
                        panic!("{url} was accepted")
                    };
                    assert!(words.contains("rabbitmqctl add_user"), "{words}");
                }
            }
            assert!(parse(&format!("amqp://me:guest@{host}/x")).is_ok());
        }
    }

    #[test]
    fn user_password_host_and_port_are_decoded() {
        let address = parse("amqps://me%40home:p%3A%2F%25@[::1]:99/x").unwrap();
        let AMQPAuthority {
            userinfo,
            host,
            port,
        } = address.uri.authority.clone();
        assert_eq!(
            (userinfo.username.as_str(), userinfo.password.as_str()),
            ("me@home", "p:/%")
        );
        assert_eq!((host.as_str(), port), ("::1", 99));
        assert_eq!(address.uri.scheme, AMQPScheme::AMQPS);
        assert_eq!(parse("amqps://u@h").unwrap().uri.authority.port, 5671);
    }

    #[test]
    fn a_wrong_address_is_refused_without_repeating_its_password() {
        let long = format!("amqp://u:secret@h/{}", "v".repeat(256));
        for url in [
            "",
            "h:5672",
            "http://u:secret@h",
            "amqp://",
            "amqp://u:secret@h/a/b",
            "amqp://u:p@se/cret@h",
            "amqp://u:p@se/cret@h/x",
            "amqp://u:p@se?cret@h",
            "amqp://u:p@se#cret@h",
            "amqp://u:secret@h?heartbeat=1",
            "amqp://u:secret%zz@h",
            "amqp://u:secret%ff@h",
            "amqp://u:secret@h:99999",
            &long,
        ] {
            let Err(Error::Address(words)) = parse(url) else {
                panic!("{url} was accepted")
            };
            assert!(!words.contains("cret"), "{words}");
        }
    }

    #[test]
    fn what_is_shown_of_an_address_has_no_secret() {
        let shown = format!("{:?}", parse("amqp://user:secret@h/v").unwrap());
        assert_eq!(shown, "h:5672, virtual host v");
    }
}
