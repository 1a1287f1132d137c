//! The turns of webhooks: few at once for each host, so that a slow one delays no other, and where little
//! is left few for each tenant, so that none has all turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::UnixMs;
use clerkwork_store::DueWebhook;

/// The most attempts at once for one host.
const AT_ONCE: usize = 8;
/// The most that wait here for one host; more are put back into the store.
const WAITING: usize = 24;
/// The most attempts at once for all hosts.
const MOST: usize = 256;
/// From so many on, each tenant has no more than its share of them.
const CROWDED: usize = MOST / 4 * 3;
const SHARE: usize = MOST / 16;
/// A claim with less left than this is left to whoever claims next: an attempt takes 15 s.
const LEFT: Duration = Duration::from_secs(20);
/// How long an attempt takes, as long as nothing is known of its host.
const USUAL: Duration = Duration::from_secs(1);
/// How soon and how late one that was put back is looked at again.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(60);

/// The hosts that something is sent to.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: HashMap<String, Host>,
    running: usize,
    /// The number of them that are each tenant's.
    of_tenants: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Host {
    running: usize,
    waiting: VecDeque<DueWebhook>,
    /// How long an attempt takes here, roughly.
    takes: Duration,
    /// When the last one that was put back is looked at.
    put_back: UnixMs,
}

/// What is to be done with a webhook that was claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send it now.
    Now(DueWebhook),
    /// It waits here.
    Later,
    /// Put it back, to be looked at then.
    PutBack(DueWebhook, UnixMs),
}

impl Hosts {
    /// Finds a turn for a webhook of this host.
    pub(super) fn place(&mut self, name: &str, due: DueWebhook, now: UnixMs) -> Turn {
        let has_room = self.has_room(&due.tenant);
        if !has_room && !self.hosts.contains_key(name) {
            return Turn::PutBack(due, now.after(USUAL));
        }
        let host = self.hosts.entry(name.to_owned()).or_insert_with(|| Host {
            running: 0,
            waiting: VecDeque::new(),
            takes: USUAL,
            put_back: now,
        });
        if host.running < AT_ONCE && has_room {
            host.running += 1;
            self.begin(&due.tenant);
            return Turn::Now(due);
        }
        if host.waiting.len() < WAITING {
            host.waiting.push_back(due);
            return Turn::Later;
        }
        // About when those before it are done.
        let each = host.takes / 8;
        let next = host.put_back.max(now.after(each * 24)).after(each);
        host.put_back = next.clamp(now.after(SOONEST), now.after(LATEST));
        Turn::PutBack(due, host.put_back)
    }

    fn has_room(&self, tenant: &str) -> bool {
        let theirs = self.of_tenants.get(tenant).copied().unwrap_or(0);
        self.running < CROWDED || (self.running < MOST && theirs < SHARE)
    }

    fn begin(&mut self, tenant: &Arc<str>) {
        self.running += 1;
        *self.of_tenants.entry(tenant.clone()).or_default() += 1;
    }

    fn end(&mut self, tenant: &str) {
        self.running = self.running.saturating_sub(1);
        match self.of_tenants.get_mut(tenant) {
            Some(theirs) if *theirs > 1 => *theirs -= 1,
            _ => drop(self.of_tenants.remove(tenant)),
        }
    }

    /// An attempt of this tenant for this host ended; whose turn is it there now? Their place goes to
    /// whoever waits for the host.
    pub(super) fn ended(
        &mut self,
        name: &str,
        tenant: &str,
        took: Duration,
        now: UnixMs,
    ) -> Option<DueWebhook> {
        self.end(tenant);
        let host = self.hosts.get_mut(name)?;
        host.running = host.running.saturating_sub(1);
        host.takes = (host.takes * 3 + took) / 4;
        while let Some(next) = host.waiting.pop_front() {
            if next.until.since(now) >= LEFT {
                host.running += 1;
                self.begin(&next.tenant);
                return Some(next);
            }
        }
        if host.running == 0 {
            self.hosts.remove(name);
        }
        None
    }

