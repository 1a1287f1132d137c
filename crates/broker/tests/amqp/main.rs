//! RabbitMQ against the conformance suite, and what only it can suffer.

#[cfg(test)]
mod channels;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;

use clerkwork_broker::conformance::Fixture;

clerkwork_broker::broker_conformance!(fixture());

fn fixture() -> Fixture {
    Fixture::new(support::broker("conformance"), |names| {
        Box::pin(support::delete(names))
    })
}
