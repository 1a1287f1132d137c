//! Where a webhook may go: the guard against requests that an outsider has us make (SSRF).
//!
//! A URL is judged when it is submitted and again whenever it is sent; the addresses behind its name
//! only then, and the connection goes to an address that was judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// The longest URL, in characters.
const LONGEST: usize = 2_048;
/// The ports that a receiver on the internet may listen on.
const PORTS: [u16; 2] = [443, 8443];

/// Judges URLs and addresses.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Networks in which everything is allowed.
    allowed: Vec<IpNet>,
}

/// A URL that may be sent to, if the addresses behind its name may.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    /// Whether only the allowed networks will do: it is not https on a usual port.
    pub(crate) inside: bool,
}

/// Why a URL cannot be a webhook's; reads on from the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is no URL with a host.
    #[error("must be a URL, such as https://example.com/hook")]
    Malformed,
    /// It is too long.
    #[error("must have at most 2048 characters")]
    TooLong,
    /// It is not https.
    #[error("must begin with https://")]
    NotHttps,
    /// It has a user or a password.
    #[error("must not have a user or a password: the signature says that it is us")]
    Userinfo,
    /// It has a port that receivers do not have.
    #[error("must use port 443 or 8443")]
    Port,
    /// It is an address that is not on the internet.
    #[error("must not name a private or reserved address")]
    Private,
}

impl Guard {
    /// A guard that lets everything in `allowed` through: plain http, addresses and any port.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Judges a URL without looking up its name.
    ///
    /// # Errors
    /// See [`BadUrl`].
    pub fn check(&self, text: &str) -> Result<(), BadUrl> {
        self.target(text).map(drop)
    }

    pub(crate) fn target(&self, text: &str) -> Result<Target, BadUrl> {
        if text.chars().count() > LONGEST {
            return Err(BadUrl::TooLong);
        }
        // A parser drops some of these: what is shown must be what is called.
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(BadUrl::Malformed);
        }
        let url = Url::parse(text).map_err(|_| BadUrl::Malformed)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadUrl::NotHttps),
        };
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            return Err(BadUrl::Userinfo);
        }
        let port = url.port_or_known_default().ok_or(BadUrl::Malformed)?;
        let usual = secure && PORTS.contains(&port);
        let inside = match url.host().ok_or(BadUrl::Malformed)? {
            Host::Ipv4(address) => self.literal(address.into(), usual),
            Host::Ipv6(address) => self.literal(address.into(), usual),
            Host::Domain(_) if usual => Some(false),
            Host::Domain(_) => (!self.allowed.is_empty()).then_some(true),
        };
        match inside {
            Some(inside) => Ok(Target { url, inside }),
            None if !secure => Err(BadUrl::NotHttps),
            None if !usual => Err(BadUrl::Port),
            None => Err(BadUrl::Private),
        }
    }

    /// Whether an address may be connected to.
    pub(crate) fn admits(&self, address: IpAddr, inside: bool) -> bool {
        let address = canonical(address);
        self.is_allowed(address) || (!inside && is_global(address))
    }

    /// Where an address that stands in the URL may be connected to.
    fn literal(&self, address: IpAddr, usual: bool) -> Option<bool> {
        let address = canonical(address);
        if self.is_allowed(address) {
            return Some(true);
        }
        (usual && is_global(address)).then_some(false)
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&address))
    }
}

/// What stands between the slashes and the path.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.trim_start_matches('/');
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// An IPv4 address within an IPv6 one is that IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// Whether an address is on the internet, and belongs to no cloud's own services.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !RESERVED.iter().any(|net| net.contains(&four)),
        IpAddr::V6(six) => {
            INTERNET_6.contains(&six) && !RESERVED_6.iter().any(|net| net.contains(&six))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// IANA's special-purpose addresses, multicast, and Azure's own host.
const RESERVED: [Ipv4Net; 18] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(168, 63, 129, 16, 32),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 31, 196, 0, 24),
    v4(192, 52, 193, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(192, 175, 48, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 3),
];

