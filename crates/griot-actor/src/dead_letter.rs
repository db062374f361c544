//! Messages that nobody handled: counted always, described to whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;

/// How many dead letters a slow listener may fall behind before it misses some.
const LISTENER_LAG_MAX: usize = 256;

/// A message that nobody handled. The message itself is with its sender, or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The name of the actor it was for.
    pub actor: Arc<str>,
    /// The name of the message's type.
    pub message: &'static str,
    /// What happened.
    pub cause: DeadCause,
}

/// Why nobody handled a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadCause {
    /// It was sent to an actor that had ended; the sender has it back.
    Ended,
    /// It was in the mailbox of an actor that was killed, failed or stopped itself.
    Abandoned,
}

/// All dead letters of a [`System`](crate::System).
#[derive(Debug)]
pub struct DeadLetters {
    count: AtomicU64,
    listeners: broadcast::Sender<DeadLetter>,
}

impl DeadLetters {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            listeners: broadcast::Sender::new(LISTENER_LAG_MAX),
        }
    }

    /// How many there were since the system was made.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Every dead letter from now on. Who falls behind by more than 256 is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<DeadLetter> {
        self.listeners.subscribe()
    }

    pub(crate) fn record(&self, actor: &Arc<str>, message: &'static str, cause: DeadCause) {
        self.count.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%actor, message, ?cause, "dead letter");
        if self.listeners.receiver_count() > 0 {
            let letter = DeadLetter {
                actor: Arc::clone(actor),
                message,
                cause,
            };
            // The last listener may have gone since; the count stands.
            drop(self.listeners.send(letter));
        }
    }
}
