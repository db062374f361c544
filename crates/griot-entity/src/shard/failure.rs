//! What a shard does when an append fails: undo by recovery, and tell the askers what is known.

use std::sync::Arc;
use std::time::Duration;

use griot_core::{Entity, EntityId, Epoch};
use griot_journal::{Answer, AppendError, Appended, Batch, JournalError};
use tokio::time::Instant;

use super::append::guarded;
use super::{CLAIM_BACKOFF, Shard};
use crate::batch::{Building, InFlight, Pending};
use crate::delivery::BoxDelivery;
use crate::error::Failure;
use crate::slot::Phase;

impl<E: Entity> Shard<E> {
    /// Takes the journal's answer to the batch on its way.
    pub(super) fn finish_batch(&mut self, result: Result<Appended, AppendError>) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        let InFlight {
            batch,
            pending,
            began,
            ..
        } = in_flight;
        let Err(error) = result else {
            self.kind.health.mend();
            self.spare.take_appends(batch);
            return self.make_visible(pending, began.elapsed());
        };
        tracing::warn!(shard = %self.id, %error, appends = batch.appends.len(), "an append failed");
        self.kind.metrics.append_failed();
        match error {
            AppendError::Conflict { ref entity, .. } => self.take_out(batch, pending, entity, None),
            AppendError::Answered { ref entity, answer } => {
                self.take_out(batch, pending, entity, Some(&answer));
            }
            AppendError::Refused(source) => {
                self.kind.health.trouble(&source.to_string());
                self.undo(&batch, pending, Failure::Unavailable);
                self.recover_lost();
            }
            error => {
                self.kind.health.trouble(&error.to_string());
                self.undo(&batch, pending, Failure::Unknown);
                if matches!(error, AppendError::Fenced { .. }) {
                    self.suspect_all();
                }
                self.claim(Instant::now());
            }
        }
    }

    /// Undoes a batch and everything decided since: every entity in it is recovered, and every
    /// asker is told. A command with a key whose outcome is not known waits for its true answer.
    fn undo(&mut self, batch: &Batch, pending: Pending<E>, failure: Failure) {
        self.durable_batch = pending.number;
        let next = Building::new(self.building.pending.number);
        let building = std::mem::replace(&mut self.building, next);
        for append in batch.appends.iter().chain(&building.appends) {
            if let Some(number) = self.find(&append.entity) {
                self.lose(number);
            }
        }
        let broken = std::mem::take(&mut self.broken);
        self.lost
            .extend(broken.into_iter().map(|(_, number)| number));
        for undone in [pending, building.pending] {
            self.kind.effects.expected_no_more(undone.effects.len());
            for held in undone.held {
                self.tell(held.delivery, failure);
            }
        }
    }

    fn find(&self, entity: &EntityId) -> Option<u32> {
        let hash = griot_core::stable_hash(entity.as_str().as_bytes());
        self.table.find(hash, entity)
    }

    /// Undoes one entity's part of the batches, and gives the journal the rest again: a conflict
    /// says that nothing was stored.
    fn take_out(
        &mut self,
        batch: Arc<Batch>,
        mut pending: Pending<E>,
        entity: &EntityId,
        answer: Option<&Answer>,
    ) {
        let mut told = Vec::new();
        if let Some(number) = self.find(entity) {
            self.lose(number);
            let decided = pending.effects.len() + self.building.pending.effects.len();
            told = pending.take_out(number, entity);
            told.extend(self.building.pending.take_out(number, entity));
            let left = pending.effects.len() + self.building.pending.effects.len();
            self.kind.effects.expected_no_more(decided - left);
        }
        self.building
            .appends
            .retain(|append| append.entity != *entity);
        let rest = batch
            .appends
            .iter()
            .filter(|append| append.entity != *entity);
        let rest = Batch {
            shard: batch.shard.clone(),
            epoch: batch.epoch,
            appends: rest.cloned().collect(),
        };
        if rest.appends.is_empty() {
            self.make_visible(pending, Duration::ZERO);
        } else {
            self.append(Arc::new(rest), pending);
        }
        for delivery in told {
            self.tell_answered(delivery, answer);
        }
        self.recover_lost();
    }

    /// Tells an asker of a batch that failed because of one entity: whose key was answered before
    /// gets that answer.
    fn tell_answered(&mut self, mut delivery: BoxDelivery<E>, answer: Option<&Answer>) {
        let asked = delivery.key().zip(answer);
        let asked = asked.filter(|(key, answer)| key.key == answer.key);
        match asked.map(|(key, answer)| (key.fingerprint == answer.fingerprint, &answer.reply)) {
            None => self.tell(delivery, Failure::Unknown),
            Some((false, _)) => self.turn_away(delivery, Failure::KeyReused),
            Some((true, reply)) => match guarded("a reply", || delivery.recall(reply)) {
                Ok(()) => delivery.release(),
                Err(_) => self.turn_away(delivery, Failure::Unknown),
            },
        }
    }

    /// Tells an asker that its append failed, or lets it wait for the recovery: a command with a key
    /// for its true answer, a look for another one.
    fn tell(&mut self, delivery: BoxDelivery<E>, failure: Failure) {
        let target = delivery.target();
        let number = self.table.find(target.hash, &target.id);
        let slot = number.and_then(|number| self.table.get_mut(number));
        match slot.filter(|slot| slot.phase == Phase::Recovering) {
            Some(slot) if delivery.is_look() => slot.extra().waiting.push_back(delivery),
            Some(slot) if failure == Failure::Unknown && delivery.key().is_some() => {
                slot.extra().unknown.push(delivery);
            }
            _ => self.turn_away(delivery, failure),
        }
    }

    /// Forgets an entity's state. Its commands wait until [`Self::recover_lost`] has it read back.
    fn lose(&mut self, number: u32) {
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        if slot.phase == Phase::Ready {
            slot.phase = Phase::Recovering;
            slot.state = E::default();
            slot.last_batch = 0;
            if let Some(extra) = slot.extra.as_mut() {
                extra.keys = crate::keys::KeyWindow::default();
                extra.unsettled.clear();
            }
            self.lost.push(number);
        }
    }

    /// Forgets a state that `evolve` left half changed. What the entity decided before stands, so it
    /// is recovered once all of that is durable.
    pub(super) fn forget_state(&mut self, number: u32) {
        let rests_on = self.table.get(number).map_or(0, |slot| slot.last_batch);
        self.lose(number);
        self.lost.retain(|lost| *lost != number);
        self.broken.push((rests_on, number));
        self.recover_broken();
    }

    /// Recovers the entities whose state was forgotten and whose decisions are durable by now.
    pub(super) fn recover_broken(&mut self) {
        let durable = self.durable_batch;
        let (due, rest) = std::mem::take(&mut self.broken)
            .into_iter()
            .partition(|(rests_on, _)| *rests_on <= durable);
        self.broken = rest;
        let due: Vec<(u64, u32)> = due;
        for (_, number) in due {
            self.recover(number);
        }
    }

    fn recover_lost(&mut self) {
        for number in std::mem::take(&mut self.lost) {
            self.recover(number);
        }
    }

    /// Somebody else wrote: whatever is in memory may be behind.
    fn suspect_all(&mut self) {
        for number in self.table.numbers() {
            let idle = self
                .table
                .get_mut(number)
                .is_some_and(|slot| slot.is_idle(u64::MAX));
            if idle {
                self.table.remove(number);
            } else {
                self.lose(number);
            }
        }
    }

    /// Takes the answer to a claim.
    pub(super) fn finish_claim(&mut self, claimed: Result<Epoch, JournalError>) {
        self.claiming = None;
        match claimed {
            Ok(epoch) => {
                self.epoch = epoch;
                self.kind.health.mend();
                self.recover_lost();
            }
            Err(error) => {
                tracing::error!(shard = %self.id, %error, "the shard cannot be claimed");
                self.kind.health.trouble(&error.to_string());
                self.refuse_all();
                if self.draining {
                    self.forget_lost();
                } else {
                    self.claim(Instant::now() + CLAIM_BACKOFF);
                }
            }
        }
    }

    /// Tells everybody who waits that the shard cannot serve now.
    pub(super) fn refuse_all(&mut self) {
        self.mailbox.try_receive_batch(&mut self.inbox);
        for message in std::mem::take(&mut self.inbox) {
            match message {
                super::ShardMessage::Deliver(delivery) => {
                    self.turn_away(delivery, Failure::Unavailable);
                }
                super::ShardMessage::Recovered { slot, recovered } => {
                    self.finish_recovery(slot, *recovered);
                }
                super::ShardMessage::Drain => self.draining = true,
            }
        }
    }

    fn forget_lost(&mut self) {
        for number in std::mem::take(&mut self.lost) {
            if let Some(slot) = self.table.remove(number)
                && let Some(extra) = slot.extra
            {
                for delivery in extra.unknown {
                    self.turn_away(delivery, Failure::Unknown);
                }
                for delivery in extra.waiting.into_iter().chain(extra.watchers) {
                    self.turn_away(delivery, Failure::Unavailable);
                }
            }
        }
    }
}
