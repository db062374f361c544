//! The way to the cluster: one question, one answer, and what is known where there is none.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use griot_journal::JournalError;
use griot_journal::adapter::Fault;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row};
use tokio::time::{Instant, sleep, timeout_at};

use crate::options::Agreement;
use crate::statements::Statements;
use crate::{CassandraError, CassandraOptions, schema};

/// Between two attempts, while the cluster is not well.
const PAUSE: Duration = Duration::from_millis(50);

/// How many questions are on their way at a time, of those that belong together.
const AT_ONCE: usize = 64;

/// About as many answers a new session waits for, one after the other.
const QUESTIONS_AT_START: u32 = 4;

/// A session, what is asked over it, and how long an answer is waited for.
#[derive(Debug)]
pub(crate) struct Link {
    session: Session,
    pub(crate) statements: Statements,
    pub(crate) journal: String,
    pub(crate) patience: Duration,
}

/// A statement that writes, and its values.
pub(crate) type Write<'a> = (
    &'a PreparedStatement,
    Box<dyn SerializeRow + Send + Sync + 'a>,
);

/// Why there is no answer.
#[derive(Debug)]
enum Trouble {
    /// Nothing was done; it may be in a moment.
    Away(ExecutionError),
    /// Nothing was done, and never will be.
    Refused(ExecutionError),
    /// The cluster gave up on it. It may have been done.
    Slow(ExecutionError),
    /// Nothing was heard. It may be done at any time.
    Silent(CassandraError),
}

impl Link {
    pub(crate) async fn open(options: &CassandraOptions) -> Result<Self, JournalError> {
        let session = session(options).await?;
        schema::prepare(&session, options).await?;
        let keyspace = &options.keyspace;
        let preparing = Statements::prepare(&session, keyspace, options.agreement);
        let statements = preparing.await.map_err(prepare_error)?;
        Ok(Self {
            session,
            statements,
            journal: options.journal.clone(),
            patience: options.timeout,
        })
    }

