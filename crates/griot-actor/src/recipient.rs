//! Whatever takes messages of one type: an actor, a crew of workers, a probe.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::mailbox::{Closed, TrySendError};

/// Takes messages of type `M`; who or what it is, is forgotten. Clones are cheap.
pub struct Recipient<M> {
    to: Arc<dyn Deliver<M>>,
}

pub(crate) trait Deliver<M>: Send + Sync {
    fn name(&self) -> &str;
    fn try_deliver(&self, message: M) -> Result<(), TrySendError<M>>;
    fn deliver(&self, message: M) -> BoxFuture<'_, Result<(), Closed<M>>>;
}

impl<M: Send + 'static> Recipient<M> {
    pub(crate) fn new(to: impl Deliver<M> + 'static) -> Self {
        Self { to: Arc::new(to) }
    }

    /// The recipient's name.
    pub fn name(&self) -> &str {
        self.to.name()
    }

    /// Sends a message and waits for room first if there is none. Allocates only to wait.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands the message back.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message was not sent.
    pub async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        match self.to.try_deliver(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(Closed(message)),
            Err(TrySendError::Full(message)) => self.to.deliver(message).await,
        }
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] hands the message back.
    pub fn try_tell(&self, message: M) -> Result<(), TrySendError<M>> {
        self.to.try_deliver(message)
    }
}

impl<M> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self {
            to: Arc::clone(&self.to),
        }
    }
}

impl<M> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient")
            .field("name", &self.to.name())
            .finish_non_exhaustive()
    }
}
