//! What goes into a journal, and what comes back.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use griot_core::{EffectId, EffectRecord, EntityId, Epoch, Offset, Seq, Timestamp};

/// A slice of the entities of one kind, owned by one writer at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId {
    /// The entities' kind.
    pub kind: Cow<'static, str>,
    /// Which slice.
    pub number: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}", self.kind, self.number)
    }
}

/// Appends that become durable all together or not at all, under one owner's epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The shard all of its entities belong to.
    pub shard: ShardId,
    /// The owner's fencing number, from [`Journal::claim`](crate::Journal::claim).
    pub epoch: Epoch,
    /// In order. Several may be of one entity; each expects what the ones before it leave.
    pub appends: Vec<Append>,
}

/// What one command of one entity came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Whose.
    pub entity: EntityId,
    /// The entity's sequence before this append; it fails where that is not so.
    pub expected: Seq,
    /// When it was decided: the time of its events.
    pub at: Timestamp,
    /// What happened. They get the sequences `expected + 1`, `expected + 2`, …
    pub events: Vec<EventRecord>,
    /// What must happen next.
    pub effects: Vec<EffectRecord>,
    /// Effects, recorded earlier by this entity, that now have their outcome or are withdrawn.
    pub settled: Vec<EffectId>,
    /// The command's key and what was answered, if it carried one.
    pub answer: Option<Answer>,
    /// Text kept beside it, such as a trace context.
    pub metadata: Metadata,
}

/// Text beside an append, in order: names and values.
pub type Metadata = Vec<(String, String)>;

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Its name: what happened.
    pub name: Cow<'static, str>,
    /// The version of its payload's shape.
    pub version: u16,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// JSON, as `griot_core::codec` writes it; any bytes are kept as they are.
    pub payload: Bytes,
}

/// The answer to a command that carried an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The key, unique within the entity for as long as it is kept.
    pub key: String,
    /// A hash of the command, so that the same key with another command is told apart.
    pub fingerprint: u64,
    /// What was answered, as bytes.
    pub reply: Bytes,
}

/// One append as it is read back: what recovery needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The append, as it was given.
    pub append: Append,
    /// The journal's offset of its first event; of the last event before it where it has none.
    pub offset: Offset,
}

impl Commit {
    /// The entity's sequence after this commit.
    pub fn last_seq(&self) -> Seq {
        let events = u64::try_from(self.append.events.len()).unwrap_or(u64::MAX);
        Seq(self.append.expected.get().saturating_add(events))
    }
}

/// An event as it is read back, with where and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Whose.
    pub entity: EntityId,
    /// Its place in the entity's stream.
    pub seq: Seq,
    /// Its place in the journal.
    pub offset: Offset,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: EventRecord,
    /// Text kept beside its append.
    pub metadata: Metadata,
}

/// What a successful append tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the batch's last event; of the journal's last event where it has none.
    pub last_offset: Offset,
}
