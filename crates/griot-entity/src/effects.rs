//! Effects on their way to an outcome: every recorded one is performed until it has one.
//!
//! Each kind of effect has a [lane](lane) of its own, with its own bound on what runs at a time, so
//! a failing backend holds up nobody else.

pub(crate) mod call;
pub(crate) mod lane;
pub(crate) mod publishing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use griot_actor::mailbox::Sender;
use griot_core::{Effect, EffectId, EntityId};

use crate::batch::DueEffect;
use lane::{Job, LaneMessage};

/// The effects of one kind of entity that have no outcome yet, and the lanes that perform them.
pub(crate) struct Effects {
    calls: HashMap<&'static str, Sender<LaneMessage>>,
    timers: Sender<LaneMessage>,
    messages: Sender<LaneMessage>,
    /// `None` where there is no publisher.
    publications: Option<Sender<LaneMessage>>,
    /// Those in a lane, so that none is performed twice at a time.
    known: Mutex<HashMap<(EntityId, EffectId), Sender<LaneMessage>>>,
    count: AtomicUsize,
    /// Those in decisions that are not durable yet.
    expected: AtomicUsize,
    max: usize,
}

impl Effects {
    pub(crate) fn new(
        calls: HashMap<&'static str, Sender<LaneMessage>>,
        timers: Sender<LaneMessage>,
        messages: Sender<LaneMessage>,
        publications: Option<Sender<LaneMessage>>,
        max: usize,
    ) -> Self {
        Self {
            calls,
            timers,
            messages,
            publications,
            known: Mutex::default(),
            count: AtomicUsize::new(0),
            expected: AtomicUsize::new(0),
            max,
        }
    }

    pub(crate) fn knows_call(&self, name: &str) -> bool {
        self.calls.contains_key(name)
    }

    pub(crate) fn publishes(&self) -> bool {
        self.publications.is_some()
    }

    /// Whether an effect is in a lane: it has no outcome that is durable.
    pub(crate) fn is_known(&self, entity: &EntityId, effect: EffectId) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&(entity.clone(), effect))
    }

    /// How many have no outcome yet.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether so many more would be too many.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        let expected = self.expected.load(Ordering::Relaxed);
        more > 0 && self.count().saturating_add(expected).saturating_add(more) > self.max
    }

    /// Counts an effect that was decided and is not durable yet.
    pub(crate) fn expect(&self) {
        self.expected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many of those no more: they are durable now, or never will be.
    pub(crate) fn expected_no_more(&self, count: usize) {
        self.expected.fetch_sub(count, Ordering::Relaxed);
    }

    /// Performs a durable effect, unless that is under way already.
    pub(crate) fn perform(&self, due: DueEffect) {
        let lane = match &due.record.effect {
            Effect::Call { name, .. } => self.calls.get(&**name),
            Effect::Timer { .. } => Some(&self.timers),
            Effect::Message { .. } => Some(&self.messages),
            Effect::Publication(_) => self.publications.as_ref(),
            _ => return,
        };
        let Some(lane) = lane else {
            tracing::error!(
                entity = %due.entity, effect = %due.record.id, name = due.record.effect.name(),
                "no function is registered for a recorded call, or no publisher for a publication: it waits until one is"
            );
            metrics::counter!("griot_effects_without_function_total").increment(1);
            return;
        };
        let name = (due.entity.clone(), due.record.id);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(&name) {
            return;
        }
        known.insert(name, lane.clone());
        self.count.store(known.len(), Ordering::Relaxed);
        drop(known);
        // A lane that has ended leaves the effect to the next start.
        let _ = lane.send_now(LaneMessage::Perform(Box::new(Job::new(due))));
    }

    /// Forgets an effect that has its outcome, or is no longer wanted.
    pub(crate) fn withdraw(&self, entity: &EntityId, effect: EffectId) {
        let name = (entity.clone(), effect);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = known.remove(&name);
        self.count.store(known.len(), Ordering::Relaxed);
        drop(known);
        if let Some(lane) = lane {
            let (entity, effect) = name;
            let _ = lane.send_now(LaneMessage::Withdraw { entity, effect });
        }
    }
}
