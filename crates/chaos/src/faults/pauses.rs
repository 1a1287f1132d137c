//! Processes and servers that stand still for a while, without closing a connection.

use clerkwork_tests::Signal;

use super::Whom;
use crate::fleet::Fleet;

pub(super) fn stop(fleet: &Fleet, whom: Whom) {
    match whom {
        Whom::Broker => fleet.own.rabbit.freeze(),
        Whom::Postgres => fleet.own.postgres.freeze(),
        Whom::Clerk(_) | Whom::Worker(_) => signal(fleet, whom, Signal::SIGSTOP),
    }
}

pub(super) fn go_on(fleet: &Fleet, whom: Whom) {
    match whom {
        Whom::Broker => fleet.own.rabbit.thaw(),
        Whom::Postgres => fleet.own.postgres.thaw(),
        Whom::Clerk(_) | Whom::Worker(_) => signal(fleet, whom, Signal::SIGCONT),
    }
}

fn signal(fleet: &Fleet, whom: Whom, signal: Signal) {
    let member = match whom {
        Whom::Clerk(index) => fleet.clerks.get(index),
        Whom::Worker(index) => fleet.workers.get(index),
        Whom::Broker | Whom::Postgres => None,
    };
    if let Some(process) = member.and_then(|member| member.process.as_ref()) {
        process.signal(signal);
    }
}
