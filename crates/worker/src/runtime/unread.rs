//! Deliveries that cannot be read: they are answered, so that their jobs end.

use clerkwork_broker::Envelope;
use clerkwork_wire::v1::{Refused, Reply};

use super::desk::Desk;
use super::execute;
use super::hands::Claim;
use super::replier::{Answer, Owner};
use crate::JobError;

/// Answers for a delivery that cannot be read, if anybody can be answered.
pub(super) async fn answer(desk: &Desk, queue: &str, claim: Claim, why: &Refused) {
    let envelope: &Envelope = claim.envelope();
    tracing::warn!(queue, %why, "a job that cannot be read");
    let (Some(correlation), Some(to)) = (&envelope.correlation_id, &envelope.reply_to) else {
        return claim.ack();
    };
    let detail = match why {
        Refused::Version(_) => format!("{why}; update the worker"),
        Refused::Malformed(_) => why.to_string(),
    };
    let mut reply = Reply::new(correlation, execute::failed(JobError::fatal(detail), 1));
    reply.head.worker = Some(desk.id.clone());
    let to = to.clone();
    // Only a worker that ends at once closes the channel; then the delivery comes back.
    let _ = desk
        .answers
        .send(Answer {
            reply,
            to,
            owner: Owner::Unread(Box::new(claim)),
        })
        .await;
}
