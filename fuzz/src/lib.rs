//! What must hold for any bytes that come from outside: one function per door. Each panics where it
//! does not hold.
//!
//! `libfuzzer/` feeds them to the fuzzer; `tests/seeds.rs` feeds them the seeds and thousands of variants,
//! so that no door needs the fuzzer to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a target panics where its claim does not hold"
)]

mod door;
mod http;
mod seals;
mod texts;
mod wire;

/// A door and the name of its seeds and dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What must hold for these bytes.
    pub run: fn(&[u8]),
}

/// All doors.
pub const TARGETS: &[Target] = &[
    Target {
        name: "correlation",
        run: seals::correlation,
    },
    Target {
        name: "cursor",
        run: http::cursor,
    },
    Target {
        name: "event_stream",
        run: texts::event_stream,
    },
    Target {
        name: "json",
        run: texts::json,
    },
    Target {
        name: "multipart",
        run: http::multipart,
    },
    Target {
        name: "settings",
        run: texts::settings,
    },
    Target {
        name: "submit",
        run: http::submit,
    },
    Target {
        name: "watch_token",
        run: seals::watch_token,
    },
    Target {
        name: "webhook_url",
        run: texts::webhook_url,
    },
    Target {
        name: "wire_control",
        run: wire::control,
    },
    Target {
        name: "wire_job",
        run: wire::job,
    },
    Target {
        name: "wire_notice",
        run: wire::notice,
    },
    Target {
        name: "wire_replies",
        run: wire::replies,
    },
    Target {
        name: "wire_report",
        run: wire::report,
    },
];

/// Runs the target of this name: what each fuzzer's one line calls.
///
/// # Panics
/// There is no such target, or its claim does not hold for these bytes.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target of this name");
    (target.run)(data);
}
