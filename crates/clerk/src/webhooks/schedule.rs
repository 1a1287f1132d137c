//! What follows from an attempt to send a webhook.

use std::time::Duration;

use clerkwork_core::{UnixMs, Webhook, WebhookStatus};

/// How long after the last attempt the next one is due; the first is due at once. After as many
/// attempts as there are lines here, it has failed.
const PAUSES: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];

/// No receiver delays an attempt for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// What a receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken(u16),
    /// It wants no more.
    Gone(u16),
    /// It does not have it; perhaps it said when to come again.
    Refused(u16, Option<Duration>),
    /// There was none: why, for the log.
    None(&'static str),
}

impl Answer {
    /// The answer with this status; `retry_after` is what the header says.
    pub(super) fn of(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            200..=299 => Self::Taken(status),
            410 => Self::Gone(status),
            429 | 503 => Self::Refused(status, retry_after),
            _ => Self::Refused(status, None),
        }
    }

    pub(super) fn status(self) -> Option<u16> {
        match self {
            Self::Taken(status) | Self::Gone(status) | Self::Refused(status, _) => Some(status),
            Self::None(_) => None,
        }
    }
}

/// Where a webhook stands after an attempt that ended at `now`; `chance` is a random number from 0 to 1.
pub(super) fn after(before: Webhook, answer: Answer, now: UnixMs, chance: f64) -> Webhook {
    let attempts = before.attempts.saturating_add(1);
    let (status, next_attempt_at) = match answer {
        Answer::Taken(_) => (WebhookStatus::Delivered, None),
        Answer::Gone(_) => (WebhookStatus::Stopped, None),
        Answer::Refused(..) | Answer::None(_) => match pause(attempts, chance) {
            None => (WebhookStatus::Failed, None),
            Some(pause) => {
                let pause = match answer {
                    Answer::Refused(_, Some(asked)) => pause.max(asked.min(LONGEST)),
                    _ => pause,
                };
                (WebhookStatus::Pending, Some(now.after(pause)))
            }
        },
    };
    Webhook {
        status,
        attempts,
        last_status: answer.status().or(before.last_status),
        next_attempt_at,
    }
}

/// The pause after so many attempts, a tenth more or less.
fn pause(attempts: u32, chance: f64) -> Option<Duration> {
    let pause = PAUSES.get(usize::try_from(attempts).ok()?)?;
    Some(pause.mul_f64(0.9 + 0.2 * chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn pending(attempts: u32) -> Webhook {
        Webhook {
            status: WebhookStatus::Pending,
            attempts,
            last_status: None,
            next_attempt_at: Some(NOW),
        }
    }

    fn waits(attempts: u32, answer: Answer, chance: f64) -> Option<Duration> {
        let next = after(pending(attempts), answer, NOW, chance).next_attempt_at?;
        Some(next.since(NOW))
    }

    #[test]
    fn every_pause_is_that_of_the_contract_a_tenth_more_or_less() {
        let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        for (attempts, seconds) in (0..).zip(seconds) {
            let pause = Duration::from_secs(seconds);
            for (chance, factor) in [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)] {
                let waited = waits(attempts, Answer::Refused(500, None), chance).unwrap();
                let exact = pause.mul_f64(factor);
                assert!(
                    waited.abs_diff(exact) < Duration::from_millis(2),
                    "{waited:?}"
                );
            }
        }
    }

    #[test]
    fn the_tenth_failure_is_the_last() {
        let last = after(pending(9), Answer::None("no connection"), NOW, 0.5);
        assert_eq!(last.status, WebhookStatus::Failed);
        assert_eq!((last.attempts, last.next_attempt_at), (10, None));
    }

    #[test]
    fn only_2xx_is_a_success_and_only_410_stops_at_once() {
        for status in [200, 201, 204, 299] {
            let after = after(pending(3), Answer::of(status, None), NOW, 0.5);
            assert_eq!(after.status, WebhookStatus::Delivered, "{status}");
            assert_eq!(after.last_status, Some(status));
        }
        for status in [
            100, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503, 599, 999,
        ] {
            let after = after(pending(3), Answer::of(status, None), NOW, 0.5);
            assert_eq!(after.status, WebhookStatus::Pending, "{status}");
            assert_eq!((after.attempts, after.last_status), (4, Some(status)));
        }
        let gone = after(pending(0), Answer::of(410, None), NOW, 0.5);
        assert_eq!(gone.status, WebhookStatus::Stopped);
    }

    #[test]
    fn retry_after_delays_the_next_attempt_of_429_and_503_and_at_most_a_day() {
        let asked = |status, seconds| Answer::of(status, Some(Duration::from_secs(seconds)));
        for status in [429, 503] {
            let waited = waits(0, asked(status, 60), 0.5).unwrap();
            assert_eq!(waited, Duration::from_secs(60));
            let sooner = waits(1, asked(status, 60), 0.5).unwrap();
            assert_eq!(sooner, Duration::from_secs(300), "it never hastens one");
            let ever = waits(0, asked(status, u64::MAX / 2_000), 0.5).unwrap();
            assert_eq!(ever, LONGEST);
        }
        assert_eq!(waits(0, asked(500, 60), 0.5), Some(Duration::from_secs(5)));
        assert_eq!(waits(9, asked(503, 60), 0.5), None);
    }

    #[test]
    fn what_gives_no_answer_keeps_the_last_status() {
        let mut before = pending(1);
        before.last_status = Some(502);
        let after = after(before, Answer::None("no connection"), NOW, 0.5);
        assert_eq!(after.last_status, Some(502));
    }
}
