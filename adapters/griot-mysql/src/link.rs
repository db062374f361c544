//! The way to the server: one question, one answer, and what is known where there is none.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use griot_journal::JournalError;
use griot_journal::adapter::Fault;
use sqlx::mysql::{MySql, MySqlArguments, MySqlPool, MySqlPoolOptions, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Connection as _, Error, Executor as _, MySqlConnection};
use tokio::time::{Instant, timeout};

use crate::{MysqlError, MysqlOptions};

/// A connection that was idle for longer is asked whether it is still there before it is used.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// What every connection begins with. Each statement of an append must see what was committed before it, and what is too
/// long must be refused, not cut.
const SESSION: &str = "
    set session transaction isolation level read committed;
    set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', session autocommit = 1";

/// Some connections, and how long an answer is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pool: MySqlPool,
    patience: Duration,
    ping_patience: Duration,
}

/// One connection that is kept: a pool would ask each time whether it is still there, which costs a round trip.
#[derive(Debug)]
pub(crate) struct Line {
    link: Link,
    kept: Option<(PoolConnection<MySql>, Instant)>,
}

/// What is asked.
pub(crate) type Question<'a> = Query<'a, MySql, MySqlArguments>;

impl Link {
    pub(crate) fn new(options: &MysqlOptions, connections: u32) -> Self {
        // A network may have forgotten all of them: then a new one is made while the caller still waits.
        let ping_patience = options.timeout / connections.saturating_mul(2).max(1);
        let pool = MySqlPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.timeout)
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(sqlx::raw_sql(SESSION)).await.map(drop) })
            })
            .before_acquire(move |connection, met| {
                Box::pin(async move {
                    if met.idle_for > IDLE_MAX {
                        pong(connection, ping_patience).await?;
                    }
                    Ok(true)
                })
            });
        Self {
            pool: pool.connect_lazy_with(options.session()),
            patience: options.timeout,
            ping_patience,
        }
    }

    pub(crate) async fn connection(&self) -> Result<PoolConnection<MySql>, Fault> {
        let connection = self.pool.acquire().await;
        connection.map_err(|error| Fault::NotAsked(told(error)))
    }

    /// Asks over whichever connection is free.
    ///
    /// # Cancel safety
    ///
    /// The server may go on with what it was asked.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Vec<MySqlRow>, Fault> {
        let mut connection = Some(self.connection().await?);
        self.ask_over(&mut connection, question).await
    }

    /// Asks over this connection, which is gone then where there was no answer: a transaction may be open on the
    /// other side, and what else comes over it may be the answer to this question.
    async fn ask_over(
        &self,
        connection: &mut Option<PoolConnection<MySql>>,
        question: Question<'_>,
    ) -> Result<Vec<MySqlRow>, Fault> {
        let Some(used) = connection.take() else {
            return Err(Fault::NotAsked(JournalError::Closed));
        };
        // Dropped in the middle of a question, it goes with it.
        let mut used = Used(Some(used));
        let mut rows = Vec::new();
        let answer = timeout(self.patience, used.answer(question, &mut rows)).await;
        match answer {
            Ok(Ok(())) => {
                *connection = used.0.take();
                Ok(rows)
            }
            // A procedure tells its rows right before it commits: without them it has come to nothing.
            Ok(Err(error)) if rows.is_empty() && is_told_by_the_server(&error) => {
                Err(Fault::Refused(told(error)))
            }
            Ok(Err(error)) => Err(Fault::Unknown(told(error))),
            Err(_) => {
                let after = self.patience;
                Err(Fault::Unknown(MysqlError::Silent { after }.into()))
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection that is not given back unless it is taken out.
struct Used(Option<PoolConnection<MySql>>);

impl Used {
    async fn answer(
        &mut self,
        question: Question<'_>,
        rows: &mut Vec<MySqlRow>,
    ) -> Result<(), Error> {
        let Some(connection) = &mut self.0 else {
            return Err(Error::PoolClosed);
        };
        let mut answer = question.fetch(&mut **connection);
        while let Some(row) = answer.try_next().await? {
            rows.push(row);
        }
        Ok(())
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
    pub(crate) async fn ask(&mut self, question: Question<'_>) -> Result<Vec<MySqlRow>, Fault> {
        let mut connection = self.well().await;
        if connection.is_none() {
            connection = Some(self.link.connection().await?);
        }
        let answer = self.link.ask_over(&mut connection, question).await;
        self.kept = connection.map(|connection| (connection, Instant::now()));
        answer
    }

    /// The connection that is kept, if it is still there.
    async fn well(&mut self) -> Option<PoolConnection<MySql>> {
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
async fn pong(connection: &mut MySqlConnection, patience: Duration) -> Result<(), Error> {
    let pong = timeout(patience, connection.ping()).await;
    pong.map_err(|_| Error::Io(std::io::ErrorKind::TimedOut.into()))?
}

/// What could not be encoded was not sent.
fn is_told_by_the_server(error: &Error) -> bool {
    matches!(error, Error::Database(_) | Error::Encode(_))
}

pub(crate) fn told(error: Error) -> JournalError {
    match error {
        Error::PoolClosed => JournalError::Closed,
        error => MysqlError::Database(error).into(),
    }
}
