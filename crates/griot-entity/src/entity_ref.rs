//! A reference to an entity, and how it is asked.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use griot_actor::deadlines::{Deadlines, FAR, NoReply, Reply, Until};
use griot_core::{CoreError, Entity, EntityId, Handle, Never, Seq, codec, stable_hash};
use serde::Serialize;

use crate::AskError;
use crate::delivery::{Answered, Target};
use crate::error::Failure;
use crate::keys::CommandKey;
use crate::kind::{Kind, Terms};

/// A reference to one entity: cheap to clone, valid whether or not the entity is in memory or has
/// ever been heard of.
pub struct EntityRef<E: Entity> {
    kind: Arc<Kind<E>>,
    target: Target,
}

impl<E: Entity> Clone for EntityRef<E> {
    fn clone(&self) -> Self {
        Self {
            kind: Arc::clone(&self.kind),
            target: self.target.clone(),
        }
    }
}

impl<E: Entity> fmt::Debug for EntityRef<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EntityRef({})", self.target.id)
    }
}

impl<E: Entity> EntityRef<E> {
    pub(crate) fn new(kind: Arc<Kind<E>>, id: EntityId) -> Self {
        let target = Target::new(id);
        Self { kind, target }
    }

    /// The entity's name.
    pub fn id(&self) -> &EntityId {
        &self.target.id
    }

    /// Asks the entity to decide on a command. Await the result; nothing is sent before.
    ///
    /// # Cancel safety
    ///
    /// Dropped while awaited, the command may or may not be decided.
    pub fn ask<C>(&self, command: C) -> Ask<'_, E, C>
    where
        E: Handle<C>,
        C: Send + 'static,
    {
        Ask {
            entity: self,
            command,
            terms: Terms::default(),
            deadline: self.kind.limits.ask_deadline,
            failure: None,
        }
    }

    /// Looks at the entity's state and sequence. It sees nothing that is not durable when the
    /// answer comes; where what it saw turns out not to have become durable, it looks again.
    ///
    /// # Errors
    ///
    /// [`AskError::Busy`], [`AskError::Unavailable`], or [`AskError::Unknown`] where there was no
    /// answer within the ask deadline.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by a look, so it may be dropped at any time.
    pub async fn read<R: Send + 'static>(
        &self,
        mut read: impl FnMut(&E, Seq) -> R + Send + 'static,
    ) -> Result<R, AskError<Never>> {
        let within = self.kind.limits.ask_deadline;
        let look = move |state: &E, seq| Some(read(state, seq));
        let seen = self.kind.look(self.target.clone(), within, look).await?;
        seen.ok_or(AskError::Unknown)
    }

    /// Waits until the state is as `until` wants it, and durable: gives what it returned. `None`
    /// when the time is up.
    ///
    /// # Errors
    ///
    /// As [`read`](EntityRef::read).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn wait_until<R: Send + 'static>(
        &self,
        within: Duration,
        until: impl FnMut(&E, Seq) -> Option<R> + Send + 'static,
    ) -> Result<Option<R>, AskError<Never>> {
        let within = within.min(FAR);
        self.kind.look(self.target.clone(), within, until).await
    }
}

/// A command to be asked. Awaiting it gives the reply.
#[must_use = "nothing is asked until it is awaited"]
pub struct Ask<'a, E: Entity, C> {
    entity: &'a EntityRef<E>,
    command: C,
    terms: Terms,
    deadline: Duration,
    /// Why it cannot be asked.
    failure: Option<Failure>,
}

/// A hash of a command's type and content.
fn fingerprint<C: Serialize>(command: &C) -> Result<u64, CoreError> {
    let (name, payload) = codec::encode_event(command)
        .or_else(|_| codec::encode_json("a command", command).map(|payload| ("", payload)))?;
    Ok(stable_hash(&[name.as_bytes(), b"\0", &payload].concat()))
}

impl<E: Entity, C> fmt::Debug for Ask<'_, E, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ask")
            .field("entity", &self.entity)
            .field("terms", &self.terms)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<E: Entity, C> Ask<'_, E, C> {
    /// Gives the command an idempotency key: asked again with it, the command has no second effect
    /// and the same answer, also across restarts, for as long as the entity's limits keep the key.
    pub fn key(mut self, key: impl Into<String>) -> Self
    where
        C: Serialize,
    {
        match fingerprint(&self.command) {
            Ok(fingerprint) => {
                let key = key.into();
                self.terms.key = Some(CommandKey { key, fingerprint });
            }
            Err(error) => {
                tracing::error!(entity = %self.entity.target.id, %error, "a command with a key cannot be told from others: it is refused");
                self.failure = Some(Failure::Unavailable);
            }
        }
        self
    }

    /// How long to wait for the answer; then it is [`AskError::Unknown`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(FAR);
        self
    }

    /// Keeps text beside the command's events, such as a trace context. What the entity publishes in
    /// this decision has it as a header, unless it has one of that name.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.terms.metadata.push((name.into(), value.into()));
        self
    }
}

impl<E, C> IntoFuture for Ask<'_, E, C>
where
    E: Handle<C>,
    C: Send + 'static,
{
    type Output = Result<E::Reply, AskError<E::Error>>;
    type IntoFuture = Asking<E::Reply, E::Error>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            entity,
            command,
            terms,
            deadline,
            failure,
        } = self;
        let offered = match failure {
            None => entity.kind.ask(entity.target.clone(), command, terms),
            Some(failure) => Err(failure),
        };
        let deadlines = entity.kind.deadlines();
        Asking(offered.map(|answer| Reply::new(answer, Until::After(deadline), deadlines)))
    }
}

/// The future of an [`Ask`].
pub struct Asking<R, X>(Result<Reply<Answered<R, X>, Arc<Deadlines>>, Failure>);

impl<R, X> fmt::Debug for Asking<R, X> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Asking")
    }
}

impl<R, X> Future for Asking<R, X> {
    type Output = Result<R, AskError<X>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut self.0 {
            Err(failure) => Err((*failure).into()),
            Ok(reply) => match ready!(Pin::new(reply).poll(cx)) {
                Ok(Ok(answer)) => answer.map_err(AskError::Rejected),
                Ok(Err(failure)) => Err(failure.into()),
                // The shard ended, or the time is up: it may have been decided.
                Err(NoReply::Dropped | NoReply::Late) => Err(AskError::Unknown),
            },
        })
    }
}
