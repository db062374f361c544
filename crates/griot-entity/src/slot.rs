//! One entity in memory.

use std::collections::VecDeque;

use griot_core::{EffectId, Entity, EntityId, Seq};

use crate::delivery::BoxDelivery;
use crate::keys::KeyWindow;

/// An entity's state as it will be once everything decided is durable, and what belongs to it.
///
/// Small on purpose: whatever an idle entity does not need stands behind `extra`.
pub(crate) struct Slot<E: Entity> {
    pub(crate) id: EntityId,
    pub(crate) state: E,
    pub(crate) seq: Seq,
    /// The last batch that holds an append of this entity; durable up to there, it is all durable.
    pub(crate) last_batch: u64,
    pub(crate) extra: Option<Box<Extra<E>>>,
    /// How many effects stand recorded at `seq`.
    pub(crate) effects_at_seq: u32,
    /// The shard's tick at the last command.
    pub(crate) touched: u32,
    /// The low bits of the sequence of the last snapshot.
    pub(crate) snapshot_seq: u32,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The state is not known: it is being read, or will be.
    Recovering,
    Ready,
}

/// What only some entities have.
pub(crate) struct Extra<E: Entity> {
    pub(crate) keys: KeyWindow,
    /// Effects without an outcome.
    pub(crate) unsettled: Vec<EffectId>,
    /// Commands that wait for the recovery.
    pub(crate) waiting: VecDeque<BoxDelivery<E>>,
    /// Commands whose append has an unknown outcome: the recovery tells.
    pub(crate) unknown: Vec<BoxDelivery<E>>,
    /// Waits for another state.
    pub(crate) watchers: Vec<BoxDelivery<E>>,
}

impl<E: Entity> Default for Extra<E> {
    fn default() -> Self {
        Self {
            keys: KeyWindow::default(),
            unsettled: Vec::new(),
            waiting: VecDeque::new(),
            unknown: Vec::new(),
            watchers: Vec::new(),
        }
    }
}

impl<E: Entity> Slot<E> {
    /// A slot whose state is yet to be recovered.
    pub(crate) fn new(id: EntityId, touched: u32) -> Self {
        Self {
            id,
            state: E::default(),
            seq: Seq::ZERO,
            last_batch: 0,
            extra: None,
            effects_at_seq: 0,
            touched,
            snapshot_seq: 0,
            phase: Phase::Recovering,
        }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra<E> {
        self.extra.get_or_insert_default()
    }

    pub(crate) fn is_unsettled(&self, effect: EffectId) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.unsettled.contains(&effect))
    }

    /// Whether it may leave memory: everything durable, nobody waiting.
    pub(crate) fn is_idle(&mut self, durable_batch: u64) -> bool {
        if self.phase != Phase::Ready || self.last_batch > durable_batch {
            return false;
        }
        let Some(extra) = self.extra.as_mut() else {
            return true;
        };
        extra.watchers.retain(|watcher| !watcher.is_abandoned());
        extra.watchers.is_empty() && extra.waiting.is_empty() && extra.unknown.is_empty()
    }

    /// Gives back memory that a quiet entity does not need.
    pub(crate) fn shrink(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| {
            extra.keys.is_empty()
                && extra.unsettled.is_empty()
                && extra.waiting.is_empty()
                && extra.unknown.is_empty()
                && extra.watchers.is_empty()
        }) {
            self.extra = None;
        }
    }
}
