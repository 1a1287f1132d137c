//! Deliveries that may have been started before, from the question to its answer.

use std::sync::Arc;

use clerkwork_wire::v1::{Granted, Job};

use super::{Claim, Hand, Hands, Table};
use crate::teller::Teller;

/// What a clerk said of a delivery that was asked about.
#[derive(Clone, Debug)]
pub(in crate::runtime) enum Answered {
    /// Start it, under this correlation id.
    Granted(Granted),
    /// Acknowledge it unrun.
    Refused,
}

impl Hand {
    /// From now on reports ask for it.
    pub(in crate::runtime) fn ask(&self) {
        self.stage().asks = true;
    }

    /// It is not asked about any more, for now.
    pub(in crate::runtime) fn ask_later(&self) {
        self.stage().asks = false;
    }

    /// Whether it has run.
    pub(in crate::runtime) fn has_run(&self) -> bool {
        self.stage().answered
    }

    /// Whether its last worker was lost with it.
    pub(in crate::runtime) fn is_suspect(&self) -> bool {
        matches!(self.answer.get(), Some(Answered::Granted(granted)) if granted.attempt.is_some())
    }

    /// The correlation id to ask with, while the question waits for its answer.
    pub(in crate::runtime) fn question(&self) -> Option<&str> {
        let open = self.answer.get().is_none() && self.signal.why().is_none();
        (open && self.stage().asks).then_some(&*self.delivered)
    }

    /// What a clerk said, once it was asked about.
    pub(in crate::runtime) fn answered(&self) -> Option<&Answered> {
        self.answer.get()
    }

    /// Takes a clerk's answer, if it is asked about; the first one counts.
    pub(in crate::runtime) fn take_answer(&self, answer: Answered) -> bool {
        self.question().is_some() && self.answer.set(answer).is_ok()
    }

    /// Whether a clerk has it on record as started, whatever the time is by now.
    pub(in crate::runtime) fn is_granted(&self) -> bool {
        matches!(self.answer.get(), Some(Answered::Granted(_)))
    }
}

impl Hands {
    /// Acknowledges what was refused; nobody is answered, since the job is not this delivery's.
    pub(in crate::runtime) fn drop_refused(&self, hand: &Hand) {
        self.table().hands.remove(&hand.delivered);
        hand.release();
    }

    /// What was granted, as it is to be started: under the correlation id that the grant names.
    pub(in crate::runtime) fn renew(
        &self,
        hand: Arc<Hand>,
        teller: impl FnOnce(Arc<str>) -> Teller,
    ) -> Arc<Hand> {
        let Some(Answered::Granted(granted)) = hand.answer.get().cloned() else {
            return hand;
        };
        if *granted.correlation == *hand.correlation {
            return hand;
        }
        let mut table = self.table();
        let Some(claim) = hand.take_claim() else {
            return hand;
        };
        let renewed = Arc::new(hand.renewed(&granted, teller, claim));
        let Table { hands, .. } = &mut *table;
        hands.insert(Arc::clone(&renewed.delivered), Arc::clone(&renewed));
        renewed
    }

    /// Whether this worker has another delivery of the job, and no report has told whether that runs:
    /// then a clerk could not know that the job runs here.
    pub(in crate::runtime) fn has_untold_twin(&self, hand: &Hand) -> bool {
        let mut twin = false;
        self.each(|other| {
            twin |= other.id == hand.id && other.delivered != hand.delivered && other.is_untold();
        });
        twin
    }
}

impl Hand {
    fn renewed(
        &self,
        granted: &Granted,
        teller: impl FnOnce(Arc<str>) -> Teller,
        claim: Claim,
    ) -> Self {
        let attempt = granted.attempt.unwrap_or(self.attempt);
        let job = Job {
            message_id: format!("{}:{attempt}", self.id),
            ..self.job.clone()
        };
        let teller = Arc::new(teller(granted.correlation.as_str().into()));
        let names = (self.id, attempt);
        let mut renewed = Self::new(job, names, teller, &self.queue, self.stop_grace, claim);
        renewed.delivered = Arc::clone(&self.delivered);
        renewed.arrived = self.arrived;
        renewed.answer = self.answer.clone();
        renewed
    }

    fn is_untold(&self) -> bool {
        let stage = self.stage();
        let may_run = stage.asks || self.is_granted() || stage.started.is_some() || !self.doubtful;
        let told = stage
            .listed
            .is_some_and(|(started_at, _)| started_at.is_some());
        may_run && !stage.answered && !told
    }
}
