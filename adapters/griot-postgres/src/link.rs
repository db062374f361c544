//! The way to the server: one question, one answer, and what is known where there is none.

use std::time::Duration;

use griot_journal::JournalError;
use griot_journal::adapter::Fault;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection as _, Error, PgConnection};
use tokio::time::Instant;

use crate::{PostgresError, PostgresOptions};

/// A connection that was idle for longer is asked whether it is still there before it is used.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Some connections, and how long an answer is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pool: PgPool,
    patience: Duration,
    ping_patience: Duration,
}

/// One connection that is kept: a pool would ask each time whether it is still there, which costs a round trip.
#[derive(Debug)]
pub(crate) struct Line {
    link: Link,
    kept: Option<(PoolConnection<Postgres>, Instant)>,
}

/// What is asked.
pub(crate) type Question<'a> = Query<'a, Postgres, PgArguments>;

impl Link {
    pub(crate) fn new(
        options: &PostgresOptions,
        session: PgConnectOptions,
        connections: u32,
    ) -> Self {
        // A network may have forgotten all of them: then a new one is made while the caller still waits.
        let ping_patience = options.timeout / connections.saturating_mul(2).max(1);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, met| {
                Box::pin(async move {
                    if met.idle_for > IDLE_MAX {
                        pong(connection, ping_patience).await?;
                    }
                    Ok(true)
                })
            });
        Self {
            pool: pool.connect_lazy_with(session),
            patience: options.timeout,
            ping_patience,
        }
    }

    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, Fault> {
        let connection = self.pool.acquire().await;
        connection.map_err(|error| Fault::NotAsked(told(error)))
    }

    /// Asks over whichever connection is free.
    ///
    /// # Cancel safety
    ///
    /// The server may go on with what it was asked.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Vec<PgRow>, Fault> {
        let mut connection = Some(self.connection().await?);
        self.ask_over(&mut connection, question).await
    }

    /// Asks over this connection, which is gone then where it cannot be trusted any more.
    async fn ask_over(
        &self,
        connection: &mut Option<PoolConnection<Postgres>>,
        question: Question<'_>,
    ) -> Result<Vec<PgRow>, Fault> {
        let Some(used) = connection.take() else {
            return Err(Fault::NotAsked(JournalError::Closed));
        };
        // Dropped in the middle of a question, it goes with it.
        let mut used = Used(Some(used));
        let answer = tokio::time::timeout(self.patience, used.answer(question)).await;
        let (answer, is_sound) = match answer {
            Ok(Ok(rows)) => (Ok(rows), true),
            Ok(Err(error)) if is_taken_back(&error) => (Err(Fault::Refused(told(error))), true),
            Ok(Err(error)) => (Err(Fault::Unknown(told(error))), false),
            Err(_) => {
                let after = self.patience;
                let silent = PostgresError::Silent { after };
                (Err(Fault::Unknown(silent.into())), false)
            }
        };
        if is_sound {
            *connection = used.0.take();
        }
        answer
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection that is not given back unless it is taken out: what else comes over it may be the answer to the
/// question before, and the pool would wait for that for as long as the network is silent.
struct Used(Option<PoolConnection<Postgres>>);

impl Used {
    async fn answer(&mut self, question: Question<'_>) -> Result<Vec<PgRow>, Error> {
        match &mut self.0 {
            Some(connection) => question.fetch_all(&mut **connection).await,
            None => Err(Error::PoolClosed),
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

impl Line {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, kept: None }
    }

    /// Asks in one round trip, save after a pause.
    pub(crate) async fn ask(&mut self, question: Question<'_>) -> Result<Vec<PgRow>, Fault> {
        let mut connection = self.well().await;
        if connection.is_none() {
            connection = Some(self.link.connection().await?);
        }
        let answer = self.link.ask_over(&mut connection, question).await;
        self.kept = connection.map(|connection| (connection, Instant::now()));
        answer
    }

    /// The connection that is kept, if it is still there.
    async fn well(&mut self) -> Option<PoolConnection<Postgres>> {
        let (mut connection, used) = self.kept.take()?;
        let was_idle = used.elapsed() > IDLE_MAX;
        if was_idle
            && pong(&mut connection, self.link.ping_patience)
                .await
                .is_err()
        {
            drop(connection.detach());
            return None;
        }
        Some(connection)
    }
}

/// Whether the server is still there.
async fn pong(connection: &mut PgConnection, patience: Duration) -> Result<(), Error> {
    let pong = tokio::time::timeout(patience, connection.ping()).await;
    pong.map_err(|_| Error::Io(std::io::ErrorKind::TimedOut.into()))?
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
