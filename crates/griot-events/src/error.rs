//! What can go wrong with a broker, and what to do about it.

use std::error::Error;
use std::sync::Arc;

/// The error that a broker's client gave.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// An error of a broker. Cheap to clone, since one lost connection is told to many.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// It cannot be reached now; it is tried again.
    #[error("the broker cannot be reached, trying again may help")]
    Unreachable(#[source] Cause),
    /// Nobody knows whether it happened: with a message id it may be tried again.
    #[error(
        "the broker did not confirm in time, it may have happened: try again with the same message id"
    )]
    Unknown(#[source] Cause),
    /// Trying again does not help.
    #[error("the broker refuses {what}: {reason}")]
    Refused {
        /// What was asked of it.
        what: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// It was closed here.
    #[error("the broker was closed")]
    Closed,
}

impl BrokerError {
    /// Its text with those of its causes, on one line.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
