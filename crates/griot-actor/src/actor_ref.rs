//! A reference to an actor: everything others can do to it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::control::{Control, DRAIN, KILL};
use crate::dead_letter::DeadCause;
use crate::deadlines::{NoReply, Reply, Until, from_now};
use crate::mailbox::{Closed, Sender, TrySendError};
use crate::messages::{Contains, Envelope, Messages, Packet, Receives};
use crate::recipient::{Deliver, Recipient};
use crate::{Actor, Ended, Handle, System};

/// What all references to one actor share with its task.
pub(crate) struct Shared<A: Actor> {
    pub(crate) name: Arc<str>,
    pub(crate) system: System,
    pub(crate) sender: Sender<Envelope<A>>,
    pub(crate) control: Control<Envelope<A>>,
}

/// Names one logical actor: it stays good while the actor is restarted, and afterwards hands every
/// message back. Clones are cheap; dropping them does not end the actor.
pub struct ActorRef<A: Actor> {
    pub(crate) shared: Arc<Shared<A>>,
}

/// Why an [`ActorRef::ask`] has no answer.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError<M> {
    /// The actor takes no more messages; here is it back.
    #[error("the actor has ended; ask another")]
    Closed(M),
    /// The mailbox was full until the deadline. The message was not sent.
    #[error("the mailbox stayed full until the deadline; try again later or ask less")]
    Full,
    /// The message was sent, but not answered in time. It may yet be handled.
    #[error("no answer before the deadline; the message may yet be handled")]
    Deadline,
    /// The message was sent, and the actor failed over it or ended before it.
    #[error("the actor failed or ended before it answered; the message may have had an effect")]
    Unanswered,
}

/// A message need not be `Debug` for a result to be unwrapped.
impl<M> fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed(..)",
            Self::Full => "Full",
            Self::Deadline => "Deadline",
            Self::Unanswered => "Unanswered",
        })
    }
}

impl<A: Actor> ActorRef<A> {
    /// The actor's name; a child's name begins with its parent's and a slash.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Sends a message and waits for room in the mailbox first if there is none. A reply is dropped.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands the message back if the actor has ended. It counts as a dead letter.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message was not sent.
    pub async fn tell<M: Send + 'static, At>(&self, message: M) -> Result<(), Closed<M>>
    where
        A: Receives<M, At>,
    {
        let sent = self
            .shared
            .sender
            .send_as(message, |message| wrap::<A, M, At>(message, None));
        sent.await.inspect_err(|_| self.shared.refused::<M>())
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] hands the message back. If the actor has ended it counts as a dead letter.
    pub fn try_tell<M: Send + 'static, At>(&self, message: M) -> Result<(), TrySendError<M>>
    where
        A: Receives<M, At>,
    {
        let wrap = |message| wrap::<A, M, At>(message, None);
        let sent = self.shared.sender.try_send_as(message, wrap);
        sent.inspect_err(|error| {
            if !error.is_full() {
                self.shared.refused::<M>();
            }
        })
    }

    /// Sends many messages in order, many for one lock; waits for room as often as needed.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands back those that were not sent; each counts as a dead letter.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, a first part of the messages was sent.
    pub async fn tell_many<M: Send + 'static, At>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<(), Closed<Vec<M>>>
    where
        A: Receives<M, At>,
    {
        let mut envelopes: VecDeque<_> = messages
            .into_iter()
            .map(|message| wrap::<A, M, At>(message, None))
            .collect();
        if self.shared.sender.send_many(&mut envelopes).await.is_ok() {
            return Ok(());
        }
        let returned = envelopes
            .into_iter()
            .map(|envelope| self.returned::<M, At>(envelope));
        Err(Closed(returned.collect()))
    }

