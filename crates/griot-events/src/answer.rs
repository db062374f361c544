//! What a handler answers.

use griot_core::Publication;

/// What becomes of a message once its handler has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done: the broker may forget it.
    Ack,
    /// These go out, in order; it is done once the broker has them all durably.
    Publish(Vec<Publication>),
    /// Handle it again, later; the messages of its key wait, the others go on.
    Retry {
        /// Why.
        reason: String,
    },
    /// It goes to its topic's dead-letter topic, with the reason, and is done.
    DeadLetter {
        /// Why.
        reason: String,
    },
}
