//! Sends one webhook: to an address that was checked, within its time, and reading little.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clerkwork_core::{Clock, UnixMs};
use reqwest::dns::Resolve;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response};
use tokio::time::{Instant, timeout};

use super::addresses::{Addresses, Names, NoAddress, SystemNames};
use super::guard::{Guard, Target};
use super::schedule::Answer;

/// The longest that a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest that an attempt may take.
const ANSWER: Duration = Duration::from_secs(15);
/// The most bytes of an answer that are read, and how long for; they are looked at by nobody.
const MOST_READ: usize = 4 * 1024;
const READ: Duration = Duration::from_secs(1);

/// Sends webhooks.
///
/// Its clients are made when there is a webhook for them: each reads all of the machine's certificates.
#[derive(Debug)]
pub(crate) struct Sender {
    addresses: Addresses,
    /// For https on a usual port: to the internet, or into an allowed network.
    outside: OnceLock<Client>,
    /// For everything else: into an allowed network only.
    inside: OnceLock<Client>,
    clock: Arc<dyn Clock>,
}

impl Sender {
    pub(crate) fn new(guard: Guard, clock: Arc<dyn Clock>) -> Self {
        let names: Arc<dyn Names> = Arc::new(SystemNames);
        Self::with_names(guard, &names, clock)
    }

    pub(super) fn with_names(guard: Guard, names: &Arc<dyn Names>, clock: Arc<dyn Clock>) -> Self {
        // Another provider that the program installed before serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            addresses: Addresses::new(guard, names.clone()),
            outside: OnceLock::new(),
            inside: OnceLock::new(),
            clock,
        }
    }

    fn client(&self, inside: bool) -> &Client {
        let made = if inside { &self.inside } else { &self.outside };
        made.get_or_init(|| client(&self.addresses.resolver(inside)))
    }

    /// The URL as it would be sent to, if it may.
    pub(super) fn target(&self, url: &str) -> Option<Target> {
        self.addresses.guard().target(url).ok()
    }

    /// Posts `body` and tells what was answered; `None`, and nothing sent, where as many attempts are
    /// under way to its address as may be.
    pub(super) async fn post(
        &self,
        target: Target,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Option<Answer> {
        let end = Instant::now() + ANSWER;
        let _reserved = match timeout(CONNECT, self.addresses.reserve(&target)).await {
            Ok(Ok(reserved)) => reserved,
            Ok(Err(NoAddress::Busy)) => return None,
            Ok(Err(NoAddress::None)) => {
                return Some(Answer::None("its name has no address that may be called"));
            }
            Err(_) => return Some(Answer::None("its name was not found in time")),
        };
        let request = self.client(target.inside).post(target.url);
        let request = request.headers(headers).body(body);
        let left = end.saturating_duration_since(Instant::now());
        Some(match request.timeout(left).send().await {
            Ok(response) => {
                let retry_after = retry_after(response.headers(), self.clock.now());
                let answer = Answer::of(response.status().as_u16(), retry_after);
                // Whoever has answered may finish its sentence, within reason.
                let _ = timeout(READ, read(response)).await;
                answer
            }
            Err(error) if error.is_timeout() => Answer::None("it did not answer in time"),
            Err(error) if error.is_connect() => Answer::None("there was no connection"),
            Err(_) => Answer::None("it did not answer as HTTP has it"),
        })
    }
}

fn client(resolver: &Arc<impl Resolve + 'static>) -> Client {
    let settings = || -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("Clerkwork/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            // A connection that is kept would outlive the check of its address.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT)
            .dns_resolver(resolver.clone())
    };
    settings().build().unwrap_or_else(|error| {
        tracing::warn!(%error, "webhooks by https will fail: this machine has no certificates");
        let without = settings().tls_certs_only([]).build();
        without.unwrap_or_default()
    })
}

async fn read(mut response: Response) {
    let mut bytes = 0;
    while bytes < MOST_READ {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// When to come again: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: UnixMs) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let since = then.duration_since(std::time::UNIX_EPOCH).ok()?;
    let then = UnixMs(i64::try_from(since.as_millis()).ok()?);
    Some(then.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UnixMs(784_111_777_000);
        let told = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(told("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            told("Sun, 06 Nov 1994 08:50:37 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(told("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(told(nonsense), None, "{nonsense}");
        }
    }
}
