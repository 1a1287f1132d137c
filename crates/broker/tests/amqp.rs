//! RabbitMQ against the conformance suite.

mod support;

use clerkwork_broker::conformance::Fixture;

clerkwork_broker::broker_conformance!(fixture());

fn fixture() -> Fixture {
    Fixture::new(support::broker("conformance"), |names| {
        Box::pin(support::delete(names))
    })
}
