//! What lies in the columns `body`: steps of the log, appends and effects, in Protocol Buffers. Pure.
//!
//! Fields may be added; what stands here keeps its number and its meaning.

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Publication, Seq, Timestamp};
use griot_journal::{Answer, Append, EventRecord};
use prost::{Message, Oneof};

use crate::CassandraError;

/// What happened to the journal, in one step.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Step {
    #[prost(oneof = "Deed", tags = "1, 2, 3")]
    pub(crate) deed: Option<Deed>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Deed {
    #[prost(message, tag = "1")]
    Appends(Appends),
    #[prost(message, tag = "2")]
    Claim(Claim),
    #[prost(message, tag = "3")]
    Deletion(Deletion),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Appends {
    #[prost(message, repeated, tag = "1")]
    pub(crate) slots: Vec<Slot>,
}

/// A shard's new epoch.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Claim {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(uint32, tag = "2")]
    pub(crate) number: u32,
    #[prost(uint64, tag = "3")]
    pub(crate) epoch: u64,
}

/// An entity's events up to a sequence are gone.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Deletion {
    #[prost(string, tag = "1")]
    pub(crate) entity: String,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
}

/// An append in the log: what others are placed by, and its body, as a column `body` has it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Slot {
    #[prost(string, tag = "1")]
    pub(crate) entity: String,
    #[prost(uint64, tag = "2")]
    pub(crate) expected: u64,
    /// How many events it was given.
    #[prost(uint64, tag = "3")]
    pub(crate) events: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) body: Bytes,
}

/// An append, without its first events where they are deleted.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredAppend {
    #[prost(sint64, tag = "1")]
    pub(crate) at: i64,
    /// How many of its events are deleted.
    #[prost(uint64, tag = "2")]
    pub(crate) gone: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) events: Vec<StoredEvent>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) effects: Vec<StoredEffect>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) settled: Vec<StoredId>,
    #[prost(message, optional, tag = "6")]
    pub(crate) answer: Option<StoredAnswer>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) metadata: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredEvent {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(uint32, tag = "2")]
    version: u32,
    #[prost(string, repeated, tag = "3")]
    tags: Vec<String>,
    #[prost(bytes = "bytes", tag = "4")]
    payload: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredId {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint32, tag = "2")]
    n: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredEffect {
    #[prost(message, optional, tag = "1")]
    id: Option<StoredId>,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
    #[prost(oneof = "What", tags = "3, 4, 5, 6")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    #[prost(string, tag = "3")]
    Call(String),
    #[prost(message, tag = "4")]
    Timer(StoredTimer),
    #[prost(message, tag = "5")]
    Message(StoredMessage),
    #[prost(message, tag = "6")]
    Publication(StoredPublication),
}

#[derive(Clone, PartialEq, Message)]
struct StoredTimer {
    #[prost(sint64, tag = "1")]
    due: i64,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredMessage {
    #[prost(string, tag = "1")]
    to: String,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredPublication {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(string, optional, tag = "2")]
    key: Option<String>,
    #[prost(message, repeated, tag = "3")]
    headers: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredAnswer {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(fixed64, tag = "2")]
    pub(crate) fingerprint: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) reply: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

pub(crate) fn stored(append: &Append) -> StoredAppend {
    let events = append.events.iter().map(|event| StoredEvent {
        name: event.name.to_string(),
        version: event.version.into(),
        tags: event.tags.clone(),
        payload: event.payload.clone(),
    });
    let answer = append.answer.as_ref().map(|answer| StoredAnswer {
        key: answer.key.clone(),
        fingerprint: answer.fingerprint,
        reply: answer.reply.clone(),
    });
    StoredAppend {
        at: append.at.as_micros(),
        gone: 0,
        events: events.collect(),
        effects: append.effects.iter().map(stored_effect).collect(),
        settled: append.settled.iter().copied().map(stored_id).collect(),
        answer,
        metadata: stored_pairs(&append.metadata),
    }
}

fn stored_id(id: EffectId) -> StoredId {
    StoredId {
        seq: id.seq.get(),
        n: id.n,
    }
}

fn stored_effect(record: &EffectRecord) -> StoredEffect {
    let (payload, what) = match &record.effect {
        Effect::Call { name, payload } => (payload.clone(), Some(What::Call(name.to_string()))),
        Effect::Timer { due, name, payload } => {
            let (due, name) = (due.as_micros(), name.to_string());
            (
                payload.clone(),
                Some(What::Timer(StoredTimer { due, name })),
            )
        }
        Effect::Message { to, name, payload } => {
            let (to, name) = (to.to_string(), name.to_string());
            (
                payload.clone(),
                Some(What::Message(StoredMessage { to, name })),
            )
        }
        Effect::Publication(publication) => {
            let what = StoredPublication {
                topic: publication.topic.clone(),
                key: publication.key.clone(),
                headers: stored_pairs(&publication.headers),
            };
            (publication.payload.clone(), Some(What::Publication(what)))
        }
        // A kind that is newer than this: it would be read as one that nobody wrote.
        _ => (Bytes::new(), None),
    };
    StoredEffect {
        id: Some(stored_id(record.id)),
        payload,
        what,
    }
}

fn stored_pairs(pairs: &[(String, String)]) -> Vec<Pair> {
    let pair = |(name, value): &(String, String)| Pair {
        name: name.clone(),
        value: value.clone(),
    };
    pairs.iter().map(pair).collect()
}

impl StoredAppend {
    /// The same without its first events, as many as `gone`.
    pub(crate) fn without(mut self, gone: u64) -> Self {
        let more = gone.saturating_sub(self.gone);
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        let more = more.min(self.events.len());
        self.events.drain(..more);
        self.gone = self.gone.max(gone);
        self
    }

