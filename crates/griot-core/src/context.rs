//! The context of a decision: what time it is, who decides, and what comes of it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    Call, CoreError, DurableCommand, Effect, EffectId, Entity, EntityId, Handle, Outcome,
    Publication, Seq, Timestamp,
};

/// What a decision sees beside the state, and where it puts its events and effects.
pub struct Cx<E: Entity> {
    id: EntityId,
    seq: Seq,
    now: Timestamp,
    next_effect: u32,
    decision: Decision<E>,
}

/// What a decision came to.
pub struct Decision<E: Entity> {
    /// What happened, in order.
    pub events: Vec<E::Event>,
    /// What must happen next, in order.
    pub effects: Vec<Effect>,
    /// Effects recorded earlier that are no longer wanted.
    pub cancelled: Vec<EffectId>,
    /// An effect's payload that could not be encoded: the decision cannot be carried out.
    pub failure: Option<CoreError>,
}

impl<E: Entity> fmt::Debug for Cx<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cx")
            .field("id", &self.id)
            .field("seq", &self.seq)
            .field("now", &self.now)
            .field("decision", &self.decision)
            .finish_non_exhaustive()
    }
}

impl<E: Entity> fmt::Debug for Decision<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decision")
            .field("events", &self.events.len())
            .field("effects", &self.effects)
            .field("cancelled", &self.cancelled)
            .field("failure", &self.failure)
            .finish()
    }
}

impl<E: Entity> Default for Decision<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            effects: Vec::new(),
            cancelled: Vec::new(),
            failure: None,
        }
    }
}

impl<E: Entity> Cx<E> {
    /// The context for a decision of the entity `id`, whose last event is `seq`, at the moment `now`.
    ///
    /// The runtime makes these; a test of a decision may too.
    pub fn new(id: EntityId, seq: Seq, now: Timestamp) -> Self {
        Self {
            id,
            seq,
            now,
            next_effect: 0,
            decision: Decision::default(),
        }
    }

    /// The same context where `count` effects stand recorded at this sequence already.
    #[must_use]
    pub fn with_effects_recorded(mut self, count: u32) -> Self {
        self.next_effect = count;
        self
    }

    /// The same context, which puts events where the ones of an earlier decision were: `events` is
    /// emptied first.
    #[must_use]
    pub fn with_memory(mut self, mut events: Vec<E::Event>) -> Self {
        events.clear();
        self.decision.events = events;
        self
    }

    /// Who decides.
    pub fn id(&self) -> &EntityId {
        &self.id
    }

    /// The moment of the decision. It is the time of its events, too.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The entity's last sequence before this decision.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Says that something happened.
    pub fn emit(&mut self, event: E::Event) {
        self.decision.events.push(event);
    }

    /// Has the function registered for `C` run once this decision is durable.
    pub fn call<C: Call>(&mut self, call: C) -> EffectId
    where
        E: Handle<Outcome<C>>,
    {
        let payload = self.encode("a call", &call);
        let name = Cow::Borrowed(C::NAME);
        self.record(Effect::Call { name, payload })
    }

    /// Gives this entity `command` once `delay` has passed, also across restarts.
    ///
    /// To be able to [cancel](Cx::cancel) it, put the name that is returned into an event.
    pub fn after<C: DurableCommand>(&mut self, delay: Duration, command: C) -> EffectId
    where
        E: Handle<C>,
    {
        self.at(self.now.after(delay), command)
    }

    /// Gives this entity `command` once the moment `due` has come, also across restarts.
    pub fn at<C: DurableCommand>(&mut self, due: Timestamp, command: C) -> EffectId
    where
        E: Handle<C>,
    {
        let payload = self.encode("a timer's command", &command);
        let name = Cow::Borrowed(C::NAME);
        self.record(Effect::Timer { due, name, payload })
    }

    /// Gives the entity `to` this command, once.
    ///
    /// Entities never wait for each other: the command arrives after this decision is durable.
    pub fn send<T, C: DurableCommand>(&mut self, to: &EntityId, command: C) -> EffectId
    where
        T: Handle<C>,
    {
        if to.kind() != T::KIND {
            self.fail(CoreError::Kind(to.kind().to_owned()));
        }
        let payload = self.encode("a message", &command);
        let name = Cow::Borrowed(C::NAME);
        let to = to.clone();
        self.record(Effect::Message { to, name, payload })
    }

    /// Publishes `payload`, as JSON, to `topic`, in order with this entity's other publications. The
    /// runtime needs a publisher for that.
    pub fn publish<P: Serialize>(&mut self, topic: &str, payload: &P) -> EffectId {
        self.publish_message(Publication {
            topic: topic.to_owned(),
            key: None,
            headers: Vec::new(),
            payload,
        })
    }

    /// As [`publish`](Cx::publish), with a key and headers of its own; the payload goes out as JSON.
    pub fn publish_message<P: Serialize>(&mut self, message: Publication<P>) -> EffectId {
        let payload = self.encode("a publication", &message.payload);
        self.record(Effect::Publication(Publication {
            topic: message.topic,
            key: message.key,
            headers: message.headers,
            payload,
        }))
    }

    /// Withdraws an effect that has no outcome yet. One that has, or never was, is passed over.
    pub fn cancel(&mut self, effect: EffectId) {
        self.decision.cancelled.push(effect);
    }

    /// Ends the decision and gives what it came to.
    pub fn into_decision(self) -> Decision<E> {
        self.decision
    }

    /// Ends the decision and gives who decided, and what it came to.
    pub fn into_parts(self) -> (EntityId, Decision<E>) {
        (self.id, self.decision)
    }

    fn record(&mut self, effect: Effect) -> EffectId {
        let before = u32::try_from(self.decision.effects.len()).unwrap_or(u32::MAX);
        self.decision.effects.push(effect);
        EffectId {
            seq: self.seq,
            n: self.next_effect.saturating_add(before),
        }
    }

    fn encode<P: Serialize>(&mut self, what: &'static str, payload: &P) -> Bytes {
        serde_json::to_vec(payload).map_or_else(
            |error| {
                let reason = error.to_string();
                self.fail(CoreError::Encode { what, reason });
                Bytes::new()
            },
            Bytes::from,
        )
    }

    fn fail(&mut self, error: CoreError) {
        self.decision.failure.get_or_insert(error);
    }
}
