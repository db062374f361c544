//! A command on its way through a shard, with its type erased and its reply kept until it is durable.

use bytes::Bytes;
use griot_core::{CoreError, Cx, EffectId, Entity, EntityId, Handle, Seq, codec};
use griot_journal::Metadata;
use tokio::sync::oneshot;

use crate::error::Failure;
use crate::keys::CommandKey;
use crate::kind::Terms;

/// Which entity, and the hash of its name.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) id: EntityId,
    pub(crate) hash: u64,
}

impl Target {
    pub(crate) fn new(id: EntityId) -> Self {
        let hash = griot_core::stable_hash(id.as_str().as_bytes());
        Self { id, hash }
    }
}

/// What a delivery's decision came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its events and effects stand.
    Accepted,
    /// It is answered, and nothing happens.
    Rejected,
    /// Not answered yet: it waits for another state.
    Waiting,
}

/// Something that wants an entity's decision or a look at it.
pub(crate) trait Delivery<E: Entity>: Send {
    fn target(&self) -> &Target;

    /// Its key, where it carries one.
    fn key(&self) -> Option<&CommandKey> {
        None
    }

    /// The effect whose outcome it is.
    fn settles(&self) -> Option<EffectId> {
        None
    }

    /// Whether it comes from outside, so that a limit may turn it away.
    fn is_external(&self) -> bool {
        true
    }

    /// Whether it changes nothing, so that it can simply be decided again.
    fn is_look(&self) -> bool {
        false
    }

    /// Text to keep beside what it does.
    fn metadata(&mut self) -> Metadata {
        Metadata::new()
    }

    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;

    /// Decides and keeps the answer.
    fn decide(&mut self, state: &E, cx: &mut Cx<E>) -> Verdict;

    /// The answer that is kept, as it is recorded with a key.
    fn recorded_answer(&self) -> Result<Bytes, CoreError> {
        Ok(Bytes::new())
    }

    /// Takes a recorded answer as its own.
    fn recall(&mut self, _answer: &[u8]) -> Result<(), CoreError> {
        Ok(())
    }

    /// Gives the answer out.
    fn release(self: Box<Self>);

    /// Gives out that there is none.
    fn fail(self: Box<Self>, failure: Failure);
}

pub(crate) type BoxDelivery<E> = Box<dyn Delivery<E>>;
/// What an asker is sent.
pub(crate) type Answered<R, X> = Result<Result<R, X>, Failure>;

/// A command that is asked, by a user or by an effect.
pub(crate) struct Asked<E: Handle<C>, C> {
    pub(crate) target: Target,
    pub(crate) command: Option<C>,
    pub(crate) terms: Option<Box<Terms>>,
    pub(crate) external: bool,
    pub(crate) answer: Option<Result<E::Reply, E::Error>>,
    pub(crate) asker: oneshot::Sender<Answered<E::Reply, E::Error>>,
}

impl<E: Handle<C>, C: Send + 'static> Delivery<E> for Asked<E, C> {
    fn target(&self) -> &Target {
        &self.target
    }

    fn key(&self) -> Option<&CommandKey> {
        self.terms.as_ref()?.key.as_ref()
    }

    fn settles(&self) -> Option<EffectId> {
        self.terms.as_ref()?.settles
    }

    fn is_external(&self) -> bool {
        self.external
    }

    fn metadata(&mut self) -> Metadata {
        let terms = self.terms.as_mut();
        terms.map_or_else(Metadata::new, |terms| std::mem::take(&mut terms.metadata))
    }

    fn is_abandoned(&self) -> bool {
        self.asker.is_closed()
    }

    fn decide(&mut self, state: &E, cx: &mut Cx<E>) -> Verdict {
        let Some(command) = self.command.take() else {
            return Verdict::Rejected;
        };
        let answer = state.decide(command, cx);
        let verdict = if answer.is_ok() {
            Verdict::Accepted
        } else {
            Verdict::Rejected
        };
        self.answer = Some(answer);
        verdict
    }

    fn recorded_answer(&self) -> Result<Bytes, CoreError> {
        codec::encode_json("a reply", &self.answer.as_ref().map(Result::as_ref))
    }

    fn recall(&mut self, answer: &[u8]) -> Result<(), CoreError> {
        self.answer = codec::decode_json("reply", answer)?;
        Ok(())
    }

    fn release(self: Box<Self>) {
        let answer = self.answer.ok_or(Failure::Unavailable);
        // An asker that has gone away needs no answer.
        let _ = self.asker.send(answer);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        let _ = self.asker.send(Err(failure));
    }
}

/// Sees what it wants to in a state, or not yet.
pub(crate) type See<E, R> = Box<dyn FnMut(&E, Seq) -> Option<R> + Send>;

/// A look at an entity, answered at once or when its state is as wished.
pub(crate) struct Look<E, R> {
    pub(crate) target: Target,
    pub(crate) see: See<E, R>,
    pub(crate) seen: Option<R>,
    pub(crate) asker: oneshot::Sender<Result<R, Failure>>,
}

impl<E: Entity, R: Send> Delivery<E> for Look<E, R> {
    fn target(&self) -> &Target {
        &self.target
    }

    fn is_look(&self) -> bool {
        true
    }

    fn is_abandoned(&self) -> bool {
        self.asker.is_closed()
    }

    fn decide(&mut self, state: &E, cx: &mut Cx<E>) -> Verdict {
        self.seen = (self.see)(state, cx.seq());
        match self.seen {
            Some(_) => Verdict::Accepted,
            None => Verdict::Waiting,
        }
    }

    fn release(self: Box<Self>) {
        let _ = self.asker.send(self.seen.ok_or(Failure::Unavailable));
    }

    fn fail(self: Box<Self>, failure: Failure) {
        let _ = self.asker.send(Err(failure));
    }
}

/// An effect that ended and has nothing to tell its entity.
pub(crate) struct Settle {
    pub(crate) target: Target,
    pub(crate) effect: EffectId,
    pub(crate) asker: oneshot::Sender<Result<(), Failure>>,
}

impl<E: Entity> Delivery<E> for Settle {
    fn target(&self) -> &Target {
        &self.target
    }

    fn settles(&self) -> Option<EffectId> {
        Some(self.effect)
    }

    fn is_external(&self) -> bool {
        false
    }

    fn is_abandoned(&self) -> bool {
        self.asker.is_closed()
    }

    fn decide(&mut self, _: &E, _: &mut Cx<E>) -> Verdict {
        Verdict::Accepted
    }

    fn release(self: Box<Self>) {
        let _ = self.asker.send(Ok(()));
    }

    fn fail(self: Box<Self>, failure: Failure) {
        let _ = self.asker.send(Err(failure));
    }
}
