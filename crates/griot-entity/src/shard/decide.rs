//! How a shard takes a command to its entity and decides it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use griot_core::{Cx, Decision, EffectId, Entity, EntityId, Seq};
use griot_journal::{Append, Metadata, Snapshot};

use super::{Shard, append};
use crate::batch::{DueEffect, Held};
use crate::delivery::{BoxDelivery, Verdict};
use crate::error::Failure;
use crate::forgotten::Forgotten;
use crate::recovery;
use crate::slot::{Phase, Slot};

impl<E: Entity> Shard<E> {
    /// Brings a delivery to its entity: decided now, or once the entity is recovered.
    pub(super) fn accept(&mut self, delivery: BoxDelivery<E>) {
        if delivery.is_abandoned() {
            return;
        }
        let target = delivery.target();
        let number = match self.table.find(target.hash, &target.id) {
            Some(number) => number,
            None => match self.bring_in(&delivery) {
                Some(number) => number,
                None => return self.turn_away(delivery, Failure::Busy),
            },
        };
        let Some(slot) = self.table.get_mut(number) else {
            // Its recovery failed at once.
            return self.turn_away(delivery, Failure::Unavailable);
        };
        slot.touched = self.tick;
        if slot.phase == Phase::Ready {
            return self.decide(number, delivery);
        }
        let waiting = &mut slot.extra().waiting;
        if delivery.is_external() && waiting.len() >= self.kind.limits.recovery_commands_max {
            return self.turn_away(delivery, Failure::Busy);
        }
        waiting.push_back(delivery);
    }

    /// Makes a slot for an entity that is not in memory. `None` where none of the others can leave.
    fn bring_in(&mut self, delivery: &BoxDelivery<E>) -> Option<u32> {
        let full = self.table.len() >= self.kind.entities_per_shard_max;
        if full && !self.table.make_room(self.durable_batch) && delivery.is_external() {
            return None;
        }
        let target = delivery.target();
        let slot = Slot::new(target.id.clone(), self.tick);
        let number = self.table.insert(target.hash, slot)?;
        self.recover(number);
        Some(number)
    }

    /// Decides one command on the state as it will be.
    pub(super) fn decide(&mut self, number: u32, delivery: BoxDelivery<E>) {
        let Some(slot) = self.table.get_mut(number) else {
            return self.turn_away(delivery, Failure::Unavailable);
        };
        if let Some(effect) = delivery.settles()
            && !slot.is_unsettled(effect)
        {
            // What settled it may be undone yet: then this is tried again.
            if slot.last_batch > self.durable_batch {
                return delivery.fail(Failure::Busy);
            }
            let target = delivery.target();
            if !self.kind.effects.is_known(&target.id, effect) {
                return delivery.fail(Failure::Settled);
            }
            return self.settle_forgotten(number, delivery, effect);
        }
        let certain = slot.last_batch <= self.durable_batch;
        match answered_before(slot, delivery) {
            Known::No(delivery) => self.decide_new(number, delivery),
            Known::Same(delivery) => self.hold(number, delivery),
            // What used the key may be undone yet: then it is free.
            Known::Not(delivery, Failure::KeyReused) if !certain => {
                self.turn_away(delivery, Failure::Busy);
            }
            Known::Not(delivery, failure) => self.turn_away(delivery, failure),
        }
    }

    /// Settles an effect that the entity does not know: in the journal, which may know it, so that it
    /// is not performed again at the next start.
    fn settle_forgotten(&mut self, number: u32, delivery: BoxDelivery<E>, effect: EffectId) {
        let Some(slot) = self.table.get_mut(number) else {
            return self.turn_away(delivery, Failure::Unavailable);
        };
        let append = Append {
            entity: slot.id.clone(),
            expected: slot.seq,
            at: self.now,
            events: Vec::new(),
            effects: Vec::new(),
            settled: vec![effect],
            answer: None,
            metadata: Metadata::new(),
        };
        self.take_append(number, append);
        self.building.pending.held.push(Held {
            slot: number,
            delivery: Box::new(Forgotten(delivery)),
        });
    }

