//! A writer of test data: one owner of one shard.

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{EntityId, Epoch, Seq, Timestamp};
use griot_journal::{
    Append, AppendError, Appended, Batch, EventRecord, Journal, JournalError, RecordedEvent,
    SeqRange, ShardId,
};

/// An owner of a shard of a journal.
#[derive(Clone)]
pub struct Writer {
    journal: Arc<dyn Journal>,
    shard: ShardId,
    epoch: Epoch,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Claims the shard 0 of the kind `account`.
    ///
    /// # Errors
    ///
    /// As [`Journal::claim`].
    pub async fn claim(journal: &Arc<dyn Journal>) -> Result<Self, JournalError> {
        Self::claim_shard(journal, 0).await
    }

    /// Claims the shard `number` of the kind `account`.
    ///
    /// # Errors
    ///
    /// As [`Journal::claim`].
    pub async fn claim_shard(
        journal: &Arc<dyn Journal>,
        number: u32,
    ) -> Result<Self, JournalError> {
        let shard = ShardId {
            kind: "account".into(),
            number,
        };
        let epoch = journal.claim(&shard).await?;
        Ok(Self {
            journal: Arc::clone(journal),
            shard,
            epoch,
        })
    }

    /// The epoch it claimed.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A batch under its epoch.
    pub fn batch(&self, appends: Vec<Append>) -> Arc<Batch> {
        Arc::new(Batch {
            shard: self.shard.clone(),
            epoch: self.epoch,
            appends,
        })
    }

    /// Appends these as one batch.
    ///
    /// # Errors
    ///
    /// As [`Journal::append`].
    pub async fn append(&self, appends: Vec<Append>) -> Result<Appended, AppendError> {
        self.journal.append(self.batch(appends)).await
    }

    /// Appends `events` events to an entity at `expected`.
    ///
    /// # Errors
    ///
    /// As [`Journal::append`].
    pub async fn write(
        &self,
        entity: &EntityId,
        expected: u64,
        events: u64,
    ) -> Result<Appended, AppendError> {
        self.append(vec![append_of(entity, expected, events)]).await
    }

    /// Reads an entity's events.
    ///
    /// # Errors
    ///
    /// As [`Journal::events`].
    pub async fn events(
        &self,
        entity: &EntityId,
        range: SeqRange,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        self.journal.events(entity, range).await
    }
}

/// The entity `account/id`.
///
/// # Panics
///
/// When `id` is none.
#[expect(
    clippy::expect_used,
    reason = "it is documented, and a test has nowhere else to go"
)]
pub fn entity(id: &str) -> EntityId {
    EntityId::new("account", id).expect("an id")
}

/// The event `Happened` with this payload.
pub fn happened(payload: impl Into<Bytes>) -> EventRecord {
    EventRecord {
        name: "Happened".into(),
        version: 1,
        tags: Vec::new(),
        payload: payload.into(),
    }
}

/// An append of so many events, whose payloads are `id:seq`; nothing else in it.
pub fn append_of(entity: &EntityId, expected: u64, events: u64) -> Append {
    let seqs = (1..=events).map(|number| expected.saturating_add(number));
    Append {
        entity: entity.clone(),
        expected: Seq(expected),
        at: Timestamp::from_micros(1_700_000_000_000_000),
        events: seqs
            .map(|seq| happened(format!("{}:{seq}", entity.id())))
            .collect(),
        effects: Vec::new(),
        settled: Vec::new(),
        answer: None,
        metadata: Vec::new(),
    }
}
