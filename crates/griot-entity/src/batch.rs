//! Decisions on their way to the journal, and the answers that wait for it.

use std::sync::Arc;
use std::time::Instant;

use griot_core::{EffectId, EffectRecord, Entity, EntityId, Timestamp};
use griot_journal::{Append, AppendError, Appended, Batch, Snapshot};

use crate::delivery::BoxDelivery;

/// An answer that rests on a batch, and the slot of its entity.
pub(crate) struct Held<E: Entity> {
    pub(crate) slot: u32,
    pub(crate) delivery: BoxDelivery<E>,
}

/// Everything that becomes visible together, once the batch of this number is durable.
pub(crate) struct Pending<E: Entity> {
    pub(crate) number: u64,
    /// In the order of the decisions.
    pub(crate) held: Vec<Held<E>>,
    pub(crate) effects: Vec<DueEffect>,
    pub(crate) withdrawn: Vec<(EntityId, EffectId)>,
    pub(crate) snapshots: Vec<Snapshot>,
}

/// An effect to perform.
pub(crate) struct DueEffect {
    pub(crate) entity: EntityId,
    pub(crate) at: Timestamp,
    pub(crate) record: EffectRecord,
}

impl<E: Entity> Pending<E> {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            held: Vec::new(),
            effects: Vec::new(),
            withdrawn: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Takes out what belongs to one entity: its answers are returned, the rest is forgotten.
    pub(crate) fn take_out(&mut self, slot: u32, entity: &EntityId) -> Vec<BoxDelivery<E>> {
        self.effects.retain(|effect| effect.entity != *entity);
        self.withdrawn.retain(|(of, _)| of != entity);
        self.snapshots.retain(|snapshot| snapshot.entity != *entity);
        let (taken, kept) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.slot == slot);
        self.held = kept;
        taken.into_iter().map(|held| held.delivery).collect()
    }
}

/// The batch that is being decided.
pub(crate) struct Building<E: Entity> {
    pub(crate) appends: Vec<Append>,
    /// What the appends hold.
    pub(crate) bytes: usize,
    pub(crate) pending: Pending<E>,
}

impl<E: Entity> Building<E> {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            appends: Vec::new(),
            bytes: 0,
            pending: Pending::new(number),
        }
    }
}

impl<E: Entity> Building<E> {
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.pending.held.is_empty()
    }

    /// Gives back memory that it does not need.
    pub(crate) fn shrink(&mut self) {
        self.appends.shrink_to_fit();
        self.pending.held.shrink_to_fit();
    }
}

/// The memory of batches that are done, to be used again.
pub(crate) struct Spare<E: Entity> {
    appends: Vec<Append>,
    pub(crate) held: Vec<Held<E>>,
    /// For the events of a decision.
    pub(crate) events: Vec<E::Event>,
}

impl<E: Entity> Default for Spare<E> {
    fn default() -> Self {
        Self {
            appends: Vec::new(),
            held: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl<E: Entity> Spare<E> {
    /// Takes what a durable batch leaves, unless the journal still looks at it.
    pub(crate) fn take_appends(&mut self, batch: Arc<Batch>) {
        if let Ok(batch) = Arc::try_unwrap(batch) {
            self.appends = batch.appends;
            self.appends.clear();
        }
    }

    /// The batch after this one.
    pub(crate) fn next(&mut self, before: &Building<E>) -> Building<E> {
        let mut next = Building::new(before.pending.number + 1);
        next.appends = std::mem::take(&mut self.appends);
        next.pending.held = std::mem::take(&mut self.held);
        next
    }
}

/// The batch that the journal is making durable.
pub(crate) struct InFlight<E: Entity> {
    pub(crate) batch: Arc<Batch>,
    pub(crate) pending: Pending<E>,
    pub(crate) began: Instant,
    pub(crate) appending: Appending,
}

pub(crate) type Appending = griot_journal::BoxFuture<'static, Result<Appended, AppendError>>;