/// All of IPv6 that is given out. So NAT64, unique local, link-local and multicast addresses are not.
const INTERNET_6: Ipv6Net = v6(0x2000, 0, 3);
/// What of that is special: Teredo and other protocols', documentation, and 6to4.
const RESERVED_6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),
    v6(0x2001, 0x0db8, 32),
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open() -> Guard {
        Guard::default()
    }

    fn inside() -> Guard {
        let nets = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"];
        Guard::new(nets.iter().map(|net| net.parse().unwrap()).collect())
    }

    #[test]
    fn https_on_the_usual_ports_is_let_through() {
        for url in [
            "https://example.com/hook",
            "https://example.com:8443/hook?a=b@c#@d",
            "HTTPS://EXAMPLE.COM",
            "https://bücher.example/ö",
            "https://93.184.216.34/hook",
            "https://[2606:4700::1111]/hook",
        ] {
            assert_eq!(open().check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.01",
            "127.0.0.1.",
            "127。0。0。1",
            "１２７.0.0.1",
            "0",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[2001:db8::1]",
        ] {
            let url = format!("https://{host}/hook");
            assert_eq!(open().check(&url), Err(BadUrl::Private), "{url}");
            let url = format!("http://{host}/hook");
            assert_eq!(open().check(&url), Err(BadUrl::NotHttps), "{url}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        for (url, error) in [
            ("https://user@example.com/", BadUrl::Userinfo),
            ("https://user:password@example.com/", BadUrl::Userinfo),
            ("https://@example.com/", BadUrl::Userinfo),
            ("https://example.com:443@127.0.0.1/", BadUrl::Userinfo),
            ("https://127.0.0.1#@example.com/", BadUrl::Private),
            ("https://127.0.0.1?@example.com/", BadUrl::Private),
            ("https://example.com\\@127.0.0.1/", BadUrl::Malformed),
            ("https://exa\tmple.com/", BadUrl::Malformed),
            ("https://example.com/\n", BadUrl::Malformed),
            (" https://example.com/", BadUrl::Malformed),
            ("https://", BadUrl::Malformed),
            ("example.com/hook", BadUrl::Malformed),
            ("", BadUrl::Malformed),
            ("https://1.2.3.4.5/", BadUrl::Malformed),
            ("https://[::1%25eth0]/", BadUrl::Malformed),
            ("ftp://example.com/", BadUrl::NotHttps),
            ("file:///etc/passwd", BadUrl::NotHttps),
            ("http://example.com/", BadUrl::NotHttps),
            ("https://example.com:22/", BadUrl::Port),
            ("https://93.184.216.34:8080/", BadUrl::Port),
            (&long, BadUrl::TooLong),
        ] {
            assert_eq!(open().check(url), Err(error), "{url}");
        }
    }

    #[test]
    fn an_allowed_network_is_open_to_plain_http_addresses_and_any_port() {
        for url in [
            "http://127.0.0.1:9/hook",
            "https://10.1.2.3/hook",
            "http://[fd00::1]:8080/",
            "http://[::ffff:10.1.2.3]/",
            "http://receiver.internal:8080/hook",
        ] {
            assert_eq!(inside().check(url), Ok(()), "{url}");
        }
        for url in ["http://10.2.0.1/", "http://93.184.216.34/"] {
            assert_eq!(inside().check(url), Err(BadUrl::NotHttps), "{url}");
        }
        // A name may be called by plain http only where its address turns out to be inside.
        let target = inside().target("http://receiver.internal:8080/").unwrap();
        assert!(target.inside);
        assert!(inside().admits("10.1.0.9".parse().unwrap(), target.inside));
        assert!(!inside().admits("93.184.216.34".parse().unwrap(), target.inside));
        let usual = inside().target("https://example.com/").unwrap();
        assert!(inside().admits("10.1.0.9".parse().unwrap(), usual.inside));
        assert!(inside().admits("93.184.216.34".parse().unwrap(), usual.inside));
        assert!(!inside().admits("10.2.0.1".parse().unwrap(), usual.inside));
    }

    fn private() -> impl Strategy<Value = Ipv4Addr> {
        (0..RESERVED.len(), any::<u32>()).prop_map(|(at, any)| {
            let net = RESERVED[at];
            Ipv4Addr::from(u32::from(net.addr()) | (any & u32::from(net.hostmask())))
        })
    }

    proptest! {
        #[test]
        fn a_private_address_is_admitted_in_no_disguise(four in private()) {
            let [a, b, c, d] = four.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let disguises = [
                IpAddr::V4(four),
                four.to_ipv6_mapped().into(),
                four.to_ipv6_compatible().into(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into(),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into(),
            ];
            for address in disguises {
                prop_assert!(!open().admits(address, false), "{}", address);
            }
            let number = u32::from(four);
            for host in [format!("{number}"), format!("{number:#x}"), format!("0{number:o}")] {
                prop_assert!(open().check(&format!("https://{host}/")).is_err(), "{}", host);
            }
        }

        #[test]
        fn any_text_is_judged_as_the_address_that_would_be_called(text in "(https?://)?[ -~]{0,40}") {
            if let Ok(target) = open().target(&text) {
                let address = match target.url.host().unwrap() {
                    Host::Ipv4(four) => IpAddr::V4(four),
                    Host::Ipv6(six) => IpAddr::V6(six),
                    Host::Domain(_) => return Ok(()),
                };
                prop_assert!(open().admits(address, target.inside), "{}", text);
            }
        }
    }
}
