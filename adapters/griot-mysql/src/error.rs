//! What this journal says that others do not, inside [`JournalError::Store`] or
//! [`JournalError::Unreachable`].

use std::sync::Arc;
use std::time::Duration;

use griot_journal::JournalError;

/// What can go wrong with this journal only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MysqlError {
    /// The URL says something that cannot be.
    #[error("the MySQL URL cannot be used: {reason}")]
    Url {
        /// What, and what to say instead.
        reason: String,
    },
    /// The server forgets in a power cut what it has committed.
    #[error("the server would lose commits in a power cut: set {setting} = 1 in its configuration")]
    NotDurable {
        /// Which of its settings is not the safe one.
        setting: &'static str,
    },
    /// The server did not answer.
    #[error("the server did not answer within {} s: see whether it is well, or raise timeout_seconds", after.as_secs())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// A stored value is none that griot wrote.
    #[error("{what} {value:?} was not written by griot: restore the tables from a backup")]
    Foreign {
        /// Of what.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// The server, or the way to it, said no.
    #[error("MySQL: {0}")]
    Database(#[from] sqlx::Error),
}

impl MysqlError {
    /// Whether it passes by itself once somebody starts the server, or makes room in it.
    fn is_unreachable(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            // It has no room for another connection, or goes down.
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| ["08004", "08S01"].contains(&&*code)),
            Self::Database(error) => {
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)
            }
            _ => false,
        }
    }
}

impl From<MysqlError> for JournalError {
    fn from(error: MysqlError) -> Self {
        if error.is_unreachable() {
            return Self::Unreachable(Arc::new(error));
        }
        Self::Store(Arc::new(error))
    }
}
