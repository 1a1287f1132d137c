//! What is claimed of the settings: where they come from, and what is refused.

mod servers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::check::Check;
use super::clerk::ClerkSettings;
use super::flags::Flags;
use super::sources::Sources;
use super::table::audience;
use super::values;
use crate::exit::{Exit, Failure};

/// One source each, as a user writes them.
#[derive(Default)]
struct Given<'a> {
    flags: &'a [(&'static str, &'a str)],
    environment: &'a [(&'a str, &'a str)],
    file: &'a str,
}

impl Given<'_> {
    fn sources(&self) -> Result<Sources, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("clerkwork.toml");
        std::fs::write(&path, self.file).unwrap();
        let mut flags = Flags::<{ audience::CLERK }> {
            config: Some(path),
            ..Flags::default()
        };
        for (name, value) in self.flags {
            flags
                .values
                .entry(name)
                .or_default()
                .push((*value).to_owned());
        }
        let environment: BTreeMap<String, String> = self
            .environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Sources::of(flags, environment)
    }

    fn read<T>(&self, read: impl FnOnce(&mut Check) -> T) -> Result<T, Failure> {
        let mut check = Check::new(self.sources()?);
        let settings = read(&mut check);
        check.finish(settings)
    }

    fn lease(&self) -> Duration {
        self.read(|check| check.duration("lease")).unwrap()
    }
}

fn sentence<T>(result: Result<T, Failure>) -> String {
    let failure = result.err().unwrap();
    assert_eq!(failure.exit, Exit::Usage);
    failure.sentence
}

#[test]
fn a_flag_beats_the_environment_and_that_beats_the_file_and_that_the_default() {
    let mut given = Given::default();
    assert_eq!(given.lease(), Duration::from_secs(30));
    given.file = "lease = \"3s\"";
    assert_eq!(given.lease(), Duration::from_secs(3));
    given.environment = &[("CLERKWORK_LEASE", "4s")];
    assert_eq!(given.lease(), Duration::from_secs(4));
    given.flags = &[("lease", "5s")];
    assert_eq!(given.lease(), Duration::from_secs(5));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let given = Given {
        environment: &[("CLERKWORK_LEASE", "")],
        ..Given::default()
    };
    assert_eq!(given.lease(), Duration::from_secs(30));
}

#[test]
fn all_errors_are_told_at_once_with_their_ranges_and_origins() {
    let given = Given {
        flags: &[
            ("wait-max", "700s"),
            ("store", "postgres://h/d"),
            ("broker", "amqp://h"),
        ],
        environment: &[("CLERKWORK_WINDOW", "0"), ("CLERKWORK_LEASE", "soon")],
        file: "retention = \"1h\"\nmax-input = \"16MiB\"",
    };
    let sentence = sentence(given.read(ClerkSettings::read));
    for part in [
        "5 settings do not fit",
        "--wait-max `700s`: it must be between 1s and 600s",
        "CLERKWORK_WINDOW `0`: it must be between 1 and 1000000",
        "CLERKWORK_LEASE `soon`: it is written like 250ms",
        "retention in ",
        "it must be between 48h and 90d",
        "it must be between 1B and 15MiB",
    ] {
        assert!(sentence.contains(part), "{part} is not in {sentence}");
    }
}

#[test]
fn an_unknown_key_of_the_file_is_refused_with_a_suggestion() {
    for (key, meant) in [
        ("wait_max", "wait-max"),
        ("lase", "lease"),
        ("Prefix", "prefix"),
    ] {
        let given = Given {
            file: &format!("{key} = 1"),
            ..Given::default()
        };
        let sentence = sentence(given.read(|_| ()));
        assert!(
            sentence.contains(&format!("did you mean {meant}?")),
            "{sentence}"
        );
    }
    let sentence = sentence(
        Given {
            file: "zzzzzzzz = 1",
            ..Given::default()
        }
        .read(|_| ()),
    );
    assert!(sentence.contains("--help"), "{sentence}");
}

