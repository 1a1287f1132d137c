//! Messages between clerks and workers: whatever arrives is read or refused, and what was read says
//! the same when it is written and read again.

use std::fmt::Debug;

use clerkwork_wire::Envelope;
use clerkwork_wire::v1::{self, Control, Job, Notice, Refused, Report};

/// The bytes as a message: lines `property: value` or `header = value`, an empty line, the body.
fn envelope(data: &[u8]) -> Envelope {
    let split = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 2..]));
    let mut envelope = Envelope {
        body: body.to_vec().into(),
        ..Envelope::default()
    };
    for line in String::from_utf8_lossy(head).lines() {
        if let Some((key, value)) = line.split_once(": ") {
            let slot = match key {
                "content_type" => &mut envelope.content_type,
                "correlation_id" => &mut envelope.correlation_id,
                "reply_to" => &mut envelope.reply_to,
                "message_id" => &mut envelope.message_id,
                "type" => &mut envelope.kind,
                _ => continue,
            };
            *slot = Some(value.to_owned());
        } else if let Some((name, value)) = line.split_once(" = ") {
            match (value.parse::<i64>(), value.parse::<bool>()) {
                (Ok(number), _) => envelope.headers.set(name, number),
                (_, Ok(flag)) => envelope.headers.set(name, flag),
                _ => envelope.headers.set(name, value),
            }
        }
    }
    envelope
}

/// Reading, writing and reading again comes to the same message.
fn steady<T>(
    data: &[u8],
    decode: impl Fn(&Envelope) -> Result<T, Refused>,
    encode: impl Fn(T) -> Envelope,
) {
    let Ok(read) = decode(&envelope(data)) else {
        return;
    };
    let written = encode(read);
    let again =
        decode(&written).unwrap_or_else(|why| panic!("{written:?} is ours and refused: {why}"));
    same(&encode(again), &written);
}

fn same<T: PartialEq + Debug>(left: &T, right: &T) {
    assert!(left == right, "{left:?}\nis not\n{right:?}");
}

pub(crate) fn job(data: &[u8]) {
    steady(data, Job::decode, Job::encode);
}

pub(crate) fn report(data: &[u8]) {
    steady(data, Report::decode, |report| report.encode());
}

pub(crate) fn notice(data: &[u8]) {
    steady(data, Notice::decode, |notice| notice.encode());
}

pub(crate) fn control(data: &[u8]) {
    steady(data, Control::decode, |control| control.encode());
}

/// Also: every reply of a pack has an outcome or a reason why not, and what is packed again is whole.
pub(crate) fn replies(data: &[u8]) {
    let Ok(read) = v1::decode_replies(&envelope(data)) else {
        return;
    };
    for reply in &read.replies {
        let _ = reply.outcome(1);
        let _ = (reply.events(), reply.started_at(), reply.size());
    }
    let again = v1::decode_replies(&v1::pack(read.replies.clone())).expect("a pack of ours");
    same(&again.broken, &None);
    same(&again.replies, &read.replies);
}
