//! What this journal says that others do not, inside [`JournalError::Store`] or
//! [`JournalError::Unreachable`].

use std::sync::Arc;
use std::time::Duration;

use griot_journal::JournalError;

/// What can go wrong with this journal only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The URL says something that cannot be.
    #[error("the PostgreSQL URL cannot be used: {reason}")]
    Url {
        /// What, and what to say instead.
        reason: String,
    },
    /// The database does not store text as UTF-8.
    #[error("the database's encoding is {found}: create one with encoding 'UTF8'")]
    Encoding {
        /// What it is.
        found: String,
    },
    /// PostgreSQL did not answer.
    #[error("PostgreSQL did not answer within {} s: see whether it is well, or raise timeout_seconds", after.as_secs())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// A number that no column holds, or a stored one that is no number of ours.
    #[error("{what} {number} is out of range: sequences end at 2^63 - 1")]
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// The number.
        number: i128,
    },
    /// A stored value is none that griot wrote.
    #[error("{what} {value:?} was not written by griot: restore the tables from a backup")]
    Foreign {
        /// Of what.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// PostgreSQL, or the way to it, said no.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
}

impl PostgresError {
    /// Whether it is the way to the server, or a server that starts or ends: not what was asked.
    fn is_unreachable(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Database(sqlx::Error::Database(error)) => {
                // 57P01 to 57P03: the server ends, crashed, or begins; 53300: it has too many clients.
                let code = error.code().unwrap_or_default();
                ["08", "57P", "53300"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }
            Self::Database(error) => {
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)
            }
            _ => false,
        }
    }
}

impl From<PostgresError> for JournalError {
    fn from(error: PostgresError) -> Self {
        if error.is_unreachable() {
            return Self::Unreachable(Arc::new(error));
        }
        Self::Store(Arc::new(error))
    }
}
