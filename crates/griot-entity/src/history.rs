//! What happened to an entity, and how it was at any moment.

use griot_core::{Entity, EntityId, Seq, Timestamp};
use griot_journal::{RecordedEvent, SeqRange, SnapshotBounds};

use crate::recovery::{Recovered, RecoveryError, evolve, from_snapshot};
use crate::{EntityError, Griot};

/// Events read at a time.
const PAGE_EVENTS: usize = 1_024;

/// Which of an entity's states to recite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// After this event; the latest state where there are fewer.
    Seq(Seq),
    /// At this time: after the last event that had happened by then.
    At(Timestamp),
}

impl Griot {
    /// Reads the events of the entity `id` of kind `E` within `range`, in order.
    ///
    /// # Errors
    ///
    /// A malformed id, or what the journal says.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn history<E: Entity>(
        &self,
        id: &str,
        range: SeqRange,
    ) -> Result<Vec<RecordedEvent>, EntityError> {
        let id = EntityId::new(E::KIND, id)?;
        Ok(self.journal().events(&id, range).await?)
    }

    /// Recites the state as it was: `None` where nothing had happened by then.
    ///
    /// It reads the journal, not the entity in memory, and needs no shard.
    ///
    /// # Errors
    ///
    /// A malformed id, what the journal says, or events that this program cannot read.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn state_at<E: Entity>(
        &self,
        id: &str,
        moment: Moment,
    ) -> Result<Option<(E, Seq)>, EntityError> {
        let id = EntityId::new(E::KIND, id)?;
        let bounds = match moment {
            Moment::Seq(seq) => SnapshotBounds {
                seq,
                ..SnapshotBounds::LATEST
            },
            Moment::At(at) => SnapshotBounds {
                at,
                ..SnapshotBounds::LATEST
            },
        };
        let journal = self.journal().as_ref();
        let start = from_snapshot(journal, self.snapshots().as_ref(), &id, bounds).await;
        let mut recited: Recovered<E> = start.unwrap_or_default();
        loop {
            let range = SeqRange {
                from: recited.seq.next(),
                to: match moment {
                    Moment::Seq(seq) => seq,
                    Moment::At(_) => Seq::MAX,
                },
                limit: PAGE_EVENTS,
            };
            let events = journal.events(&id, range).await?;
            if events.is_empty() {
                break;
            }
            for event in events {
                if matches!(moment, Moment::At(at) if event.at > at) {
                    return Ok(found(recited));
                }
                evolve(&mut recited.state, &event.event)?;
                recited.seq = event.seq;
            }
            tokio::task::yield_now().await;
        }
        Ok(found(recited))
    }
}

fn found<E>(recited: Recovered<E>) -> Option<(E, Seq)> {
    (recited.seq > Seq::ZERO).then_some((recited.state, recited.seq))
}

impl From<RecoveryError> for EntityError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Journal(error) => Self::Journal(error),
            RecoveryError::Decode(error) => Self::Core(error),
            other => Self::Unreadable(other.to_string()),
        }
    }
}
