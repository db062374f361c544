//! Appends to the shard that the broker owns, with what goes wrong made good where it can be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use griot_core::{EntityId, Epoch, Seq, Timestamp};
use griot_journal::{
    Answer, Append, AppendError, Batch, EventRecord, Journal, JournalError, Metadata, SeqRange,
    ShardId,
};

use crate::BrokerError;

/// How often a batch is given again after it was fenced off or its outcome was unknown.
const TRIES_MAX: u32 = 5;

/// One event to append.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) entity: EntityId,
    pub(super) event: EventRecord,
    pub(super) metadata: Metadata,
    /// The message's id, by which the journal knows a repeated one.
    pub(super) id: Option<String>,
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(super) enum Failed {
    /// The entity has an event under this id. Nothing of the batch is stored.
    Repeated { entity: EntityId, id: String },
    /// Nobody knows, or nothing is stored, as the error says.
    Broker(BrokerError),
}

/// The owner of one shard: its epoch, and how far each entity has come.
pub(super) struct Ledger {
    journal: Arc<dyn Journal>,
    shard: ShardId,
    epoch: Option<Epoch>,
    seqs: HashMap<EntityId, Seq>,
}

impl Ledger {
    pub(super) fn new(journal: Arc<dyn Journal>, kind: &'static str) -> Self {
        let shard = ShardId {
            kind: kind.into(),
            number: 0,
        };
        Self {
            journal,
            shard,
            epoch: None,
            seqs: HashMap::new(),
        }
    }

    /// Owns the shard from here on, if it does not already.
    pub(super) async fn claim(&mut self) -> Result<Epoch, BrokerError> {
        if let Some(epoch) = self.epoch {
            return Ok(epoch);
        }
        let epoch = self.journal.claim(&self.shard).await.map_err(unreachable)?;
        self.epoch = Some(epoch);
        Ok(epoch)
    }

    /// Appends all of them or none, durably, and returns the sequence that each got.
    pub(super) async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Seq>, Failed> {
        let mut tries = 1;
        loop {
            let epoch = self.claim().await.map_err(Failed::Broker)?;
            let appends = self.appends(entries).await.map_err(Failed::Broker)?;
            let seqs: Vec<_> = appends
                .iter()
                .map(|append| append.expected.next())
                .collect();
            let batch = Batch {
                shard: self.shard.clone(),
                epoch,
                appends,
            };
            let Err(error) = self.journal.append(Arc::new(batch)).await else {
                self.remember(entries, &seqs);
                return Ok(seqs);
            };
            // Whatever happened, what is remembered may be wrong: it is read anew.
            self.seqs.clear();
            match error {
                AppendError::Answered { entity, answer } => {
                    let id = answer.key;
                    return Err(Failed::Repeated { entity, id });
                }
                AppendError::Refused(error) => return Err(Failed::Broker(unreachable(error))),
                AppendError::Unknown(error) => {
                    self.epoch = None;
                    if self.is_stored(entries, &seqs, error).await? {
                        return Ok(seqs);
                    }
                }
                _ => self.epoch = None,
            }
            if tries == TRIES_MAX {
                let error = BrokerError::Unreachable(Arc::new(error_of_fence(&self.shard)));
                return Err(Failed::Broker(error));
            }
            tries += 1;
        }
    }

    /// Whether a batch of unknown outcome is there: read under a new epoch, so that it cannot
    /// arrive any more. A batch is stored whole or not at all, so that its first event tells.
    async fn is_stored(
        &mut self,
        entries: &[Entry],
        seqs: &[Seq],
        error: JournalError,
    ) -> Result<bool, Failed> {
        let unknown = |_| Failed::Broker(BrokerError::Unknown(Arc::new(error.clone())));
        self.claim().await.map_err(unknown)?;
        let (Some(entry), Some(&seq)) = (entries.first(), seqs.first()) else {
            return Ok(true);
        };
        let unknown = |_| Failed::Broker(BrokerError::Unknown(Arc::new(error.clone())));
        let range = SeqRange {
            from: seq,
            to: seq,
            limit: 1,
        };
        let found = self.journal.events(&entry.entity, range).await;
        let found = found.map_err(unknown)?.into_iter().next();
        Ok(found
            .is_some_and(|found| found.event == entry.event && found.metadata == entry.metadata))
    }

    async fn appends(&mut self, entries: &[Entry]) -> Result<Vec<Append>, BrokerError> {
        let at = Timestamp::from_system(SystemTime::now());
        let mut next: HashMap<&EntityId, Seq> = HashMap::new();
        let mut appends = Vec::with_capacity(entries.len());
        for entry in entries {
            let expected = match next.get(&entry.entity) {
                Some(&seq) => seq,
                None => self.last_seq(&entry.entity).await?,
            };
            next.insert(&entry.entity, expected.next());
            appends.push(Append {
                entity: entry.entity.clone(),
                expected,
                at,
                events: vec![entry.event.clone()],
                effects: Vec::new(),
                settled: Vec::new(),
                answer: entry.id.clone().map(|key| Answer {
                    key,
                    fingerprint: 0,
                    reply: bytes::Bytes::new(),
                }),
                metadata: entry.metadata.clone(),
            });
        }
        Ok(appends)
    }

    async fn last_seq(&mut self, entity: &EntityId) -> Result<Seq, BrokerError> {
        if let Some(&seq) = self.seqs.get(entity) {
            return Ok(seq);
        }
        let seq = self.journal.last_seq(entity).await.map_err(unreachable)?;
        self.seqs.insert(entity.clone(), seq);
        Ok(seq)
    }

    fn remember(&mut self, entries: &[Entry], seqs: &[Seq]) {
        for (entry, &seq) in entries.iter().zip(seqs) {
            if let Some(last) = self.seqs.get_mut(&entry.entity) {
                *last = seq;
            }
        }
    }
}

/// What an error of the journal, with nothing stored, is to somebody who uses the broker.
pub(super) fn unreachable(error: JournalError) -> BrokerError {
    match error {
        JournalError::Closed => BrokerError::Closed,
        JournalError::TooLarge { .. } => BrokerError::Refused {
            what: "a message that its journal does not take",
            reason: error.to_string(),
        },
        error => BrokerError::Unreachable(Arc::new(error)),
    }
}

fn error_of_fence(shard: &ShardId) -> std::io::Error {
    std::io::Error::other(format!(
        "another program takes the shard {shard} over again and again: run one broker on a journal"
    ))
}
