//! What is claimed of the settings of each server.

use std::time::Duration;

use super::{Given, sentence};
use crate::settings::clerk::ClerkSettings;
use crate::settings::dev::{DevRunner, DevSettings};
use crate::settings::table::{Kind, SETTINGS};
use crate::settings::values::{self, BrokerAddress, StoreAddress};
use crate::settings::worker::WorkerSettings;

#[test]
fn dev_is_not_led_astray_by_the_customary_variables() {
    let both = [
        ("DATABASE_URL", "postgres://theirs/d"),
        ("AMQP_URL", "amqp://theirs"),
    ];
    let given = Given {
        flags: &[("data", "/d")],
        environment: &both,
        ..Given::default()
    };
    let settings = given.read(DevSettings::read).unwrap();
    assert_eq!(
        settings.store,
        StoreAddress::Sqlite("/d/clerkwork.db".into())
    );
    assert_eq!(settings.broker, BrokerAddress::Memory);
}

#[test]
fn dev_takes_the_broker_and_the_store_of_a_fleet() {
    let services = |flags| {
        Given {
            flags,
            ..Given::default()
        }
        .read(DevSettings::read)
    };
    let flags = [("store", "postgres://h/d"), ("broker", "amqp://h")];
    let settings = services(&flags).unwrap();
    assert_eq!(
        settings.store,
        StoreAddress::Postgres("postgres://h/d".to_owned())
    );
    assert_eq!(settings.broker, BrokerAddress::Amqp("amqp://h".to_owned()));
    let flags = [("data", "/d"), ("broker", "amqp://h")];
    let settings = services(&flags).unwrap();
    assert_eq!(
        settings.store,
        StoreAddress::Sqlite("/d/clerkwork.db".into())
    );
    let sentence = sentence(services(&[("store", "postgres://h/d")]));
    assert!(sentence.contains("set --broker"), "{sentence}");
}

#[test]
fn the_origins_of_web_pages_are_told_one_by_one_and_checked() {
    let given = Given {
        flags: &[("cors-origins", "https://a.example, http://localhost:3000")],
        ..Given::default()
    };
    let origins = given.read(DevSettings::read).unwrap().config.cors_origins;
    let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://a.example", "http://localhost:3000"]);
    let given = Given {
        flags: &[("cors-origins", "*,https://a.example/b")],
        ..Given::default()
    };
    let sentence = sentence(given.read(DevSettings::read));
    assert!(
        sentence.contains("2 settings") && sentence.contains("without a path"),
        "{sentence}"
    );
}

#[test]
fn the_workers_of_dev_are_split_into_words_once() {
    let given = Given {
        flags: &[("worker", "up*3=tr 'a z' A-Z"), ("worker", "b=cat")],
        ..Given::default()
    };
    let workers = given.read(DevSettings::read).unwrap().workers;
    let DevRunner::Command(words) = &workers[0].runner else {
        panic!("{:?}", workers[0].runner);
    };
    assert_eq!(words, &["tr", "a z", "A-Z"]);
    assert_eq!(
        (workers[0].queue.as_str(), workers[0].concurrency),
        ("up", Some(3))
    );
    assert_eq!(
        (workers[1].queue.as_str(), workers[1].concurrency),
        ("b", None)
    );
}

#[test]
fn a_worker_of_dev_may_be_an_http_service() {
    let given = Given {
        flags: &[("worker", "render*2=http://127.0.0.1:9000/render?a=b")],
        ..Given::default()
    };
    let workers = given.read(DevSettings::read).unwrap().workers;
    assert!(
        matches!(workers[0].runner, DevRunner::Service(_)),
        "{workers:?}"
    );
    assert_eq!(workers[0].concurrency, Some(2));
}

