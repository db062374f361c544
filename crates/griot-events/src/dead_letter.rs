//! What becomes of a message that cannot be handled: the same message on its dead-letter topic.

use std::fmt::Write as _;

use griot_core::Publication;

use crate::layer::DEAD;
use crate::{Event, MESSAGE_ID, Partition};

/// The header with the reason.
pub const DEAD_LETTER_REASON: &str = "dead-letter-reason";
/// The header with the number of attempts at handling it in its last delivery.
pub const DEAD_LETTER_ATTEMPTS: &str = "dead-letter-attempts";
/// The header with the topic it was published to.
pub const DEAD_LETTER_TOPIC: &str = "dead-letter-topic";
/// The header with its partition there.
pub const DEAD_LETTER_PARTITION: &str = "dead-letter-partition";
/// The header with its offset there.
pub const DEAD_LETTER_OFFSET: &str = "dead-letter-offset";
/// The header that marks a key that was not text, with the value `hex`.
pub const DEAD_LETTER_KEY: &str = "dead-letter-key";
/// The header that says how often it had been delivered before.
pub const DEAD_LETTER_REDELIVERED: &str = "dead-letter-redelivered";
/// The header with its own message id, where it had one.
pub const DEAD_LETTER_MESSAGE_ID: &str = "dead-letter-message-id";

/// The topic that dead letters of `topic` go to.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.{DEAD}")
}

/// The message as it goes to its dead-letter topic: payload, key and headers as they were, and beside
/// them what [`DeadLetters`](crate::layer::DeadLetters) lists.
///
/// Its message id is its own, made of the message's: given again, it is known. A key or a header that
/// is not text stands there in hexadecimal digits, the header under its name and `-hex`.
pub fn dead_letter(event: &Event, reason: &str) -> Publication {
    let mut headers = Vec::new();
    for (name, value) in event.headers().iter() {
        headers.push(match std::str::from_utf8(value) {
            Ok(text) if name.eq_ignore_ascii_case(MESSAGE_ID) => {
                (DEAD_LETTER_MESSAGE_ID.to_owned(), text.to_owned())
            }
            Ok(text) => (name.to_owned(), text.to_owned()),
            Err(_) => (format!("{name}-hex"), hex(value)),
        });
    }
    let key = event.key().map(|key| {
        if let Ok(text) = std::str::from_utf8(key) {
            return text.to_owned();
        }
        headers.push((DEAD_LETTER_KEY.to_owned(), "hex".to_owned()));
        hex(key)
    });
    let (Partition(partition), offset) = event.position();
    for (name, value) in [
        (DEAD_LETTER_REASON, reason.replace(char::is_control, " ")),
        (DEAD_LETTER_ATTEMPTS, event.attempts().to_string()),
        (DEAD_LETTER_REDELIVERED, event.redelivered().to_string()),
        (DEAD_LETTER_TOPIC, event.topic().to_owned()),
        (DEAD_LETTER_PARTITION, partition.to_string()),
        (DEAD_LETTER_OFFSET, offset.to_string()),
        (MESSAGE_ID, format!("dead/{}", event.id())),
    ] {
        headers.push((name.to_owned(), value));
    }
    Publication {
        topic: dead_letter_topic(event.topic()),
        key,
        headers,
        payload: event.payload().clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Content, Headers};

    #[test]
    fn a_dead_letter_is_the_message_with_its_cause_attempts_and_origin() {
        let mut headers = Headers::default();
        headers.push("trace", "abc");
        headers.push(MESSAGE_ID, "m-1");
        headers.push("raw", Bytes::from_static(&[0xff, 0x01]));
        let event = Event::new(Content {
            topic: "orders".to_owned(),
            key: Some(Bytes::from_static(b"CUST-001")),
            headers,
            payload: Bytes::from_static(b"{}"),
            partition: Partition(3),
            offset: 7,
            published_at: None,
            redelivered: 0,
        });
        let letter = dead_letter(&event.next_attempt(), "no such\norder");
        assert_eq!(letter.topic, "orders.dead");
        assert_eq!(letter.key.as_deref(), Some("CUST-001"));
        assert_eq!(letter.payload, "{}");
        let header = |name: &str| {
            let mut found = letter.headers.iter().filter(|(other, _)| other == name);
            let value = found.next().map(|(_, value)| value.as_str());
            assert!(found.next().is_none(), "{name} stands there once");
            value
        };
        assert_eq!(header("trace"), Some("abc"));
        assert_eq!(header("raw-hex"), Some("ff01"));
        assert_eq!(header(DEAD_LETTER_REASON), Some("no such order"));
        assert_eq!(header(DEAD_LETTER_ATTEMPTS), Some("2"));
        assert_eq!(header(DEAD_LETTER_TOPIC), Some("orders"));
        assert_eq!(header(DEAD_LETTER_PARTITION), Some("3"));
        assert_eq!(header(DEAD_LETTER_OFFSET), Some("7"));
        assert_eq!(header(DEAD_LETTER_MESSAGE_ID), Some("m-1"));
        assert_ne!(header(MESSAGE_ID), Some("m-1"));
        let again = dead_letter(&event, "no such\norder");
        let id = again.headers.iter().find(|(name, _)| name == MESSAGE_ID);
        assert_eq!(id.map(|(_, id)| id.as_str()), header(MESSAGE_ID));
    }
}