    /// Those that wait for their turn, who wait no more.
    pub(super) fn drain(&mut self) -> Vec<DueWebhook> {
        let hosts = self.hosts.values_mut();
        hosts.flat_map(|host| host.waiting.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::{JobId, Webhook, WebhookStatus};

    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn due() -> DueWebhook {
        due_of("default")
    }

    fn due_of(tenant: &str) -> DueWebhook {
        DueWebhook {
            job: JobId::at(NOW),
            tenant: tenant.into(),
            url: String::new(),
            webhook: Webhook {
                status: WebhookStatus::Pending,
                attempts: 0,
                last_status: None,
                next_attempt_at: Some(NOW),
            },
            until: NOW.after(Duration::from_secs(30)),
        }
    }

    fn place(hosts: &mut Hosts, name: &str, count: usize) -> Vec<Turn> {
        (0..count).map(|_| hosts.place(name, due(), NOW)).collect()
    }

    #[test]
    fn eight_at_once_go_to_a_host_and_the_rest_leave_room_for_others() {
        let mut hosts = Hosts::default();
        let turns = place(&mut hosts, "slow", 1_000);
        let now = |turns: &[Turn]| {
            turns
                .iter()
                .filter(|turn| matches!(turn, Turn::Now(_)))
                .count()
        };
        assert_eq!(now(&turns), 8);
        assert_eq!(
            turns.iter().filter(|turn| **turn == Turn::Later).count(),
            24
        );
        assert_eq!(now(&place(&mut hosts, "quick", 5)), 5);
        let looks: Vec<UnixMs> = turns
            .into_iter()
            .filter_map(|turn| match turn {
                Turn::PutBack(_, at) => Some(at),
                _ => None,
            })
            .collect();
        assert_eq!(looks.len(), 968);
        assert!(looks.is_sorted() && looks[0] > NOW && looks[967] <= NOW.after(LATEST));
    }

    #[test]
    fn whoever_waits_is_next_in_order_unless_its_claim_is_nearly_over() {
        let mut hosts = Hosts::default();
        place(&mut hosts, "host", 8);
        let waiting: Vec<DueWebhook> = (0..2).map(|_| due()).collect();
        for due in &waiting {
            hosts.place("host", due.clone(), NOW);
        }
        let took = Duration::from_millis(50);
        assert_eq!(
            hosts.ended("host", "default", took, NOW),
            Some(waiting[0].clone())
        );
        let late = NOW.after(Duration::from_secs(11));
        assert_eq!(hosts.ended("host", "default", took, late), None);
        for _ in 0..7 {
            assert_eq!(hosts.ended("host", "default", took, late), None);
        }
        assert!(hosts.hosts.is_empty() && hosts.running == 0);
    }

    #[test]
    fn a_tenant_of_many_slow_hosts_leaves_turns_to_other_tenants() {
        let mut hosts = Hosts::default();
        let mut begun = |tenant: &str, count: usize| {
            let turns =
                (0..count).map(|n| hosts.place(&format!("{n}.{tenant}"), due_of(tenant), NOW));
            turns.filter(|turn| matches!(turn, Turn::Now(_))).count()
        };
        assert_eq!(begun("greedy", 1_000), CROWDED);
        assert_eq!(begun("modest", 1_000), SHARE);
        for tenant in ["a", "b", "c"] {
            assert_eq!(begun(tenant, 1_000), SHARE);
        }
        assert_eq!((begun("late", 1_000), hosts.running), (0, MOST));
        let more = hosts.place("another", due_of("greedy"), NOW);
        assert!(matches!(more, Turn::PutBack(..)), "{more:?}");
        let took = Duration::from_secs(15);
        for n in 0..CROWDED {
            assert_eq!(
                hosts.ended(&format!("{n}.greedy"), "greedy", took, NOW),
                None
            );
        }
        assert!(!hosts.of_tenants.contains_key("greedy"));
        let turn = hosts.place("host", due_of("late"), NOW);
        assert!(matches!(turn, Turn::Now(_)), "{turn:?}");
    }
}
