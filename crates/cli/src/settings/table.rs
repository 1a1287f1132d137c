//! The table of all settings: names, ranges, defaults, and whom they are for.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Command, ValueHint};

/// Whom a setting is for; sets of them are sums.
pub(crate) mod audience {
    pub(crate) const CLERK: u8 = 1;
    pub(crate) const WORKER: u8 = 2;
    pub(crate) const DEV: u8 = 4;
    pub(crate) const STORE: u8 = 8;
    pub(crate) const CLIENT: u8 = 16;
    pub(crate) const SERVERS: u8 = CLERK | WORKER | DEV;
}
use audience::{CLERK, CLIENT, DEV, SERVERS, STORE, WORKER};

/// One setting: a flag, an environment variable and a key of the file, spelled alike.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) audience: u8,
    pub(crate) kind: Kind,
    pub(crate) default: Option<&'static str>,
    help: &'static str,
    /// Not for people: tests cannot wait for as long as its default.
    internal: bool,
}

/// What a setting's value looks like, with its range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text, with its name in the help.
    Text(&'static str),
    /// A text that is never printed, and may come from a file.
    Secret(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A duration from the first to the second.
    Duration(&'static str, &'static str),
    /// A size from the first to the second.
    Size(&'static str, &'static str),
    /// A number from the first to the second.
    Count(u64, u64),
    /// Several names with commas between them, or the flag several times.
    Names(&'static str),
    /// The flag several times, a list in the file; in the environment one on a line.
    Lines(&'static str),
    /// On or off.
    Switch,
}

/// All settings, in the order of the help.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting::new("url", CLIENT, Kind::Text("URL"), "The clerk to talk to")
        .or("http://127.0.0.1:8080"),
    Setting::new("api-key", CLIENT, Kind::Secret("KEY"), "The API key"),
    Setting::new(
        "listen",
        CLERK | DEV,
        Kind::Text("ADDR"),
        "Address of the HTTP server",
    )
    .or("127.0.0.1:8080"),
    Setting::new("data", DEV, Kind::Text("DIR"), "Folder of the record").or("./clerkwork-data"),
    Setting::new(
        "worker",
        DEV,
        Kind::Lines("NAME[*N]=COMMAND"),
        "Runs COMMAND for each job of queue NAME, N at a time, or sends it to http://…; again for more queues",
    ),
    Setting::new(
        "queue",
        WORKER,
        Kind::Names("Q[*N]"),
        "A queue to serve, N jobs at a time; again for more queues",
    ),
    Setting::new(
        "store",
        CLERK | DEV | STORE,
        Kind::Secret("URL"),
        "The record: postgres://… or sqlite:FILE",
    ),
    Setting::new(
        "broker",
        SERVERS,
        Kind::Secret("URL"),
        "The message queue: amqp://…, amqps://…, or memory: (dev)",
    ),
    Setting::new(
        "prefix",
        SERVERS,
        Kind::Text("NAME"),
        "First word of the names of queues and exchanges",
    )
    .or("clerkwork"),
    Setting::new(
        "queues",
        CLERK | DEV,
        Kind::Names("A,B"),
        "Queues to declare at the start",
    ),
    Setting::new(
        "queue-type",
        CLERK | WORKER | DEV,
        Kind::Word(&["quorum", "classic"]),
        "Type of the broker's queues; classic for a broker of one node",
    )
    .or("quorum"),
    Setting::new(
        "wait-max",
        CLERK | DEV,
        Kind::Duration("1s", "600s"),
        "Longest wait of a held request",
    )
    .or("45s"),
    Setting::new(
        "max-input",
        CLERK | DEV,
        Kind::Size("1B", "15MiB"),
        "Largest input",
    )
    .or("4MiB"),
    Setting::new(
        "max-output",
        SERVERS,
        Kind::Size("1B", "15MiB"),
        "Largest output",
    )
    .or("4MiB"),
    Setting::new(
        "retention",
        CLERK | DEV,
        Kind::Duration("48h", "90d"),
        "How long a job stays readable after its end",
    )
    .or("7d"),
    Setting::new(
        "heartbeat",
        SERVERS,
        Kind::Duration("250ms", "60s"),
        "Time between signs of life: 1s of a clerk, 5s of a worker unless set",
    ),
    Setting::new(
        "lease",
        CLERK | DEV,
        Kind::Duration("2s", "1h"),
        "Silence after which the worker of a held job counts as lost",
    )
    .or("30s"),
    Setting::new(
        "margin",
        CLERK,
        Kind::Duration("1s", "1h"),
        "How long a dispatch may go unseen before it is checked",
    )
    .internal(),
    Setting::new(
        "hold-after",
        WORKER | DEV,
        Kind::Duration("1s", "20m"),
        "Running time after which the lease guards a job, not the broker",
    )
    .or("30s"),
    Setting::new(
        "grace",
        SERVERS,
        Kind::Duration("0s", "24h"),
        "Time to drain on SIGTERM",
    )
    .or("30s"),
    Setting::new(
        "kill-grace",
        WORKER | DEV,
        Kind::Duration("0s", "1h"),
        "Time between SIGTERM and SIGKILL of a command",
    )
    .or("5s"),
    Setting::new(
        "window",
        CLERK | DEV,
        Kind::Count(1, 1_000_000),
        "Jobs of a queue on the broker, unstarted",
    )
    .or("2000"),
    Setting::new(
        "queue-cap",
        CLERK | DEV,
        Kind::Count(1, u64::MAX >> 1),
        "Unfinished jobs per queue before submissions are refused",
    ),
    Setting::new(
        "max-unfinished",
        CLERK | DEV,
        Kind::Count(1, u64::MAX >> 1),
        "Unfinished jobs per tenant before submissions are refused",
    ),
    Setting::new(
        "rate-submit",
        CLERK | DEV,
        Kind::Count(1, 1_000_000),
        "Submissions per second and key, on each clerk",
    ),
    Setting::new(
        "rate-other",
        CLERK | DEV,
        Kind::Count(1, 1_000_000),
        "Other requests per second and key, on each clerk",
    ),
    Setting::new(
        "held-max",
        CLERK | DEV,
        Kind::Count(0, 1_000_000),
        "Held requests before requests are answered at once",
    )
    .or("20000"),
    Setting::new(
        "cors-origins",
        CLERK | DEV,
        Kind::Names("ORIGIN,ORIGIN"),
        "Web pages that may call from a browser, such as https://app.example.com",
    ),
    Setting::new(
        "concurrency",
        WORKER | DEV,
        Kind::Count(1, 10_000),
        "Jobs of a queue at a time; the number of cores unless set",
    ),
    Setting::new(
        "clerk-user",
        WORKER | DEV,
        Kind::Text("USER"),
        "The broker user that control messages must carry",
    ),
    Setting::new(
        "health-listen",
        WORKER,
        Kind::Text("ADDR"),
        "Address that serves /healthz and /readyz; none unless set",
    ),
    Setting::new(
        "send-tenant",
        CLERK | DEV,
        Kind::Switch,
        "Sends the tenant's opaque id with each job",
    ),
    Setting::new(
        "webhook-allow",
        CLERK | DEV,
        Kind::Names("CIDR"),
        "Private networks that webhooks may reach, by plain http too",
    ),
    Setting::new(
        "start-timeout",
        SERVERS | STORE,
        Kind::Duration("0s", "1h"),
        "How long the start waits for store and broker",
    )
    .or("30s"),
    Setting::new(
        "log",
        SERVERS | STORE,
        Kind::Text("FILTER"),
        "What is logged: a level, or target=level,…",
    )
    .or("info"),
    Setting::new(
        "log-format",
        SERVERS | STORE,
        Kind::Word(&["text", "json"]),
        "Form of the log: text on a terminal, else json, unless set",
    ),
];

/// The setting with this name.
pub(crate) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    const fn new(name: &'static str, audience: u8, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            audience,
            kind,
            default: None,
            help,
            internal: false,
        }
    }

    const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Its environment variable.
    pub(crate) fn variable(&self) -> Option<String> {
        // CLERKWORK_QUEUE is what a command sees, and a command may start a worker.
        (self.name != "queue").then(|| {
            format!(
                "CLERKWORK_{}",
                self.name.to_ascii_uppercase().replace('-', "_")
            )
        })
    }

    /// The variables of others that are heeded where ours are not set.
    pub(crate) fn customary(&self) -> Option<&'static str> {
        match self.name {
            "store" => Some("DATABASE_URL"),
            "broker" => Some("AMQP_URL"),
            _ => None,
        }
    }

    /// The kind of value that a shell should complete.
    fn hint(&self) -> ValueHint {
        match self.name {
            "data" => ValueHint::DirPath,
            "url" | "store" | "broker" => ValueHint::Url,
            "worker" => ValueHint::CommandString,
            _ => ValueHint::Unknown,
        }
    }

    /// The flag.
    pub(crate) fn flag(&self) -> Arg {
        let mut help = self.help.to_owned();
        match self.kind {
            Kind::Duration(low, high) | Kind::Size(low, high) => {
                help.push_str(&format!(" ({low} to {high})"));
            }
            Kind::Word(words) => help.push_str(&format!(" ({})", words.join(" or "))),
            _ => {}
        }
        if let Some(default) = self.default {
            help.push_str(&format!(" [default: {default}]"));
        }
        let flag = Arg::new(self.name)
            .long(self.name)
            .help(help)
            .hide(self.internal)
            .hide_possible_values(true)
            .value_hint(self.hint())
            .help_heading("Settings");
        match self.kind {
            Kind::Text(value) | Kind::Secret(value) => flag.value_name(value),
            Kind::Duration(..) => flag.value_name("DURATION"),
            Kind::Size(..) => flag.value_name("SIZE"),
            Kind::Count(..) => flag.value_name("N"),
            Kind::Word(words) => flag.value_name("WORD").value_parser(Words(words)),
            Kind::Names(value) | Kind::Lines(value) => {
                flag.value_name(value).action(ArgAction::Append)
            }
            Kind::Switch => flag
                .value_name("on|off")
                .num_args(0..=1)
                .default_missing_value("on")
                .require_equals(true),
        }
    }
}

/// Tells shells the words of a flag to complete, and takes any: what is wrong is told with all else that is.
#[derive(Clone, Copy, Debug)]
struct Words(&'static [&'static str]);

impl TypedValueParser for Words {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, flag, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}
