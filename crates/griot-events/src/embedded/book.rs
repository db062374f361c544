//! The one task that writes down what groups have acknowledged: many acknowledgements, one append.

use std::collections::BTreeMap;
use std::sync::Arc;

use griot_core::{EntityId, Seq};
use griot_journal::{EventRecord, Journal, SeqRange};
use tokio::sync::{mpsc, oneshot, watch};

use super::acked::Acked;
use super::ledger::{Entry, Failed, Ledger, unreachable};
use super::slice::Slice;
use super::state::Shared;
use crate::{BrokerError, Partition};

/// Acknowledgements that wait for the append under way, at most; further ones wait to be taken.
pub const ACKS_WAITING_MAX: usize = 4_096;

/// After so many notes of one group on one slice the older ones are deleted.
const NOTES_KEPT: u64 = 1_024;

/// The kind of the entities that hold acknowledgements.
pub(super) const GROUP_KIND: &str = "griot.group";

/// That a message was acknowledged, in memory so far.
pub(super) struct Ack {
    pub(super) group: Arc<str>,
    pub(super) slice: Slice,
    pub(super) answer: oneshot::Sender<Result<(), BrokerError>>,
}

pub(super) struct Book {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) ledger: Ledger,
    pub(super) shared: Arc<Shared>,
}

impl Book {
    /// Runs until nobody can acknowledge any more.
    pub(super) async fn run(mut self, mut acks: mpsc::Receiver<Ack>, _alive: watch::Receiver<()>) {
        let mut taken = Vec::new();
        while acks.recv_many(&mut taken, ACKS_WAITING_MAX).await > 0 {
            let mut touched: BTreeMap<(Arc<str>, Slice), Vec<_>> = BTreeMap::new();
            for ack in taken.drain(..) {
                let answers = touched.entry((ack.group, ack.slice)).or_default();
                answers.push(ack.answer);
            }
            let outcome = self.write(touched.keys()).await;
            for answer in touched.into_values().flatten() {
                // Nobody waits where the future of `ack` was dropped.
                let _ = answer.send(outcome.clone());
            }
        }
    }

    async fn write(
        &mut self,
        touched: impl Iterator<Item = &(Arc<str>, Slice)>,
    ) -> Result<(), BrokerError> {
        let mut entries = Vec::new();
        for (group, slice) in touched {
            let entity = entity(group, slice)?;
            let acked = self.shared.lock().acked(group, slice);
            // A group that has no member yet is written down as it stands.
            let acked = match acked {
                Some(acked) => acked,
                None => read(self.journal.as_ref(), group, slice).await?,
            };
            let event = EventRecord {
                name: "acknowledged".into(),
                version: 1,
                tags: Vec::new(),
                payload: acked.encode(),
            };
            entries.push(Entry {
                entity,
                event,
                metadata: Vec::new(),
                id: None,
            });
        }
        let seqs = match self.ledger.append(&entries).await {
            Ok(seqs) => seqs,
            Err(Failed::Broker(error)) => return Err(error),
            // They carry no id, so that none can be known.
            Err(Failed::Repeated { .. }) => return Ok(()),
        };
        for (entry, seq) in entries.iter().zip(seqs) {
            if seq.get().is_multiple_of(NOTES_KEPT) {
                let older = Seq(seq.get().saturating_sub(1));
                if let Err(error) = self.journal.delete(&entry.entity, older).await {
                    tracing::warn!(%error, entity = %entry.entity, "old notes were not deleted");
                }
            }
        }
        Ok(())
    }
}

/// What a group acknowledged of a slice, as it stands in the journal.
pub(super) async fn read(
    journal: &dyn Journal,
    group: &str,
    slice: &Slice,
) -> Result<Acked, BrokerError> {
    let entity = entity(group, slice)?;
    let last = journal.last_seq(&entity).await.map_err(unreachable)?;
    let range = SeqRange {
        from: last,
        to: last,
        limit: 1,
    };
    let notes = journal.events(&entity, range).await.map_err(unreachable)?;
    let Some(note) = notes.last() else {
        return Ok(Acked::default());
    };
    Acked::decode(&note.event.payload).map_err(|error| BrokerError::Refused {
        what: "a group whose notes cannot be read",
        reason: format!("{entity}: {error}"),
    })
}

fn entity(group: &str, slice: &Slice) -> Result<EntityId, BrokerError> {
    let Slice { topic, partition } = slice;
    let Partition(number) = partition;
    let id = format!("{group}/{topic}#{number}");
    EntityId::new(GROUP_KIND, &id).map_err(|error| BrokerError::Refused {
        what: "a group of this name",
        reason: error.to_string(),
    })
}
