//! How a shard recovers its entities without waiting for any of them.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use griot_core::{Entity, Seq};

use super::{Shard, ShardMessage};
use crate::batch::DueEffect;
use crate::delivery::BoxDelivery;
use crate::error::Failure;
use crate::recovery::{Recovered, RecoveryError, recover};
use crate::slot::Phase;

impl<E: Entity> Shard<E> {
    /// Recovers an entity: at once where it is unknown to the journal, else in a task of its own.
    pub(super) fn recover(&mut self, number: u32) {
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        let (journal, snapshots) = (&self.kind.journal, &self.kind.snapshots);
        let (journal, snapshots) = (Arc::clone(journal), Arc::clone(snapshots));
        let (id, limits, now) = (slot.id.clone(), Arc::clone(&self.kind.limits), self.now);
        let begin = move || {
            let (journal, snapshots) = (Arc::clone(&journal), Arc::clone(&snapshots));
            recover::<E>(journal, snapshots, id.clone(), Arc::clone(&limits), now)
        };
        let mut recovering = Box::pin(begin());
        let mut at_once = Context::from_waker(Waker::noop());
        self.recovering += 1;
        if let Poll::Ready(recovered) = recovering.as_mut().poll(&mut at_once) {
            return self.finish_recovery(number, recovered);
        }
        // Begun anew when it is its turn: what the journal hands out in order, such as leave to read,
        // would be handed to a future that nobody polls meanwhile, and those whose turn it is would
        // wait for it for ever.
        drop(recovering);
        let sender = self.sender.clone();
        let turns = Arc::clone(&self.kind.recoveries);
        let kind = Arc::clone(&self.kind);
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            let started = tokio::time::Instant::now();
            let recovering = AssertUnwindSafe(begin()).catch_unwind();
            let panicked = |_| Err(RecoveryError::Panicked);
            let recovered = Box::new(recovering.await.unwrap_or_else(panicked));
            kind.metrics.recovered(started.elapsed());
            let message = ShardMessage::Recovered {
                slot: number,
                recovered,
            };
            // A shard that has ended needs no recovery.
            let _ = sender.send_now(message);
        });
    }

    /// Takes the end of a recovery, and the commands that waited for it.
    pub(super) fn finish_recovery(
        &mut self,
        number: u32,
        recovered: Result<Recovered<E>, RecoveryError>,
    ) {
        self.recovering -= 1;
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        match recovered {
            Ok(recovered) => {
                self.set_state(number, recovered);
                self.answer_unknown(number);
                self.decide_waiting(number);
            }
            Err(error) => {
                tracing::error!(entity = %slot.id, %error, "the entity cannot be recovered");
                self.kind.metrics.recovery_failed();
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

    fn set_state(&mut self, number: u32, recovered: Recovered<E>) {
        let Some(slot) = self.table.get_mut(number) else {
            return;
        };
        slot.state = recovered.state;
        slot.seq = recovered.seq;
        slot.effects_at_seq = recovered.effects_at_seq;
        let Seq(snapshot_seq) = recovered.snapshot_seq;
        slot.snapshot_seq = u32::try_from(snapshot_seq & u64::from(u32::MAX)).unwrap_or(0);
        slot.phase = Phase::Ready;
        if !recovered.keys.is_empty() || !recovered.unsettled.is_empty() {
            let extra = slot.extra();
            extra.keys = recovered.keys;
            extra.unsettled = recovered.unsettled;
        }
        let entity = slot.id.clone();
        for (at, record) in recovered.effects {
            let entity = entity.clone();
            self.kind.effects.perform(DueEffect { entity, at, record });
        }
    }

    /// Gives those whose append had an unknown outcome their true answer, where the key tells.
    fn answer_unknown(&mut self, number: u32) {
        let unknown = self
            .table
            .get_mut(number)
            .and_then(|slot| slot.extra.as_mut())
            .map(|extra| std::mem::take(&mut extra.unknown));
        for mut delivery in unknown.into_iter().flatten() {
            if self.recall(number, &mut delivery) {
                delivery.release();
            } else {
                self.turn_away(delivery, Failure::Unknown);
            }
        }
    }

    fn recall(&mut self, number: u32, delivery: &mut BoxDelivery<E>) -> bool {
        let reply = self.table.get(number).and_then(|slot| {
            let key = delivery.key()?;
            let entry = slot.extra.as_ref()?.keys.find(&key.key)?;
            (entry.fingerprint == key.fingerprint).then(|| entry.reply.clone())
        });
        reply.is_some_and(|reply| delivery.recall(&reply).is_ok())
    }

    /// Decides what waited, in order, for as long as the state holds.
    fn decide_waiting(&mut self, number: u32) {
        while let Some(slot) = self.table.get_mut(number)
            && slot.phase == Phase::Ready
            && let Some(extra) = slot.extra.as_mut()
            && let Some(delivery) = extra.waiting.pop_front()
        {
            if !delivery.is_abandoned() {
                self.decide(number, delivery);
            }
        }
        let watchers = self
            .table
            .get_mut(number)
            .filter(|slot| slot.phase == Phase::Ready)
            .and_then(|slot| slot.extra.as_mut())
            .map(|extra| std::mem::take(&mut extra.watchers));
        for watcher in watchers.into_iter().flatten() {
            self.decide(number, watcher);
        }
    }
}
