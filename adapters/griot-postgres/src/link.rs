//! The way to the server: one question, one answer, and what is known where there is none.

use std::time::Duration;

use griot_journal::{AppendError, JournalError};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection as _, Error};

use crate::{PostgresError, PostgresOptions};

/// A connection that was idle for longer is asked whether it is still there before it is used.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Some connections, and how long an answer is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pool: PgPool,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nothing was asked: there is no connection.
    NotAsked(JournalError),
    /// The server refused, and took back what it had begun.
    Refused(JournalError),
    /// It may or may not have been done.
    Unknown(JournalError),
}

impl Link {
    pub(crate) fn new(options: &PostgresOptions, connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, met| {
                Box::pin(async move {
                    if met.idle_for > IDLE_MAX {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        Self {
            pool: pool.connect_lazy_with(options.session()),
            patience: options.timeout,
        }
    }

    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, Fault> {
        let connection = self.pool.acquire().await;
        connection.map_err(|error| Fault::NotAsked(told(error)))
    }

    /// Asks in one round trip.
    ///
    /// # Cancel safety
    ///
    /// The server may go on with what it was asked.
    pub(crate) async fn ask(
        &self,
        question: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Fault> {
        let mut connection = self.connection().await?;
        let answer =
            tokio::time::timeout(self.patience, question.fetch_all(&mut *connection)).await;
        let fault = match answer {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) if is_taken_back(&error) => return Err(Fault::Refused(told(error))),
            Ok(Err(error)) => told(error),
            Err(_) => {
                let after = self.patience;
                PostgresError::Silent { after }.into()
            }
        };
        // What else comes over it may be the answer to this question.
        drop(connection.detach());
        Err(Fault::Unknown(fault))
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether an error says that the transaction was rolled back. One that ends the connection does not: it may come
/// after the commit.
fn is_taken_back(error: &Error) -> bool {
    let Error::Database(error) = error else {
        // What could not be encoded was not sent.
        return matches!(error, Error::Encode(_));
    };
    let code = error.code().unwrap_or_default();
    !["57P", "08", "40003", "XX"]
        .iter()
        .any(|class| code.starts_with(class))
}

pub(crate) fn told(error: Error) -> JournalError {
    match error {
        Error::PoolClosed => JournalError::Closed,
        error => PostgresError::Database(error).into(),
    }
}

impl Fault {
    pub(crate) fn error(self) -> JournalError {
        let (Self::NotAsked(error) | Self::Refused(error) | Self::Unknown(error)) = self;
        error
    }
}

impl From<Fault> for AppendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotAsked(error) | Fault::Refused(error) => Self::Refused(error),
            Fault::Unknown(error) => Self::Unknown(error),
        }
    }
}
