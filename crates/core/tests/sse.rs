//! What the parser of event streams claims, after the text of the WHATWG.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::time::Duration;

use clerkwork_core::sse::{Event, Parser};
use proptest::prelude::*;

fn read(stream: &[u8]) -> Vec<(String, String)> {
    let events = Parser::new(1024).feed(stream);
    events.into_iter().map(told).collect()
}

fn told(event: Event) -> (String, String) {
    (event.kind, String::from_utf8(event.data).unwrap())
}

fn message(data: &str) -> (String, String) {
    ("message".to_owned(), data.to_owned())
}

#[test]
fn lines_end_with_a_line_feed_a_carriage_return_or_both() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!("data: a{end}data: b{end}{end}data: c{end}{end}");
        assert_eq!(
            read(stream.as_bytes()),
            [message("a\nb"), message("c")],
            "{end:?}"
        );
    }
}

#[test]
fn the_examples_of_the_standard_are_read_as_it_says() {
    let stocks = "data: YHOO\ndata: +2\ndata: 10\n\n";
    assert_eq!(read(stocks.as_bytes()), [message("YHOO\n+2\n10")]);
    let four =
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event";
    let events = Parser::new(1024).feed(four.as_bytes());
    assert_eq!((events[0].id.as_str(), events.len()), ("1", 2));
    assert_eq!(events[1].id, "", "an id without a value resets it");
    let empty = "data\n\ndata\ndata\n\ndata:";
    assert_eq!(read(empty.as_bytes()), [message(""), message("\n")]);
    assert_eq!(
        read(b"data:test\n\ndata: test\n\n"),
        [message("test"), message("test")]
    );
}

#[test]
fn a_mark_of_the_byte_order_is_left_out_at_the_begin_only() {
    assert_eq!(read(b"\xEF\xBB\xBFdata: a\n\n"), [message("a")]);
    let later = read(b"data: a\n\n\xEF\xBB\xBFdata: b\n\n");
    assert_eq!(later, [message("a")], "there it is part of a name");
}

#[test]
fn comments_and_unknown_fields_and_events_without_data_are_nothing() {
    let stream = ": data: a\nevent: x\n\nDATA: b\n data: c\ndatum: d\n\ndata: e\n\n";
    assert_eq!(read(stream.as_bytes()), [message("e")]);
}

#[test]
fn a_kind_counts_for_its_event_alone_and_an_id_for_all_that_follow() {
    let stream = "event: progress\nid: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\n";
    let events = Parser::new(1024).feed(stream.as_bytes());
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.kind.as_str(), event.id.as_str()))
        .collect();
    assert_eq!(
        seen,
        [("progress", "1"), ("message", "1"), ("message", "2")]
    );
}

#[test]
fn an_id_with_a_nul_and_a_retry_that_is_no_number_are_ignored() {
    let mut parser = Parser::new(1024);
    let events = parser.feed(b"id: 1\nid: a\0b\nretry: 1s\nretry: 2000\nretry: -1\ndata: x\n\n");
    assert_eq!(events[0].id, "1");
    assert_eq!(parser.retry(), Some(Duration::from_secs(2)));
}

#[test]
fn ids_and_kinds_beyond_a_kibibyte_are_ignored() {
    let (fits, long) = ("i".repeat(1024), "i".repeat(1025));
    let stream = format!(
        "id: {fits}\nevent: {fits}\ndata: 1\n\nid: {long}\nevent: {long}\ndata: 2\n\ndata: 3\n\n"
    );
    let events = Parser::new(64 * 1024).feed(stream.as_bytes());
    assert!(events.iter().all(|event| event.id == fits));
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, [fits.as_str(), "message", "message"]);
}

#[test]
fn an_event_over_the_limit_says_so_and_the_next_is_whole() {
    let mut parser = Parser::new(4);
    let stream = [
        b"event: output\ndata: ".as_slice(),
        &vec![b'x'; 5000],
        b"\ndata: y",
    ]
    .concat();
    assert!(parser.feed(&stream).is_empty());
    assert_eq!(parser.overflowing(), Some("output"));
    let events = parser.feed(b"\n\ndata: abcd\n\ndata: abcde\n\n");
    assert_eq!(
        events.iter().map(|event| event.cut).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(events[0].data.len(), 4);
    assert_eq!(events[1].data, b"abcd");
    assert_eq!(parser.overflowing(), None);
}

#[test]
fn bytes_that_are_no_text_are_handed_on_as_they_are() {
    let events = Parser::new(16).feed(b"data: \xff\n\n");
    assert_eq!(events[0].data, b"\xff");
}

proptest! {
    #[test]
    fn how_a_stream_is_cut_into_pieces_changes_nothing(
        lines in proptest::collection::vec("(data|event|id|retry|:|)(:| |: |)[a-z0-9\u{e4}]{0,3}(\r|\n|\r\n)", 0..30),
        size in 1usize..7,
    ) {
        let stream = lines.concat();
        let whole = Parser::new(5).feed(stream.as_bytes());
        let mut parser = Parser::new(5);
        let pieces: Vec<_> = stream.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece)).collect();
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn no_bytes_whatever_are_kept_beyond_the_limit(stream in proptest::collection::vec(any::<u8>(), 0..5000)) {
        for event in Parser::new(10).feed(&stream) {
            prop_assert!(event.data.len() <= 10);
        }
    }
}
