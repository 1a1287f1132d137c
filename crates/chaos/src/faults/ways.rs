//! Ways that are cut, and machines that are lost with all that they had not got through.

use std::time::Duration;

use tokio::time::sleep;

use super::{Whom, kills, pauses};
use crate::fleet::Fleet;
use crate::rig::{Break, Link};

/// Long enough for some dispatches to be committed that the broker never sees.
const UNHEARD: Duration = Duration::from_millis(1_500);
/// Longer than the silence after which a clerk is taken over.
const FROZEN: Duration = Duration::from_secs(13);
/// How long a thawed clerk works before it is lost.
const THAWED: Duration = Duration::from_secs(3);

pub(super) fn cut(fleet: &Fleet, link: Link, how: Break) {
    if let Some(links) = &fleet.rig.links {
        links.cut(link, how);
    }
}

pub(super) fn mend(fleet: &Fleet, link: Link) {
    if let Some(links) = &fleet.rig.links {
        links.mend(link);
    }
}

pub(super) async fn vanish(fleet: &mut Fleet, clerk: usize) {
    let link = Link::ClerkBroker(clerk);
    cut(fleet, link, Break::RequestsLost);
    sleep(UNHEARD).await;
    kills::kill(fleet, Whom::Clerk(clerk)).await;
    // What was held back is lost with the machine.
    cut(fleet, link, Break::Reset);
}

pub(super) async fn freeze_and_vanish(fleet: &mut Fleet, clerk: usize) {
    pauses::stop(fleet, Whom::Clerk(clerk));
    sleep(FROZEN).await;
    pauses::go_on(fleet, Whom::Clerk(clerk));
    sleep(THAWED).await;
    vanish(fleet, clerk).await;
}
