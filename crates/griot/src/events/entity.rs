//! An extractor by which a handler asks entities.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use griot_actor::Backoff;
use griot_core::Handle;
use griot_entity::{AskError, Griot};
use griot_events::layer::{CORRELATION_ID, TRACEPARENT, TRACESTATE, TraceContext};
use griot_events::{DeadLetter, Event, Failure, FromEvent, FromRef};
use serde::Serialize;

/// Asks entities of the kind `E`, exactly once for a message: an [extractor](FromEvent). The
/// router's state is a [`Griot`], or something that [has one](FromRef).
///
/// A command carries the message's topic and [id](Event::id) as its key, so that it has no second
/// effect when the message comes again, for as long as the entity's
/// [`Limits`](crate::Limits) keep the key. Where a handler asks one entity several times, each
/// command has a key of its own: it has to ask in the same order each time.
///
/// What came of the message is connected with it: the place in its trace, and its
/// [`CORRELATION_ID`] where it has one, are [metadata](crate::Ask::metadata) of the command, and so
/// headers of what the entity publishes.
///
/// A message that two groups hand to the same entity needs two commands with one key, and the
/// second is [refused](Refused::KeyReused): let one of them have an entity of its own.
pub struct Entity<E: griot_core::Entity> {
    griot: Griot,
    event: Event,
    /// How often each entity was asked.
    asked: Mutex<HashMap<String, u32>>,
    kind: PhantomData<fn() -> E>,
}

/// Why an entity did not do what a message wants. With `?` in a handler, it makes the message a dead
/// letter: trying again would give the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused<X> {
    /// The entity decided against it.
    Rejected(X),
    /// The message's id came with another command before.
    KeyReused,
    /// No entity can have this id, or its kind is not registered; why, in words.
    NoEntity(String),
}

// Not `Display` itself: then it would be an error that is tried again.
impl<X: fmt::Display> From<Refused<X>> for Failure {
    fn from(refused: Refused<X>) -> Self {
        match refused {
            Refused::Rejected(error) => DeadLetter(error).into(),
            Refused::KeyReused => DeadLetter("its message id came with another content before: give each message an id of its own").into(),
            Refused::NoEntity(why) => DeadLetter(why).into(),
        }
    }
}

impl<E: griot_core::Entity> Entity<E> {
    /// Asks the entity `id` to decide on a command. While the entity cannot be served, or nobody
    /// knows whether it decided, it is asked again with the same key, with pauses that grow up to 10
    /// seconds: an outage of the journal makes no dead letters.
    ///
    /// # Errors
    ///
    /// Where asking again does not help.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the command may or may not be decided. The same message handled again finds out.
    pub async fn ask<C>(&self, id: &str, command: C) -> Result<E::Reply, Refused<E::Error>>
    where
        E: Handle<C>,
        C: Clone + Serialize + Send + 'static,
    {
        let entity = self.griot.entity::<E>(id);
        let entity = entity.map_err(|error| Refused::NoEntity(error.to_string()))?;
        let key = self.key(id);
        let backoff = Backoff::default();
        let mut attempt = 0;
        loop {
            let mut ask = entity.ask(command.clone()).key(&key);
            for (name, value) in self.origin() {
                ask = ask.metadata(name, value);
            }
            let error = match ask.await {
                Ok(reply) => return Ok(reply),
                Err(AskError::Rejected(error)) => return Err(Refused::Rejected(error)),
                Err(AskError::KeyReused) => return Err(Refused::KeyReused),
                Err(error) => error.map_rejected(drop),
            };
            let wait = backoff.delay(attempt);
            tracing::warn!(entity = %entity.id(), ?error, ?wait, "an entity that a message is for is asked again");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// What connects a command with its message.
    fn origin(&self) -> impl Iterator<Item = (&'static str, String)> {
        let headers = self.event.headers();
        let kept = |name| Some((name, headers.get(name)?.to_owned()));
        let trace = TraceContext::current().map(|trace| (TRACEPARENT, trace.to_string()));
        let state = trace.as_ref().and(kept(TRACESTATE));
        let all = [trace, state, kept(CORRELATION_ID)];
        all.into_iter().flatten()
    }

    /// The key of the next command for the entity `id`.
    fn key(&self, id: &str) -> String {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(id.to_owned()).or_default();
        *count += 1;
        let (topic, message) = (self.event.topic(), self.event.id());
        match *count {
            1 => format!("{topic}#{message}"),
            count => format!("{topic}#{message}#{count}"),
        }
    }
}

impl<E: griot_core::Entity> fmt::Debug for Entity<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Entity");
        debug.field("kind", &E::KIND).field("event", &self.event);
        debug.finish_non_exhaustive()
    }
}

impl<S, E> FromEvent<S> for Entity<E>
where
    E: griot_core::Entity,
    Griot: FromRef<S>,
{
    fn from_event(event: &Event, state: &S) -> Result<Self, Failure> {
        Ok(Self {
            griot: Griot::from_ref(state),
            event: event.clone(),
            asked: Mutex::default(),
            kind: PhantomData,
        })
    }
}
