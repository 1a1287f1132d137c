//! Envelopes to AMQP properties and back.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::{Envelope, HeaderValue, Message};

/// What `delivery_mode` says of a message that survives a restart of the broker, and of one that
/// does not.
const DURABLE: u8 = 2;
const TRANSIENT: u8 = 1;

/// A name as AMQP wants it; `None` if it is longer than 255 bytes, which no message that
/// [`Message::fits`] has.
pub(super) fn short(name: &str) -> Option<ShortString> {
    ShortString::try_new(name).ok()
}

/// The properties of a message, its id excepted: that one is for who publishes.
pub(super) fn properties(message: &Message) -> BasicProperties {
    let envelope = &message.envelope;
    let mode = if message.durable { DURABLE } else { TRANSIENT };
    let mut properties = BasicProperties::default().with_delivery_mode(mode);
    if let Some(value) = envelope.content_type.as_deref().and_then(short) {
        properties = properties.with_content_type(value);
    }
    if let Some(value) = envelope.correlation_id.as_deref().and_then(short) {
        properties = properties.with_correlation_id(value);
    }
    if let Some(value) = envelope.reply_to.as_deref().and_then(short) {
        properties = properties.with_reply_to(value);
    }
    if let Some(value) = envelope.kind.as_deref().and_then(short) {
        properties = properties.with_type(value);
    }
    if let Some(value) = envelope.user_id.as_deref().and_then(short) {
        properties = properties.with_user_id(value);
    }
    if !envelope.headers.is_empty() {
        properties = properties.with_headers(table(envelope));
    }
    properties
}

/// What was delivered.
pub(super) fn envelope(properties: &BasicProperties, body: Vec<u8>) -> Envelope {
    let text = |name: &Option<ShortString>| name.as_ref().map(ToString::to_string);
    let mut envelope = Envelope {
        content_type: text(properties.content_type()),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        message_id: text(properties.message_id()),
        kind: text(properties.kind()),
        user_id: text(properties.user_id()),
        body: Bytes::from(body),
        ..Envelope::default()
    };
    for (name, value) in properties.headers().iter().flat_map(|table| table.inner()) {
        if let Some(value) = header(value) {
            envelope.headers.set(name.as_str(), value);
        }
    }
    envelope
}

fn table(envelope: &Envelope) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in envelope.headers.iter() {
        let value = match value {
            HeaderValue::Int(int) => AMQPValue::LongLongInt(*int),
            HeaderValue::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            HeaderValue::Bool(flag) => AMQPValue::Boolean(*flag),
        };
        if let Some(name) = short(name) {
            table.insert(name, value);
        }
    }
    table
}

/// A header's value, if it is of a kind that we write or that other clients use for the same.
fn header(value: &AMQPValue) -> Option<HeaderValue> {
    Some(match value {
        AMQPValue::Boolean(flag) => HeaderValue::Bool(*flag),
        AMQPValue::ShortShortInt(int) => HeaderValue::Int((*int).into()),
        AMQPValue::ShortShortUInt(int) => HeaderValue::Int((*int).into()),
        AMQPValue::ShortInt(int) => HeaderValue::Int((*int).into()),
        AMQPValue::ShortUInt(int) => HeaderValue::Int((*int).into()),
        AMQPValue::LongInt(int) => HeaderValue::Int((*int).into()),
        AMQPValue::LongUInt(int) => HeaderValue::Int((*int).into()),
        AMQPValue::LongLongInt(int) => HeaderValue::Int(*int),
        AMQPValue::Timestamp(time) => HeaderValue::Int(i64::try_from(*time).ok()?),
        AMQPValue::ShortString(text) => HeaderValue::Text(text.to_string()),
        AMQPValue::LongString(text) => {
            HeaderValue::Text(std::str::from_utf8(text.as_bytes()).ok()?.to_owned())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_other_kinds_and_text_that_is_not_utf_8_are_ignored() {
        let mut table = FieldTable::default();
        let mut put = |name: &str, value| {
            table.insert(ShortString::from(name), value);
        };
        put("byte", AMQPValue::ShortShortUInt(200));
        put("time", AMQPValue::Timestamp(7));
        put("far", AMQPValue::Timestamp(u64::MAX));
        put("float", AMQPValue::Double(0.5));
        put(
            "broken",
            AMQPValue::LongString(LongString::from(vec![0xff])),
        );
        put("void", AMQPValue::Void);
        let properties = BasicProperties::default().with_headers(table);
        let headers = envelope(&properties, Vec::new()).headers;
        assert_eq!(headers.int("byte"), Some(200));
        assert_eq!(headers.int("time"), Some(7));
        assert_eq!(headers.len(), 2);
    }
}
