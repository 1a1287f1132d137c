//! Commands as workers: what goes in, what comes out, what they see.

use std::path::Path;

use clerkwork_core::{Failure, Retry, event};
use clerkwork_wire::v1::EventKind;
use clerkwork_worker::Command;

use crate::shop::{Shop, sh};
use crate::support::{failure, job, options, text};

fn detail(outcome: event::Reply) -> String {
    failure(outcome).0.detail.unwrap_or_default()
}

fn media_type(outcome: &event::Reply) -> &str {
    match outcome {
        event::Reply::Succeeded { media_type, .. } => media_type,
        other => panic!("no success: {other:?}"),
    }
}

#[tokio::test]
async fn the_input_is_stdin_and_stdout_is_the_output_byte_for_byte() {
    let mut shop = Shop::open("cat").await;
    let bytes: Vec<u8> = (0..=255u8).cycle().take(1_000_000).collect();
    let event::Reply::Succeeded { output, .. } = shop.run(bytes.clone()).await else {
        panic!("no success")
    };
    assert!(output == bytes);
    shop.working.stop().await;
}

#[tokio::test]
async fn the_media_type_of_the_output_is_detected_or_set() {
    let mut shop = Shop::open("cat").await;
    assert_eq!(
        media_type(&shop.run(r#"{"a": 1e999}"#).await),
        "application/json"
    );
    assert_eq!(
        media_type(&shop.run("grüezi").await),
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        media_type(&shop.run(&b"\xff\x00"[..]).await),
        "application/octet-stream"
    );
    shop.working.stop().await;

    let pdf = Command {
        output_type: Some("application/pdf".to_owned()),
        ..sh("cat")
    };
    let mut shop = Shop::with(pdf, options("x")).await;
    assert_eq!(media_type(&shop.run("{}").await), "application/pdf");
    shop.working.stop().await;
}

#[tokio::test]
async fn exit_codes_say_whether_to_retry() {
    let mut shop = Shop::open("read code; exit $code").await;
    for (code, expected) in [
        (75, Retry::Policy),
        (1, Retry::Policy),
        (127, Retry::Policy),
        (65, Retry::Never),
        (64, Retry::Never),
    ] {
        let (failure, retry) = failure(shop.run(format!("{code}\n")).await);
        assert_eq!(retry, expected, "{code}");
        assert_eq!(failure.kind, Failure::HANDLER_ERROR);
        assert_eq!(
            failure.data.unwrap().get(),
            format!("{{\"exit_code\":{code}}}")
        );
        assert!(failure.detail.unwrap().contains(&code.to_string()));
    }
    assert!(matches!(
        shop.run("0\n").await,
        event::Reply::Succeeded { .. }
    ));
    shop.working.stop().await;
}

#[tokio::test]
async fn a_signal_is_a_failure_by_policy() {
    let mut shop = Shop::open("kill -SEGV $$").await;
    let (failure, retry) = failure(shop.run("").await);
    assert_eq!(retry, Retry::Policy);
    assert_eq!(failure.data.unwrap().get(), r#"{"signal":11}"#);
    shop.working.stop().await;
}

#[tokio::test]
async fn the_end_of_stderr_is_the_detail() {
    let mut shop = Shop::open("seq 1 5000 >&2; echo the end >&2; exit 1").await;
    let detail = detail(shop.run("").await);
    assert!(detail.ends_with("4999\n5000\nthe end"), "{detail}");
    assert!(detail.len() <= 8 * 1024 && detail.len() > 8 * 1024 - 8);
    shop.working.stop().await;
}

#[tokio::test]
async fn lines_of_stderr_are_log_events_of_level_info() {
    let mut shop = Shop::open("echo one >&2; head -c 20000 /dev/zero | tr '\\0' x >&2").await;
    shop.run("").await;
    let events = shop.hear(2).await;
    assert!(
        events
            .iter()
            .all(|(kind, it)| *kind == EventKind::Log && it["level"] == "info")
    );
    assert_eq!(events[0].1["message"], "one");
    assert_eq!(events[1].1["message"].as_str().unwrap().len(), 8 * 1024);
    shop.working.stop().await;
}

#[tokio::test]
async fn a_carriage_return_ends_a_line_and_the_detail_keeps_the_last_of_them() {
    let script = r"printf 'begin\n10 %%\r20 %%\r\n' >&2; printf '1 %%\r2 %%\r' >&2; exit 1";
    let mut shop = Shop::open(script).await;
    assert_eq!(detail(shop.run("").await), "begin\n20 %\n2 %");
    let events = shop.hear(5).await;
    let lines: Vec<_> = events.iter().map(|(_, it)| it["message"].clone()).collect();
    assert_eq!(lines, ["begin", "10 %", "20 %", "1 %", "2 %"]);
    shop.working.stop().await;
}

#[tokio::test]
async fn lines_on_file_descriptor_3_are_events() {
    let script = r#"
        echo 'progress 0.4 page 3 of 7' >&3
        echo 'gibberish' >&3
        echo 'progress 7 far' >&3
        echo 'log warn low on memory' >&3
        echo 'chunk {"any":"json"}' >&3
        printf 'chunk [2]' >&3
        echo done"#;
    let mut shop = Shop::open(script).await;
    assert_eq!(text(&shop.run("").await), "done\n");
    let events = shop.hear(4).await;
    let kinds: Vec<_> = events.iter().map(|(kind, _)| *kind).collect();
    use EventKind::{Chunk, Log, Progress};
    assert_eq!(kinds, [Progress, Log, Chunk, Chunk]);
    assert_eq!(events[0].1["fraction"], 0.4);
    assert_eq!(events[0].1["message"], "page 3 of 7");
    assert_eq!(events[1].1["level"], "warn");
    assert_eq!(events[2].1["data"]["any"], "json");
    assert_eq!(
        (&events[3].1["index"], &events[3].1["data"][0]),
        (&1.into(), &2.into())
    );
    let seqs = shop
        .clerk
        .heard
        .iter()
        .flat_map(|report| &report.events)
        .map(|event| event.seq);
    assert!(seqs.eq(1..=4));
    shop.working.stop().await;
}

#[tokio::test]
async fn a_command_may_say_when_to_retry() {
    let mut shop = Shop::open("echo retry-after 30 >&3; exit 75").await;
    assert_eq!(failure(shop.run("").await).1, Retry::AfterMs(30_000));
    shop.working.stop().await;
    let mut shop = Shop::open("echo retry-after 30 >&3; exit 65").await;
    assert_eq!(failure(shop.run("").await).1, Retry::Never);
    shop.working.stop().await;
}

#[tokio::test]
async fn the_environment_is_cleared_but_for_a_short_list() {
    let mut shop = Shop::open("env").await;
    let submission = job(&shop.clerk.names, "");
    shop.publish(&submission).await;
    let outcome = shop.clerk.outcome(&submission).await;
    let mut seen: Vec<_> = text(&outcome).lines().collect();
    seen.retain(|line| {
        let name = line.split('=').next().unwrap();
        // `sh` sets the last three itself.
        let passed = [
            "PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "PWD", "SHLVL", "_",
        ];
        !passed.contains(&name) && !name.starts_with("LC_")
    });
    seen.sort_unstable();
    let id = format!("CLERKWORK_JOB_ID={}", submission.job);
    assert_eq!(seen[0], "CLERKWORK_ATTEMPT=1");
    let deadline = seen[1].strip_prefix("CLERKWORK_DEADLINE_MS=").unwrap();
    assert!(deadline.parse::<i64>().unwrap() > 1_763_900_000_000);
    assert_eq!(seen[2..], [id.as_str(), "CLERKWORK_QUEUE=q"]);
    shop.working.stop().await;

    // Cargo sets this one for every test.
    let named = Command {
        env: vec!["CARGO_PKG_NAME".to_owned()],
        ..sh("echo $CARGO_PKG_NAME")
    };
    let mut shop = Shop::with(named, options("x")).await;
    assert_eq!(text(&shop.run("").await), "clerkwork-worker\n");
    shop.working.stop().await;
}

#[tokio::test]
async fn the_trace_is_handed_on() {
    let mut shop = Shop::open("echo $TRACEPARENT").await;
    let mut submission = job(&shop.clerk.names, "");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    submission.wire.trace = Some(clerkwork_core::Trace {
        parent: parent.to_owned(),
        state: None,
    });
    shop.publish(&submission).await;
    assert_eq!(text(&shop.clerk.outcome(&submission).await).trim(), parent);
    shop.working.stop().await;
}

#[tokio::test]
async fn each_attempt_has_a_working_folder_of_its_own_that_is_removed_afterwards() {
    let mut shop = Shop::open("pwd; stat -c %a .; touch file; mkdir -p a/b").await;
    let mut folders = Vec::new();
    for _ in 0..2 {
        let outcome = shop.run("").await;
        let (folder, mode) = text(&outcome).trim().split_once('\n').unwrap();
        assert_eq!(mode, "700");
        assert!(!Path::new(folder).exists());
        folders.push(folder.to_owned());
    }
    assert_ne!(folders[0], folders[1]);
    shop.working.stop().await;
}

#[tokio::test]
async fn a_large_input_that_the_command_does_not_read_is_no_error() {
    let mut shop = Shop::open("echo ok").await;
    assert_eq!(text(&shop.run(vec![b'x'; 3_000_000]).await), "ok\n");
    shop.working.stop().await;
}

#[tokio::test]
async fn nothing_of_an_input_is_ever_a_word_of_a_command() {
    let mut shop = Shop::with(
        Command::new([
            "sh",
            "-c",
            "echo $#; printf '%s|' \"$@\"; cat",
            "name",
            "fixed",
        ]),
        options("x"),
    )
    .await;
    let long = "a".repeat(1_000_000);
    let corpus = [
        "$(id)",
        "`id`",
        ";id",
        "| id",
        "&& id",
        "-oProxyCommand=id",
        "--",
        "\n",
        "a\0b",
        "@/etc/passwd",
        "../../etc/passwd",
        "$PATH",
        "%s%n",
        "'",
        "\"",
        "\\",
        "{\"LD_PRELOAD\":\"/tmp/x.so\"}",
        &long,
    ];
    for input in corpus {
        let outcome = shop.run(input.to_owned()).await;
        assert!(
            text(&outcome) == format!("1\nfixed|{input}"),
            "{}",
            &input[..input.len().min(40)]
        );
    }
    shop.working.stop().await;
}