    /// Sends a message and waits for the reply, both within `deadline` from now.
    ///
    /// Actors that ask each other in a circle, or themselves, wait for nothing but this deadline:
    /// prefer to `tell`, and let the answer come as a message.
    ///
    /// # Errors
    ///
    /// [`AskError`] says whether the message was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message may have been sent.
    pub async fn ask<M: Send + 'static, At>(
        &self,
        message: M,
        deadline: Duration,
    ) -> Result<<A as Handle<M>>::Reply, AskError<M>>
    where
        A: Receives<M, At>,
    {
        let (reply_to, reply) = oneshot::channel();
        let wrap = |(message, reply_to)| wrap::<A, M, At>(message, Some(reply_to));
        let mut until = Until::After(deadline);
        let sender = &self.shared.sender;
        let sent = match sender.try_send_as((message, reply_to), wrap) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(asked)) => Err(Closed(asked)),
            Err(TrySendError::Full(asked)) => {
                let deadline = from_now(deadline);
                until = Until::At(deadline);
                match timeout_at(deadline, sender.send_as(asked, wrap)).await {
                    Ok(sent) => sent,
                    Err(_) => return Err(AskError::Full),
                }
            }
        };
        if let Err(Closed((message, _))) = sent {
            self.shared.refused::<M>();
            return Err(AskError::Closed(message));
        }
        let reply = Reply::new(reply, until, self.shared.system.deadlines());
        reply.await.map_err(|no_reply| match no_reply {
            NoReply::Late => AskError::Deadline,
            NoReply::Dropped => AskError::Unanswered,
        })
    }

    /// Sends a pending message on to this actor, with the reply to whoever asked for it.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands it back if the actor has ended. It counts as a dead letter.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message was not sent.
    pub async fn redeliver(&self, pending: Pending<A>) -> Result<(), Closed<Pending<A>>> {
        self.shared
            .sender
            .send(pending.0)
            .await
            .map_err(|Closed(envelope)| {
                self.shared.dead(&envelope, DeadCause::Ended);
                Closed(Pending(envelope))
            })
    }

    /// Ends the actor after its current message, and gives every message it had accepted and not
    /// begun, also those accepted meanwhile: processed + pending = sent. Ready when it has ended.
    ///
    /// The first caller gets them; another gets none. If the actor ends otherwise meanwhile, they
    /// are handed back all the same. Never await this in a handler of the actor itself: use
    /// [`Context::stop`](crate::Context::stop).
    ///
    /// # Cancel safety
    ///
    /// Dropped once polled, the actor stops and what was pending counts as dead letters.
    pub async fn stop(&self) -> Vec<Pending<A>> {
        let pending = match self.shared.control.stop() {
            Some(pending) => pending.await.unwrap_or_default(),
            None => VecDeque::new(),
        };
        self.ended().await;
        pending.into_iter().map(Pending).collect()
    }

    /// Takes no more messages, handles all that were accepted, and ends. Ready when it has.
    ///
    /// # Cancel safety
    ///
    /// Dropped once polled, the actor drains on.
    pub async fn drain(&self) -> Ended {
        self.shared.control.raise(DRAIN);
        self.ended().await
    }

    /// Ends the actor now, in the middle of whatever it does. What is pending counts as dead letters.
    ///
    /// # Cancel safety
    ///
    /// Dropped once polled, the actor ends.
    pub async fn kill(&self) -> Ended {
        self.shared.control.raise(KILL);
        self.ended().await
    }

    /// Waits for the end, however it comes. The name is free by then.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn ended(&self) -> Ended {
        // The sender is dropped unused only with the actor's task, as by the end of the runtime.
        self.shared.control.wait().await.unwrap_or(Ended::Killed)
    }

    /// Whether the actor takes no more messages.
    pub fn is_closed(&self) -> bool {
        self.shared.sender.is_closed()
    }

    /// How many messages wait in the mailbox, besides the batch it works through.
    pub fn mailbox_len(&self) -> usize {
        self.shared.sender.len()
    }

    /// This actor as one of those that take an `M`, its own type forgotten.
    pub fn recipient<M: Send + 'static, At: 'static>(&self) -> Recipient<M>
    where
        A: Receives<M, At>,
    {
        Recipient::new(AtPlace {
            actor: self.clone(),
            place: PhantomData::<fn(At)>,
        })
    }

    fn returned<M: Send + 'static, At>(&self, envelope: Envelope<A>) -> M
    where
        A: Receives<M, At>,
    {
        self.shared.dead(&envelope, DeadCause::Ended);
        unwrap::<A, M, At>(envelope)
    }
}

impl<A: Actor> Shared<A> {
    fn refused<M>(&self) {
        let message = std::any::type_name::<M>();
        self.system
            .dead_letters()
            .record(&self.name, message, DeadCause::Ended);
    }

    pub(crate) fn dead(&self, envelope: &Envelope<A>, cause: DeadCause) {
        self.system
            .dead_letters()
            .record(&self.name, A::Messages::type_name(envelope), cause);
    }
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorRef")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A message that an actor accepted and did not begin, with the place its reply would go to.
pub struct Pending<A: Actor>(pub(crate) Envelope<A>);

impl<A: Actor> Pending<A> {
    /// The message; whoever asked learns that there will be no answer.
    ///
    /// # Errors
    ///
    /// Itself, if it is another type of message.
    pub fn into_message<M: Send + 'static, At>(self) -> Result<M, Self>
    where
        A: Receives<M, At>,
    {
        <A::Messages as Contains<A, M, At>>::unwrap(self.0)
            .map(|packet| packet.message)
            .map_err(Pending)
    }
}

impl<A: Actor> fmt::Debug for Pending<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending")
            .field(&A::Messages::type_name(&self.0))
            .finish()
    }
}

pub(crate) fn wrap<A: Receives<M, At>, M: Send + 'static, At>(
    message: M,
    reply_to: Option<oneshot::Sender<A::Reply>>,
) -> Envelope<A> {
    <A::Messages as Contains<A, M, At>>::wrap(Packet { message, reply_to })
}

fn unwrap<A: Receives<M, At>, M: Send + 'static, At>(envelope: Envelope<A>) -> M {
    match <A::Messages as Contains<A, M, At>>::unwrap(envelope) {
        Ok(packet) => packet.message,
        Err(_) => unreachable!("only an envelope that was just wrapped is unwrapped here"),
    }
}

struct AtPlace<A: Actor, At> {
    actor: ActorRef<A>,
    place: PhantomData<fn(At)>,
}

impl<A: Receives<M, At>, M: Send + 'static, At: 'static> Deliver<M> for AtPlace<A, At> {
    fn name(&self) -> &str {
        self.actor.name()
    }

    fn try_deliver(&self, message: M) -> Result<(), TrySendError<M>> {
        self.actor.try_tell(message)
    }

    fn deliver(&self, message: M) -> futures_util::future::BoxFuture<'_, Result<(), Closed<M>>> {
        Box::pin(self.actor.tell(message))
    }
}

/// An actor whose type is forgotten: what a system and a parent need of it.
pub(crate) trait AnyActor: Any + Send + Sync {
    fn raise(&self, flag: u8);
    fn wait(&self) -> oneshot::Receiver<Ended>;
}

impl<A: Actor> AnyActor for Shared<A> {
    fn raise(&self, flag: u8) {
        self.control.raise(flag);
    }

    fn wait(&self) -> oneshot::Receiver<Ended> {
        self.control.wait()
    }
}
