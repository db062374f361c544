//! Marks: by what a message is known once it was handled.

use griot_core::{Timestamp, stable_hash};
use griot_events::{Event, MESSAGE_ID, Partition};
use uuid::Uuid;

/// The longest text that is stored as it is, so that every database has it in a key.
const TEXT_BYTES_MAX: usize = 512;

/// By what a message is known once it was handled.
///
/// A text that is too long for a key, or that not every database takes, is stored as its UUID (version 5) instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The topic it was published to; at most 512 bytes.
    pub topic: String,
    /// Its id; at most 512 bytes.
    pub message: String,
}

impl Mark {
    /// The mark of a message: its [`MESSAGE_ID`]. One without an id is known by its place: its partition and offset,
    /// when the broker took it, and a hash of its payload, so that nothing else that comes to lie there, in a topic
    /// that was made anew, is taken for it.
    pub fn of(message: &Event) -> Self {
        let place = || {
            let (Partition(partition), offset) = message.position();
            let at = message.published_at().map_or(0, Timestamp::as_micros);
            let hash = stable_hash(message.payload());
            format!("@{partition}/{offset}/{at}/{hash:016x}")
        };
        let id = message
            .headers()
            .get(MESSAGE_ID)
            .filter(|id| !id.is_empty());
        Self {
            topic: bounded(message.topic().to_owned()),
            message: bounded(id.map_or_else(place, str::to_owned)),
        }
    }

    /// What publications are called by that handlers of these messages answer, as long as they are handled together.
    pub(crate) fn name_of(projection: &str, messages: &[Event]) -> String {
        if let [message] = messages {
            let Self { topic, message } = Self::of(message);
            return format!("{projection}/{topic}/{message}");
        }
        let marks: Vec<Self> = messages.iter().map(Self::of).collect();
        // As they are told apart, whatever is in them.
        let marks = format!("{marks:?}");
        let together = Uuid::new_v5(&Uuid::NAMESPACE_OID, marks.as_bytes());
        format!("{projection}/{together}")
    }
}

fn bounded(text: String) -> String {
    if text.len() <= TEXT_BYTES_MAX && !text.contains('\0') {
        return text;
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use griot_events::{Content, Headers};

    use super::*;

    fn message(id: &str, offset: u64, payload: &'static str, at: i64) -> Event {
        let mut headers = Headers::default();
        if !id.is_empty() {
            headers.push(MESSAGE_ID, id.to_owned());
        }
        Event::new(Content {
            topic: "orders".to_owned(),
            key: None,
            headers,
            payload: payload.into(),
            partition: Partition(3),
            offset,
            published_at: Some(Timestamp::from_micros(at)),
            redelivered: 0,
        })
    }

    #[test]
    fn a_message_with_an_id_is_known_by_it_wherever_it_lies() {
        let mark = Mark::of(&message("m-1", 7, "a", 1));
        assert_eq!(mark, Mark::of(&message("m-1", 8, "b", 2)));
        assert_eq!((&*mark.topic, &*mark.message), ("orders", "m-1"));
        assert_ne!(mark, Mark::of(&message("m-2", 7, "a", 1)));
    }

    #[test]
    fn a_message_without_an_id_is_known_by_its_place_and_nothing_else_that_lies_there() {
        let mark = Mark::of(&message("", 7, "a", 1));
        assert_eq!(mark, Mark::of(&message("", 7, "a", 1).delivered_again()));
        for other in [("", 8, "a", 1), ("", 7, "b", 1), ("", 7, "a", 2)] {
            let (id, offset, payload, at) = other;
            assert_ne!(mark, Mark::of(&message(id, offset, payload, at)));
        }
    }

    #[test]
    fn what_no_key_can_hold_is_told_apart_still() {
        let long = "x".repeat(TEXT_BYTES_MAX);
        let marks = [
            long.clone() + "a",
            long + "b",
            "a\0b".to_owned(),
            "a\0c".to_owned(),
        ];
        let marks = marks.map(|id| Mark::of(&message(&id, 7, "a", 1)).message);
        for (at, mark) in marks.iter().enumerate() {
            assert!(mark.len() <= TEXT_BYTES_MAX && !mark.contains('\0'));
            assert!(!marks[..at].contains(mark));
        }
    }
}