#[test]
fn a_worker_of_dev_that_cannot_be_one_is_refused() {
    for (worker, why) in [
        ("up", "NAME=COMMAND"),
        ("up=", "empty"),
        ("up='", "quote"),
        ("UP=cat", "a-z"),
        ("up*0=cat", "between 1 and 10000"),
        ("up=http://", "URL"),
    ] {
        let flags = [("worker", worker)];
        let sentence = sentence(
            Given {
                flags: &flags,
                ..Given::default()
            }
            .read(DevSettings::read),
        );
        assert!(sentence.contains(why), "{worker}: {sentence}");
    }
    let flags = [("worker", "up=cat"), ("worker", "up=tr")];
    let sentence = sentence(
        Given {
            flags: &flags,
            ..Given::default()
        }
        .read(DevSettings::read),
    );
    assert!(sentence.contains("twice"), "{sentence}");
}

#[test]
fn a_short_lease_in_dev_makes_workers_report_in_time() {
    let given = Given {
        flags: &[("lease", "2s")],
        ..Given::default()
    };
    let settings = given.read(DevSettings::read).unwrap();
    assert_eq!(settings.options.heartbeat, Duration::from_millis(500));
    let given = Given {
        flags: &[("heartbeat", "250ms")],
        ..Given::default()
    };
    let settings = given.read(DevSettings::read).unwrap();
    assert_eq!(settings.options.heartbeat, Duration::from_millis(250));
    assert_eq!(settings.config.heartbeat, Duration::from_millis(250));
}

#[test]
fn a_fleet_needs_its_services() {
    let clerk = sentence(Given::default().read(ClerkSettings::read));
    assert!(clerk.contains("--store is not set") && clerk.contains("--broker is not set"));
    let flags = [("broker", "memory:")];
    let worker = sentence(
        Given {
            flags: &flags,
            ..Given::default()
        }
        .read(WorkerSettings::read),
    );
    assert!(
        worker.contains("clerkwork dev") && worker.contains("--queue is not set"),
        "{worker}"
    );
}

#[test]
fn a_workers_queue_is_not_taken_from_the_environment() {
    let given = Given {
        flags: &[("broker", "amqp://h")],
        environment: &[("CLERKWORK_QUEUE", "q")],
        file: "",
    };
    assert!(sentence(given.read(WorkerSettings::read)).contains("--queue is not set"));
}

#[test]
fn lists_are_written_with_commas_or_as_lists() {
    for given in [
        Given {
            flags: &[("queues", "a, b")],
            ..Given::default()
        },
        Given {
            flags: &[("queues", "a"), ("queues", "b")],
            ..Given::default()
        },
        Given {
            environment: &[("CLERKWORK_QUEUES", "a,b")],
            ..Given::default()
        },
        Given {
            file: "queues = [\"a\", \"b\"]",
            ..Given::default()
        },
    ] {
        let config = given.read(DevSettings::read).unwrap().config;
        let names: Vec<_> = config.queues.iter().map(|queue| queue.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}

#[test]
fn every_default_and_every_range_can_be_read() {
    for setting in SETTINGS {
        match setting.kind {
            Kind::Duration(low, high) => {
                assert!(values::duration(low).unwrap() < values::duration(high).unwrap());
            }
            Kind::Size(low, high) => {
                assert!(values::size(low).unwrap() < values::size(high).unwrap());
            }
            _ => {}
        }
    }
    let flags = [
        ("store", "sqlite:/d"),
        ("broker", "amqp://h"),
        ("queue", "q"),
    ];
    let given = Given {
        flags: &flags,
        ..Given::default()
    };
    let clerk = given.read(ClerkSettings::read).unwrap().config;
    let usual = clerkwork_clerk::Config::default();
    assert_eq!(
        format!("{clerk:?}"),
        format!(
            "{:?}",
            clerkwork_clerk::Config {
                name: clerk.name.clone(),
                ..usual
            }
        )
    );
    let worker = given.read(WorkerSettings::read).unwrap().fleet.options;
    assert_eq!(worker, clerkwork_worker::Options::default());
}
