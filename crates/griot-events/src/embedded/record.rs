//! A message as an event in the journal, and back. Pure.

use bytes::Bytes;
use griot_core::{EntityId, Publication, shard_of, stable_hash};
use griot_journal::{EventRecord, RecordedEvent};

use super::ledger::Entry;
use super::slice::Slice;
use crate::{BrokerError, Content, EVENT_NAME, Headers, MESSAGE_ID, Partition};

/// Slices of a topic. Part of the stored form: another number would part a key from its past.
pub(super) const PARTITIONS: u32 = 16;

/// The kind of the entities that hold messages; no entity of a user's has such a name.
pub(super) const TOPIC_KIND: &str = "griot.topic";

/// Key, headers and payload of a message together, at most.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// The name of the first pair of an event's metadata where the message has a key.
const KEY: &str = "key";
const NO_KEY: &str = "no key";

/// The longest name that an event in the journal is given.
const NAME_BYTES_MAX: usize = 128;

/// What is to be appended for a message. `turn` spreads those that have neither key nor id.
pub(super) fn entry(publication: Publication, turn: u32) -> Result<Entry, BrokerError> {
    let bytes = bytes_of(&publication);
    if bytes > MESSAGE_BYTES_MAX {
        return Err(BrokerError::Refused {
            what: "a message that is too large",
            reason: format!("{bytes} bytes, and {MESSAGE_BYTES_MAX} are taken: make it smaller"),
        });
    }
    let id = header(&publication, MESSAGE_ID).map(str::to_owned);
    let name = header(&publication, EVENT_NAME).filter(|name| name.len() <= NAME_BYTES_MAX);
    let name = name.unwrap_or("message").to_owned();
    let partition = match (&publication.key, &id) {
        (Some(text), _) | (None, Some(text)) => shard_of(stable_hash(text.as_bytes()), PARTITIONS),
        (None, None) => turn % PARTITIONS,
    };
    let entity = entity(&publication.topic, Partition(partition))?;
    let mut metadata = Vec::with_capacity(publication.headers.len() + 1);
    metadata.push(match publication.key {
        Some(key) => (KEY.to_owned(), key),
        None => (NO_KEY.to_owned(), String::new()),
    });
    metadata.extend(publication.headers);
    let event = EventRecord {
        name: name.into(),
        version: 1,
        tags: Vec::new(),
        payload: publication.payload,
    };
    Ok(Entry {
        entity,
        event,
        metadata,
        id,
    })
}

/// The message in an event of a slice.
pub(super) fn content(slice: &Slice, recorded: RecordedEvent, redelivered: u32) -> Content {
    let mut pairs = recorded.metadata.into_iter();
    let key = match pairs.next() {
        Some((name, key)) if name == KEY => Some(Bytes::from(key)),
        _ => None,
    };
    Content {
        topic: slice.topic.to_string(),
        key,
        headers: pairs.collect::<Headers>(),
        payload: recorded.event.payload,
        partition: slice.partition,
        offset: recorded.seq.get(),
        published_at: Some(recorded.at),
        redelivered,
    }
}

/// Where a slice of a topic is kept.
pub(super) fn entity(topic: &str, Partition(number): Partition) -> Result<EntityId, BrokerError> {
    let refused = |reason: String| BrokerError::Refused {
        what: "a topic of this name",
        reason,
    };
    if topic.contains(['*', '>']) {
        let reason = format!("{topic:?} is a pattern: publish to a topic");
        return Err(refused(reason));
    }
    EntityId::new(TOPIC_KIND, &format!("{topic}#{number}"))
        .map_err(|error| refused(error.to_string()))
}

/// The slice that an entity keeps.
pub(super) fn slice(entity: &EntityId) -> Option<Slice> {
    let (topic, number) = entity.id().rsplit_once('#')?;
    let partition = Partition(number.parse().ok()?);
    let topic = topic.into();
    Some(Slice { topic, partition })
}

pub(super) fn bytes_of(publication: &Publication) -> usize {
    let headers = publication.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    let key = publication.key.as_ref().map_or(0, String::len);
    publication.payload.len() + headers + key
}

fn header<'a>(publication: &'a Publication, name: &str) -> Option<&'a str> {
    let mut headers = publication.headers.iter();
    let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_of_a_key_never_changes() {
        let place = |key: &str| {
            let publication = Publication {
                topic: "orders#eu".to_owned(),
                key: Some(key.to_owned()),
                headers: Vec::new(),
                payload: Bytes::new(),
            };
            let entity = entry(publication, 0).unwrap().entity;
            let slice = slice(&entity).unwrap();
            assert_eq!(slice.topic.as_ref(), "orders#eu");
            slice.partition.0
        };
        let golden: Vec<_> = ["", "a", "alice", "CUST-001", "ü/ñ"].map(place).to_vec();
        assert_eq!(golden, [2, 15, 0, 0, 11]);
    }
}
