//! What a clerk refuses before it has started: nobody is answered for it.

use crate::ask::Fleet;
use crate::support::text;

#[tokio::test]
async fn what_is_refused_while_nobody_is_asked_about_it_is_acknowledged_and_not_answered() {
    let mut fleet = Fleet::of(2).await;
    let first = fleet.submit().await;
    fleet.asked(&[&first]).await;
    let second = fleet.submit().await;
    let both = fleet.clerk.report(|report| report.in_hand.len() == 2).await;
    assert_eq!(both.asking.len(), 1);
    // As the late answer to a question that was put off since.
    fleet.refuse(&second).await;
    fleet.clerk.report(|report| report.in_hand.len() == 1).await;
    fleet.grant(&first).await;
    fleet.door.somebody().await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&first).await), "1");
    fleet.ends_empty().await;
}
