//! Defects that a test plants to see that its checker finds them.

use std::sync::atomic::{AtomicU8, Ordering};

crate::named! {
    /// One way of being wrong.
    Defect as "defect" {
        /// A worker acknowledges before its reply is confirmed.
        AckBeforeConfirm = "ack-before-confirm",
        /// A submission is answered before its job is committed.
        AcceptBeforeCommit = "accept-before-commit",
        /// A clerk's heartbeat says that none of its dispatches is open.
        NoWatermark = "no-watermark",
        /// A submission with a key begins transactions within its request, on a connection that the writer shares.
        TransactionInHandler = "transaction-in-handler",
        /// A reply is believed whatever the seal of its correlation id.
        NoSeal = "no-seal",
        /// A later outcome overwrites the first.
        LastWins = "last-wins",
        /// Waiters and other clerks are told before the commit.
        NoticeBeforeCommit = "notice-before-commit",
        /// A message that the broker returned counts as published.
        ReturnedIsSuccess = "returned-is-success",
        /// One connection publishes and consumes.
        OneConnection = "one-connection",
        /// A taken-over clerk is not fenced and works on, though nobody takes it over again.
        NoFence = "no-fence",
        /// Leases end though the clerk cannot hear.
        LeaseInOutage = "lease-in-outage",
        /// Data that the database refuses counts as a database that is away.
        RefusedIsAway = "refused-is-away",
        /// A transaction is rolled back before the error of its commit is judged.
        RollbackBeforeVerdict = "rollback-before-verdict",
        /// A dispatched job with a start deadline is not looked at before that.
        DeadlineHidesLoss = "deadline-hides-loss",
        /// Each dispatch that the broker gives back doubles the time that the next one may go unseen.
        ReturnRaisesMargin = "return-raises-margin",
        /// Nothing is consumed while a queue exists with other arguments.
        MismatchStopsAll = "mismatch-stops-all",
    }
}

/// The planted one, counted from 1; 0: none.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a defect in this process, or takes it out again.
pub fn plant(defect: Option<Defect>) {
    PLANTED.store(
        defect.map_or(0, |defect| defect as u8 + 1),
        Ordering::Relaxed,
    );
}

/// Whether this process has the defect; never in a release build.
#[inline(always)]
#[must_use]
pub fn has(defect: Defect) -> bool {
    crate::ARMED && PLANTED.load(Ordering::Relaxed) == defect as u8 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_there_while_it_is_planted() {
        assert!(!Defect::ALL.iter().any(|&defect| has(defect)));
        plant(Some(Defect::NoFence));
        assert!(has(Defect::NoFence) && !has(Defect::LastWins));
        plant(None);
        assert!(!has(Defect::NoFence));
    }

    #[test]
    fn every_defect_is_found_by_its_name() {
        for &defect in Defect::ALL {
            assert_eq!(defect.name().parse(), Ok(defect));
        }
        "no-fenc".parse::<Defect>().expect_err("no such defect");
    }
}
