//! What a copy puts in place of events that are deleted, so that all others keep their sequences and offsets.

use bytes::Bytes;
use griot_core::{EntityId, Seq, Timestamp};

use crate::{Append, EventRecord};

/// What an append carries that only takes the room of deleted events.
const FILLER: (&str, &str) = ("griot-copy", "deleted");

/// An append that stands for deleted ones.
pub(super) fn filler(entity: EntityId, expected: Seq, at: Timestamp) -> Append {
    Append {
        entity,
        expected,
        at,
        events: Vec::new(),
        effects: Vec::new(),
        settled: Vec::new(),
        answer: None,
        metadata: vec![(FILLER.0.to_owned(), FILLER.1.to_owned())],
    }
}

pub(super) fn is_filler(append: &Append) -> bool {
    let mut metadata = append.metadata.iter();
    metadata.any(|(name, value)| (name.as_str(), value.as_str()) == FILLER)
}

/// Events in place of deleted ones, which are deleted as soon as all is there.
pub(super) fn deleted(count: u64) -> impl Iterator<Item = EventRecord> {
    (0..count).map(|_| in_place_of_deleted())
}

fn in_place_of_deleted() -> EventRecord {
    EventRecord {
        name: "Deleted".into(),
        version: 1,
        tags: Vec::new(),
        payload: Bytes::from_static(b"null"),
    }
}

pub(super) fn is_deleted(event: &EventRecord) -> bool {
    *event == in_place_of_deleted()
}