    /// Until when an answer is waited for.
    pub(crate) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.patience).unwrap_or(now)
    }

    /// Asks what may be asked again: while the cluster is not well, it is, until the patience is at its end.
    ///
    /// # Cancel safety
    ///
    /// The cluster may go on with what it was asked.
    pub(crate) async fn ask(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryResult, JournalError> {
        let asked = || self.session.execute_unpaged(statement, &values);
        self.again_and_again(asked).await
    }

    /// Writes rows of one partition as one, as [`ask`](Self::ask) does.
    pub(crate) async fn ask_together(&self, writes: Vec<Write<'_>>) -> Result<(), JournalError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        let mut rows = Vec::with_capacity(writes.len());
        for (statement, values) in writes {
            batch.append_statement(statement.clone());
            rows.push(values);
        }
        let asked = || self.session.batch(&batch, &rows);
        self.again_and_again(asked).await.map(drop)
    }

    async fn again_and_again<T, F: Future<Output = Result<T, ExecutionError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, JournalError> {
        let deadline = self.deadline();
        loop {
            let trouble = match self.once(ask(), deadline).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            let is_over = Instant::now() + PAUSE >= deadline;
            if is_over || matches!(trouble, Trouble::Refused(_)) {
                return Err(trouble.error());
            }
            sleep(PAUSE).await;
        }
    }

    /// The rows of an answer.
    pub(crate) async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, JournalError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        rows(self.ask(statement, values).await?)
    }

    /// The rows of an answer, of which as many come at a time as the statement says.
    pub(crate) fn pages<'a, V: SerializeRow>(
        &'a self,
        statement: &'a PreparedStatement,
        values: V,
    ) -> Pages<'a, V> {
        Pages {
            link: self,
            statement,
            values,
            state: Some(PagingState::start()),
        }
    }

    /// Writes under a condition, and says whether it held. Where the cluster gave up on that it is asked again, so the
    /// answer may be "no" though it was written by this. Where nothing was heard, it may be written later still.
    pub(crate) async fn write_if(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<bool, Fault> {
        let deadline = self.deadline();
        let mut was_asked = false;
        loop {
            let asked = self.session.execute_unpaged(statement, &values);
            let trouble = match self.once(asked, deadline).await {
                Ok(answer) => return applied(answer).map_err(Fault::Unknown),
                Err(trouble) => trouble,
            };
            let is_over = Instant::now() + PAUSE >= deadline;
            let fault: fn(JournalError) -> Fault = match &trouble {
                Trouble::Silent(_) => Fault::Unknown,
                Trouble::Slow(_) => {
                    was_asked = true;
                    Fault::Unknown
                }
                _ if was_asked => Fault::Unknown,
                Trouble::Away(_) => Fault::NotAsked,
                Trouble::Refused(_) => Fault::Refused,
            };
            if is_over || matches!(trouble, Trouble::Silent(_) | Trouble::Refused(_)) {
                return Err(fault(trouble.error()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn once<T>(
        &self,
        asked: impl Future<Output = Result<T, ExecutionError>>,
        deadline: Instant,
    ) -> Result<T, Trouble> {
        match timeout_at(deadline, asked).await {
            Ok(answer) => answer.map_err(trouble),
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> Trouble {
        let after = self.patience;
        Trouble::Silent(CassandraError::Silent { after })
    }
}

/// An answer that comes page by page.
pub(crate) struct Pages<'a, V> {
    link: &'a Link,
    statement: &'a PreparedStatement,
    values: V,
    state: Option<PagingState>,
}

impl<V: SerializeRow> Pages<'_, V> {
    /// The next rows; `None` once there are no more.
    pub(crate) async fn next<R>(&mut self) -> Result<Option<Vec<R>>, JournalError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let Some(state) = &self.state else {
            return Ok(None);
        };
        let (session, statement) = (&self.link.session, self.statement);
        let asked = || session.execute_single_page(statement, &self.values, state.clone());
        let (page, next) = self.link.again_and_again(asked).await?;
        self.state = match next {
            PagingStateResponse::HasMorePages { state } => Some(state),
            PagingStateResponse::NoMorePages => None,
        };
        rows(page).map(Some)
    }

    /// All of them.
    pub(crate) async fn all<R>(mut self) -> Result<Vec<R>, JournalError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let mut all = Vec::new();
        while let Some(rows) = self.next().await? {
            all.extend(rows);
        }
        Ok(all)
    }
}

/// Waits for all of them, of which some are on their way at a time.
pub(crate) async fn all<V>(
    asked: Vec<impl Future<Output = Result<V, JournalError>>>,
) -> Result<Vec<V>, JournalError> {
    let asked = stream::iter(asked).buffer_unordered(AT_ONCE);
    asked.try_collect().await
}

async fn session(options: &CassandraOptions) -> Result<Session, JournalError> {
    options.check()?;
    let mut balance = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &options.datacenter {
        balance = balance.prefer_datacenter(datacenter.clone());
    }
    let (consistency, serial) = match options.agreement {
        Agreement::Quorum => (Consistency::Quorum, SerialConsistency::Serial),
        Agreement::LocalQuorum => (Consistency::LocalQuorum, SerialConsistency::LocalSerial),
    };
    let profile = ExecutionProfile::builder()
        .consistency(consistency)
        .serial_consistency(Some(serial))
        .load_balancing_policy(balance.build())
        // What may be asked again is known here, not there.
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .request_timeout(None);
    let connections = std::num::NonZeroUsize::new(options.connections);
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .default_execution_profile_handle(profile.build().into_handle())
        .pool_size(PoolSize::PerHost(
            connections.unwrap_or(std::num::NonZeroUsize::MIN),
        ))
        .connection_timeout(options.timeout)
        // A connection that the network forgot is given up before the patience of whoever waits is at its end.
        .keepalive_interval(options.timeout / 4)
        .keepalive_timeout(options.timeout / 2)
        .keyspaces_to_fetch([&options.keyspace])
        .schema_agreement_timeout(options.timeout);
    if let Some((user, password)) = &options.user {
        builder = builder.user(user, password);
    }
    // Many questions, each of which may take its time.
    let after = options.timeout.saturating_mul(QUESTIONS_AT_START);
    let session = tokio::time::timeout(after, builder.build()).await;
    let session = session.map_err(|_| CassandraError::Silent { after })?;
    Ok(session.map_err(|error| CassandraError::Away(Arc::new(error)))?)
}

impl Trouble {
    fn error(self) -> JournalError {
        match self {
            Self::Away(error) | Self::Slow(error) => CassandraError::Away(Arc::new(error)).into(),
            Self::Refused(error) => CassandraError::Cluster(Arc::new(error)).into(),
            Self::Silent(error) => error.into(),
        }
    }
}

fn trouble(error: ExecutionError) -> Trouble {
    match &error {
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => Trouble::Away(error),
        ExecutionError::BadQuery(_) => Trouble::Refused(error),
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::UnableToAllocStreamId => Trouble::Away(error),
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_) => Trouble::Refused(error),
            RequestAttemptError::DbError(said, _) => match said {
                DbError::IsBootstrapping => Trouble::Away(error),
                // The first two may also be told in the last phase of a write under a condition.
                DbError::Unavailable { .. }
                | DbError::Overloaded
                | DbError::WriteTimeout { .. }
                | DbError::ReadTimeout { .. }
                | DbError::WriteFailure { .. }
                | DbError::ReadFailure { .. }
                | DbError::ServerError
                | DbError::Other(_) => Trouble::Slow(error),
                _ => Trouble::Refused(error),
            },
            _ => Trouble::Silent(CassandraError::Away(Arc::new(error))),
        },
        _ => Trouble::Silent(CassandraError::Away(Arc::new(error))),
    }
}

pub(crate) fn prepare_error(error: PrepareError) -> JournalError {
    CassandraError::Away(Arc::new(error)).into()
}

pub(crate) fn rows<R>(answer: QueryResult) -> Result<Vec<R>, JournalError>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let rows = answer.into_rows_result().map_err(unexpected)?;
    let rows = rows.rows::<R>().map_err(unexpected)?;
    rows.map(|row| row.map_err(unexpected)).collect()
}

/// Whether a condition held, which is told in the first column.
fn applied(answer: QueryResult) -> Result<bool, JournalError> {
    let rows: Vec<Row> = rows(answer)?;
    let first = rows.first().and_then(|row| row.columns.first());
    match first {
        Some(Some(CqlValue::Boolean(applied))) => Ok(*applied),
        _ => Err(crate::stored::foreign("the answer to a condition").into()),
    }
}

fn unexpected(error: impl std::error::Error + Send + Sync + 'static) -> JournalError {
    CassandraError::Cluster(Arc::new(error)).into()
}