#[test]
fn settings_of_later_features_are_unknown() {
    let given = Given {
        file: "private-listen = \"127.0.0.1:9\"",
        ..Given::default()
    };
    assert!(sentence(given.read(|_| ())).contains("is not a setting"));
}

#[test]
fn an_unknown_name_and_a_bad_value_are_told_at_once() {
    let given = Given {
        file: "lase = 1\nwait-max = true",
        environment: &[("CLERKWORK_LEASE", "soon")],
        ..Given::default()
    };
    let sentence = sentence(given.read(|check| {
        check.duration("lease");
        check.duration("wait-max");
    }));
    for part in ["did you mean lease?", "CLERKWORK_LEASE", "wait-max"] {
        assert!(sentence.contains(part), "{part} is not in {sentence}");
    }
}

#[test]
fn unknown_variables_are_ignored() {
    let given = Given {
        environment: &[("CLERKWORK_NO_SUCH", "x")],
        ..Given::default()
    };
    assert_eq!(given.lease(), Duration::from_secs(30));
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, "postgres://u:hush@h/d\n").unwrap();
    let path = path.to_str().unwrap();
    let mut given = Given {
        environment: &[("CLERKWORK_STORE_FILE", path)],
        ..Given::default()
    };
    let store = given.read(|check| check.text("store")).unwrap();
    assert_eq!(store.unwrap(), "postgres://u:hush@h/d");

    let both = [
        ("CLERKWORK_STORE_FILE", path),
        ("CLERKWORK_STORE", "postgres://h/d"),
    ];
    given.environment = &both;
    let sentence = sentence(given.read(|check| check.text("store")));
    assert!(sentence.contains("unset one of them"), "{sentence}");
}

#[test]
fn a_secret_is_never_printed() {
    let given = Given {
        flags: &[
            ("store", "mysql://u:hush@h/d"),
            ("broker", "http://u:hush@h"),
        ],
        ..Given::default()
    };
    let sentence = sentence(given.read(ClerkSettings::read));
    assert!(!sentence.contains("hush"), "{sentence}");

    let given = Given {
        flags: &[
            ("store", "postgres://u:hush@h/d"),
            ("broker", "amqp://u:hush@h"),
        ],
        ..Given::default()
    };
    let clerk = given.read(ClerkSettings::read).unwrap();
    assert!(!format!("{:?}", clerk.store).contains("hush"));
    let broken = Given {
        file: "store = \"postgres://u:hush@h",
        ..Given::default()
    };
    assert!(!self::sentence(broken.sources()).contains("hush"));
}

#[test]
fn the_customary_variables_are_heeded_where_ours_are_not_set() {
    let both = [
        ("DATABASE_URL", "postgres://theirs/d"),
        ("AMQP_URL", "amqp://theirs"),
    ];
    let mut given = Given {
        environment: &both,
        ..Given::default()
    };
    let theirs = given
        .read(|check| (check.text("store"), check.text("broker")))
        .unwrap();
    assert_eq!(
        theirs,
        (
            Some("postgres://theirs/d".into()),
            Some("amqp://theirs".into())
        )
    );
    given.file = "store = \"postgres://ours/d\"";
    let ours = given.read(|check| check.text("store")).unwrap();
    assert_eq!(ours.unwrap(), "postgres://ours/d");
}

#[test]
fn durations_and_sizes_are_read_with_their_units_only() {
    assert_eq!(
        values::duration("250ms").unwrap(),
        Duration::from_millis(250)
    );
    assert_eq!(
        values::duration("7d").unwrap(),
        Duration::from_secs(7 * 24 * 3600)
    );
    assert_eq!(values::size("64KiB").unwrap(), 64 * 1024);
    assert_eq!(values::size("4MiB").unwrap(), 4 * 1024 * 1024);
    for wrong in ["", "30", "s", "-1s", "1 fortnight"] {
        assert!(values::duration(wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "KiB", "1KB", "-1", "99999999999GiB"] {
        assert!(values::size(wrong).is_err(), "{wrong}");
    }
}
