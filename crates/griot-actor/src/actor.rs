//! What a user writes: an actor, and a handler for each of its messages.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::Context;
use crate::messages::Messages;

/// State that lives in one task and is changed by one message at a time.
///
/// Implement [`Handle`] for each message in [`Actor::Messages`]. An actor is made by a factory, and
/// made anew by it whenever it fails (see [`Supervision`](crate::Supervision)); its mailbox and every
/// [`ActorRef`](crate::ActorRef) outlive that.
pub trait Actor: Sized + Send + 'static {
    /// The messages it handles, as a tuple: `(Add,)`, `(Add, Total)`, up to twelve.
    type Messages: Messages<Self>;

    /// Runs before the first message, each time the actor is made.
    ///
    /// # Errors
    ///
    /// A [`Failure`] is treated like a panic in a handler: the actor is restarted, or given up.
    fn started(
        &mut self,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = cx;
        std::future::ready(Ok(()))
    }

    /// Runs after the last message of a `stop` or a `drain`; not when killed or failed.
    fn stopped(&mut self, cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        let _ = cx;
        std::future::ready(())
    }
}

/// An actor's answer to one type of message.
pub trait Handle<M: Send + 'static>: Actor {
    /// What [`ActorRef::ask`](crate::ActorRef::ask) gives; `()` if there is nothing to say.
    type Reply: Send + 'static;

    /// Handles one message. The next one waits until this is ready, so bound every wait in here; an
    /// actor that asks itself waits until the deadline of that ask.
    ///
    /// # Cancel safety
    ///
    /// Only `kill` and the end of the runtime drop the future half-way, and the actor with it.
    fn handle(
        &mut self,
        message: M,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Self::Reply> + Send;
}

/// How an actor ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Ended {
    /// It finished the current message and handed back the rest.
    Stopped,
    /// It handled every message it had accepted.
    Drained,
    /// It was ended in the middle of whatever it did.
    Killed,
    /// It failed more often than its supervision allows.
    Failed(Failure),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Drained => f.write_str("drained"),
            Self::Killed => f.write_str("killed"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
        }
    }
}

/// Why an actor failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A handler, `started` or the factory panicked; the panic's message.
    #[error("the actor panicked: {0}; look for the panic's place on stderr")]
    Panic(Arc<str>),
    /// The actor said so, with [`Context::fail`] or from [`Actor::started`].
    #[error("the actor gave up: {0}")]
    Error(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A child failed more often than its supervision allows, and escalated.
    #[error("the child `{child}` failed for good: {failure}")]
    Child {
        /// The child's name.
        child: Arc<str>,
        /// What happened to it.
        #[source]
        failure: Box<Failure>,
    },
}

impl Failure {
    /// A failure with its cause.
    pub fn error(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Error(Arc::from(cause.into()))
    }

    pub(crate) fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        Self::Panic(Self::panic_text(payload))
    }

    pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> Arc<str> {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Arc::from(text.unwrap_or("a value that is not text"))
    }
}