    fn decide_new(&mut self, number: u32, mut delivery: BoxDelivery<E>) {
        let Some(slot) = self.table.get_mut(number) else {
            return self.turn_away(delivery, Failure::Unavailable);
        };
        let mut cx = Cx::new(slot.id.clone(), slot.seq, self.now)
            .with_effects_recorded(slot.effects_at_seq)
            .with_memory(std::mem::take(&mut self.spare.events));
        let decided = catch_unwind(AssertUnwindSafe(|| delivery.decide(&slot.state, &mut cx)));
        let (entity, decision) = match decided {
            Ok(Verdict::Accepted) => cx.into_parts(),
            Ok(Verdict::Rejected) => (cx.into_parts().0, Decision::default()),
            Ok(Verdict::Waiting) => return self.keep_watching(number, delivery),
            Err(_) => {
                tracing::error!(entity = %slot.id, "decide panicked: the command is refused, nothing happened");
                self.kind.metrics.panicked();
                return self.turn_away(delivery, Failure::Unavailable);
            }
        };
        let settles = delivery.settles();
        if decision.events.is_empty()
            && decision.effects.is_empty()
            && decision.cancelled.is_empty()
            && delivery.key().is_none()
            && settles.is_none()
        {
            return self.hold(number, delivery);
        }
        self.record(number, delivery, entity, decision);
    }

