//! The message `replies`.

use bytes::Bytes;
use clerkwork_wire::Envelope;
use clerkwork_wire::v1::{Head, Reply, decode_replies, pack};
use proptest::prelude::*;

use crate::samples::{bodies, replies};

fn packed(body: impl Into<Bytes>) -> Envelope {
    Envelope {
        kind: Some("replies".to_owned()),
        body: body.into(),
        ..Envelope::default()
    }
}

fn reply(correlation: &str) -> Reply {
    let head = Head {
        correlation: correlation.to_owned(),
        ..Head::default()
    };
    Reply {
        head,
        body: Bytes::from_static(b"output"),
    }
}

proptest! {
    #[test]
    fn a_pack_is_read_as_it_was_packed(replies in proptest::collection::vec(replies(), 0..6)) {
        let read = decode_replies(&pack(replies.clone())).unwrap();
        prop_assert_eq!((read.replies, read.broken), (replies, None));
    }

    #[test]
    fn of_a_pack_cut_anywhere_what_stands_before_the_cut_counts(
        replies in proptest::collection::vec(replies(), 2..5),
        part in 0.0..1.0f64,
    ) {
        let whole = pack(replies.clone()).body;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place within the body")]
        let cut = (whole.len() as f64 * part) as usize;
        // Where each reply ends: a pack of the first few is a prefix of the whole.
        let ends: Vec<usize> = (0..replies.len())
            .scan(0, |at, which| {
                let head = serde_json::to_vec(&replies[which].head).unwrap().len();
                *at += 8 + head + replies[which].body.len();
                Some(*at)
            })
            .collect();
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let read = decode_replies(&packed(whole.slice(..cut))).unwrap();
        prop_assert_eq!(&read.replies[..], &replies[..kept]);
        prop_assert_eq!(read.broken.is_some(), cut > 0 && !ends.contains(&cut));
    }

    #[test]
    fn noise_after_good_replies_takes_none_of_them_away(noise in bodies()) {
        let good = vec![reply("a"), reply("b")];
        let mut body = pack(good.clone()).body.to_vec();
        body.extend(&noise);
        let read = decode_replies(&packed(body)).unwrap();
        prop_assert!(read.replies.starts_with(&good));
    }
}

#[test]
fn one_reply_alone_travels_as_a_reply() {
    assert_eq!(pack(vec![reply("a")]), reply("a").encode());
}

#[test]
fn a_head_that_is_no_head_breaks_the_pack_and_says_which() {
    let mut body = pack(vec![reply("a"), reply("b")]).body.to_vec();
    body.extend(5u32.to_be_bytes());
    body.extend(b"hello");
    body.extend(0u32.to_be_bytes());
    body.extend(&pack(vec![reply("c"), reply("d")]).body);
    let read = decode_replies(&packed(body)).unwrap();
    assert_eq!(read.replies, [reply("a"), reply("b")]);
    assert!(
        read.broken
            .unwrap()
            .starts_with("the head of reply 2 of the pack")
    );
}

#[test]
fn a_length_beyond_the_end_is_no_reason_to_reserve_memory() {
    let read = decode_replies(&packed(&b"\xff\xff\xff\xff{}"[..])).unwrap();
    assert_eq!(
        read.broken.as_deref(),
        Some("reply 0 of the pack is cut off")
    );
}

#[test]
fn members_of_a_head_that_nobody_knows_are_ignored() {
    let head = br#"{"correlation":"a","colour":"red","started-at":5}"#;
    let mut body = u32::try_from(head.len()).unwrap().to_be_bytes().to_vec();
    body.extend(head);
    body.extend([0, 0, 0, 0]);
    let read = decode_replies(&packed(body)).unwrap();
    assert_eq!(read.replies[0].head.correlation, "a");
    assert_eq!(read.replies[0].head.started_at, Some(5));
}
