//! How a command can end other than with its reply.

use griot_core::CoreError;
use griot_journal::JournalError;

/// Why a command has no reply. What it says about the command is certain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError<E> {
    /// The entity decided against it. Nothing happened.
    #[error("rejected: {0}")]
    Rejected(E),
    /// It may or may not have happened: ask again with the same key to find out.
    #[error("the outcome is not known: ask again with the same key")]
    Unknown,
    /// A named limit is reached. Nothing happened; try again a little later.
    #[error("busy: nothing happened, try again a little later")]
    Busy,
    /// The entity cannot be served now (its journal cannot be written or read, or the program is
    /// stopping). Nothing happened; the log says why.
    #[error("unavailable: nothing happened, the log says why")]
    Unavailable,
    /// The key was used for another command. Nothing happened.
    #[error("the key was used for another command: use a new one")]
    KeyReused,
}

impl<E> AskError<E> {
    /// The same error with its rejection turned into something else.
    pub fn map_rejected<F>(self, map: impl FnOnce(E) -> F) -> AskError<F> {
        match self {
            Self::Rejected(error) => AskError::Rejected(map(error)),
            Self::Unknown => AskError::Unknown,
            Self::Busy => AskError::Busy,
            Self::Unavailable => AskError::Unavailable,
            Self::KeyReused => AskError::KeyReused,
        }
    }
}

/// Why the runtime did not start, or could not tell what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntityError {
    /// A name or a recorded payload is not usable.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The journal said no.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A kind of entity was registered twice.
    #[error("the kind {0:?} is registered twice: give each kind of entity its own name")]
    RegisteredTwice(&'static str),
    /// A kind of entity is not registered.
    #[error("the kind {0:?} is not registered: add `.entity(Entities::<…>::new())` to the builder")]
    NotRegistered(&'static str),
    /// An entity's events cannot be folded into a state.
    #[error("the entity cannot be read back: {0}")]
    Unreadable(String),
    /// A limit cannot work.
    #[error("the limit {name} cannot be {value}: {reason}")]
    Limit {
        /// Which.
        name: &'static str,
        /// What was given.
        value: String,
        /// Why it cannot work.
        reason: &'static str,
    },
}

/// How a delivery to an entity ended without an answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Unknown,
    Busy,
    Unavailable,
    KeyReused,
    /// The effect has its outcome already.
    Settled,
}

impl<E> From<Failure> for AskError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unknown => Self::Unknown,
            Failure::Busy => Self::Busy,
            // Only deliveries of outcomes settle, and they look at the failure itself.
            Failure::Unavailable | Failure::Settled => Self::Unavailable,
            Failure::KeyReused => Self::KeyReused,
        }
    }
}