    /// Turns a decision into an append and takes its events into the state.
    fn record(
        &mut self,
        number: u32,
        mut delivery: BoxDelivery<E>,
        entity: EntityId,
        mut decision: Decision<E>,
    ) {
        let Some(slot) = self.table.get_mut(number) else {
            return self.turn_away(delivery, Failure::Unavailable);
        };
        if delivery.is_external() && self.kind.effects.is_full(decision.effects.len()) {
            return self.turn_away(delivery, Failure::Busy);
        }
        let written = self.kind.check(&decision).and_then(|()| {
            let bytes_max = self.kind.limits.batch_bytes_max;
            append::write(
                entity,
                slot,
                &mut delivery,
                &decision,
                self.now,
                bytes_max,
                &mut self.buffer,
            )
        });
        let (append, bytes) = match written {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(entity = %slot.id, %error, "a decision cannot be recorded: the command is refused, nothing happened");
                return self.turn_away(delivery, Failure::Unavailable);
            }
        };
        if append.events.is_empty()
            && append.effects.is_empty()
            && append.settled.is_empty()
            && append.answer.is_none()
        {
            // It only withdrew what was settled already.
            return self.hold(number, delivery);
        }
        let evolved = catch_unwind(AssertUnwindSafe(|| {
            for event in &decision.events {
                slot.state.evolve(event);
            }
        }));
        if evolved.is_err() {
            tracing::error!(entity = %slot.id, "evolve panicked: the command is refused, nothing happened, the entity is recovered");
            self.kind.metrics.panicked();
            self.turn_away(delivery, Failure::Unavailable);
            return self.forget_state(number);
        }
        decision.events.clear();
        self.spare.events = decision.events;
        self.building.bytes = self.building.bytes.saturating_add(bytes);
        self.take_append(number, append);
        self.building.pending.held.push(Held {
            slot: number,
            delivery,
        });
        self.look_again(number);
    }

    /// Brings slot and batch up to an append.
    fn take_append(&mut self, number: u32, append: Append) {
        let limits = &self.kind.limits;
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        let before = slot.seq;
        let events = u64::try_from(append.events.len()).unwrap_or(u64::MAX);
        slot.seq = Seq(before.get().saturating_add(events));
        slot.last_batch = self.building.pending.number;
        if events > 0 {
            slot.effects_at_seq = 0;
        } else if let Some(last) = append.effects.last() {
            slot.effects_at_seq = last.id.n.saturating_add(1);
        }
        for record in &append.effects {
            slot.extra().unsettled.push(record.id);
            self.kind.effects.expect();
            self.building.pending.effects.push(DueEffect {
                entity: slot.id.clone(),
                at: append.at,
                record: record.clone(),
            });
        }
        if !append.settled.is_empty() {
            let unsettled = &mut slot.extra().unsettled;
            unsettled.retain(|effect| !append.settled.contains(effect));
            let withdrawn = append
                .settled
                .iter()
                .map(|effect| (append.entity.clone(), *effect));
            self.building.pending.withdrawn.extend(withdrawn);
        }
        if let Some(answer) = &append.answer {
            slot.extra()
                .keys
                .remember(answer, append.at, limits.keys_max, limits.keys_kept_for);
        }
        self.building.appends.push(append);
        self.snapshot_if_due(number);
    }

    fn snapshot_if_due(&mut self, number: u32) {
        let every = self.kind.limits.snapshot_every;
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        let low = |seq: Seq| u32::try_from(seq.get() & u64::from(u32::MAX)).unwrap_or(0);
        let since = low(slot.seq).wrapping_sub(slot.snapshot_seq);
        if every == 0 || u64::from(since) < every {
            return;
        }
        slot.snapshot_seq = low(slot.seq);
        let extra = slot.extra.as_deref();
        let unsettled = extra.map_or(&[][..], |extra| &extra.unsettled);
        let keys = extra.map(|extra| &extra.keys);
        let payload = append::guarded("a snapshot", || {
            recovery::snapshot_payload(&slot.state, slot.effects_at_seq, unsettled, keys)
        });
        match payload {
            Ok(payload) => self.building.pending.snapshots.push(Snapshot {
                entity: slot.id.clone(),
                seq: slot.seq,
                at: self.now,
                fingerprint: recovery::fingerprint::<E>(),
                payload,
            }),
            Err(error) => {
                tracing::warn!(entity = %slot.id, %error, "the state cannot be kept as a snapshot");
            }
        }
    }

    /// Gives an answer out once everything that the entity has decided so far is durable.
    pub(super) fn hold(&mut self, number: u32, delivery: BoxDelivery<E>) {
        let rests_on = self.table.get(number).map_or(0, |slot| slot.last_batch);
        let held = Held {
            slot: number,
            delivery,
        };
        if rests_on <= self.durable_batch {
            self.kind.metrics.answered(1);
            return self.releasing.push_back(held.delivery);
        }
        match &mut self.in_flight {
            Some(in_flight) if in_flight.pending.number == rests_on => {
                in_flight.pending.held.push(held);
            }
            _ => self.building.pending.held.push(held),
        }
    }

    fn keep_watching(&mut self, number: u32, delivery: BoxDelivery<E>) {
        let waits_max = self.kind.limits.waits_max;
        let Some(slot) = self.table.get_mut(number) else {
            return self.turn_away(delivery, Failure::Unavailable);
        };
        let watchers = &mut slot.extra().watchers;
        watchers.retain(|watcher| !watcher.is_abandoned());
        if watchers.len() >= waits_max {
            return self.turn_away(delivery, Failure::Busy);
        }
        watchers.push(delivery);
    }

    /// Shows the changed state to those who wait for one.
    fn look_again(&mut self, number: u32) {
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        let Some(extra) = slot.extra.as_mut() else {
            return;
        };
        for watcher in std::mem::take(&mut extra.watchers) {
            self.decide_new(number, watcher);
        }
    }
}

enum Known<E: Entity> {
    No(BoxDelivery<E>),
    Same(BoxDelivery<E>),
    Not(BoxDelivery<E>, Failure),
}

/// Looks a command's key up; a command that was answered before takes its first answer.
fn answered_before<E: Entity>(slot: &Slot<E>, mut delivery: BoxDelivery<E>) -> Known<E> {
    let entry = delivery.key().and_then(|key| {
        let extra = slot.extra.as_ref()?;
        let entry = extra.keys.find(&key.key)?;
        Some((entry.fingerprint == key.fingerprint, entry.reply.clone()))
    });
    match entry {
        None => Known::No(delivery),
        Some((false, _)) => Known::Not(delivery, Failure::KeyReused),
        Some((true, reply)) => match append::guarded("a reply", || delivery.recall(&reply)) {
            Ok(()) => Known::Same(delivery),
            Err(error) => {
                tracing::error!(entity = %slot.id, %error, "a recorded reply cannot be read");
                Known::Not(delivery, Failure::Unknown)
            }
        },
    }
}