    /// The append as it is kept. Its first events are missing where they are deleted, as if it had been given without.
    pub(crate) fn append(self, entity: EntityId, expected: u64) -> Result<Append, CassandraError> {
        let events: Result<_, _> = self.events.into_iter().map(event).collect();
        let effects: Result<_, _> = self.effects.into_iter().map(effect).collect();
        Ok(Append {
            entity,
            expected: Seq(expected.saturating_add(self.gone)),
            at: Timestamp::from_micros(self.at),
            events: events?,
            effects: effects?,
            settled: self.settled.iter().map(StoredId::id).collect(),
            answer: self.answer.map(|answer| Answer {
                key: answer.key,
                fingerprint: answer.fingerprint,
                reply: answer.reply,
            }),
            metadata: pairs(self.metadata),
        })
    }
}

impl StoredId {
    pub(crate) fn id(&self) -> EffectId {
        EffectId {
            seq: Seq(self.seq),
            n: self.n,
        }
    }
}

impl StoredEffect {
    pub(crate) fn id(&self) -> EffectId {
        self.id.as_ref().map_or(
            EffectId {
                seq: Seq::ZERO,
                n: 0,
            },
            StoredId::id,
        )
    }
}

fn event(stored: StoredEvent) -> Result<EventRecord, CassandraError> {
    let version = u16::try_from(stored.version);
    Ok(EventRecord {
        name: stored.name.into(),
        version: version.map_err(|_| foreign("an event's version"))?,
        tags: stored.tags,
        payload: stored.payload,
    })
}

pub(crate) fn effect(stored: StoredEffect) -> Result<EffectRecord, CassandraError> {
    let (id, payload) = (stored.id(), stored.payload);
    let effect = match stored.what.ok_or_else(|| foreign("an effect"))? {
        What::Call(name) => Effect::Call {
            name: name.into(),
            payload,
        },
        What::Timer(timer) => Effect::Timer {
            due: Timestamp::from_micros(timer.due),
            name: timer.name.into(),
            payload,
        },
        What::Message(message) => Effect::Message {
            to: entity(&message.to)?,
            name: message.name.into(),
            payload,
        },
        What::Publication(publication) => Effect::Publication(Publication {
            topic: publication.topic,
            key: publication.key,
            headers: pairs(publication.headers),
            payload,
        }),
    };
    Ok(EffectRecord { id, effect })
}

fn pairs(stored: Vec<Pair>) -> Vec<(String, String)> {
    let pair = |pair: Pair| (pair.name, pair.value);
    stored.into_iter().map(pair).collect()
}

pub(crate) fn entity(name: &str) -> Result<EntityId, CassandraError> {
    let entity = name.parse();
    entity.map_err(|_| foreign(&format!("the entity {name:?}")))
}

pub(crate) fn decoded<M: Message + Default>(bytes: Bytes, what: &str) -> Result<M, CassandraError> {
    M::decode(bytes).map_err(|_| foreign(what))
}

pub(crate) fn foreign(what: &str) -> CassandraError {
    let what = what.to_owned();
    CassandraError::Foreign { what }
}
