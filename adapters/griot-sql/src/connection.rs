//! What handlers write with: a connection in a transaction, the same on every database.

use std::fmt;
use std::future::ready;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt};
use griot_projection::Fault;
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::error::BoxDynError;
use sqlx::{Any, AnyConnection, Either, Error, Execute, Executor, SqlStr, Transaction};
use tokio::time::timeout;

use crate::Dialect;
use crate::fault::fault;
use crate::place::late;

/// A connection to the database, in a transaction: what statements of `sqlx` are executed on.
///
/// The values of a statement are written `?`, on every database; in PostgreSQL's operators that have one,
/// it is written `??`. Values are those of sqlx's [`Any`]: integers, floating-point numbers, text, bytes,
/// and those as an `Option`. Where databases differ, [`dialect`](Self::dialect) tells which it is, and
/// [`Sql`](crate::Sql) holds a text for each.
///
/// A statement that fails fails the transaction: nothing is committed, also where the handler goes on and
/// says that all is well.
pub struct SqlConnection {
    pub(crate) inner: Transaction<'static, Any>,
    dialect: Dialect,
    /// How long an answer is waited for.
    pub(crate) patience: Option<Duration>,
    /// What the first statement met that failed.
    pub(crate) fault: Option<Fault>,
}

/// A transaction: dereferences to its [connection](SqlConnection). Dropped, it is rolled back.
#[derive(Debug)]
pub struct SqlTransaction {
    pub(crate) connection: SqlConnection,
    /// For a rebuild, the live tables' place and that beside it, as names of their tables begin.
    pub(crate) places: Option<Places>,
}

/// Where tables are: a schema, a database or a file, by its quoted name.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) live: String,
    pub(crate) beside: String,
}

/// A statement as the database takes it.
struct Spelled {
    sql: SqlStr,
    arguments: Option<AnyArguments>,
    persistent: bool,
}

impl SqlConnection {
    /// Which SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn spell<'q>(&self, mut query: impl Execute<'q, Any>) -> Result<Spelled, Error> {
        let arguments = query.take_arguments().map_err(Error::Encode)?;
        let persistent = query.persistent();
        Ok(Spelled {
            sql: self.dialect.spell(query.sql()),
            arguments,
            persistent,
        })
    }

    /// The connection, and what remembers its first error.
    fn parts(&mut self) -> (&mut AnyConnection, impl FnMut(&Error) + Send) {
        let (dialect, first) = (self.dialect, &mut self.fault);
        let note = move |error: &Error| {
            first.get_or_insert_with(|| fault(dialect, error));
        };
        (&mut self.inner, note)
    }
}

impl SqlTransaction {
    pub(crate) fn new(
        inner: Transaction<'static, Any>,
        dialect: Dialect,
        patience: Option<Duration>,
    ) -> Self {
        Self {
            connection: SqlConnection {
                inner,
                dialect,
                patience,
                fault: None,
            },
            places: None,
        }
    }
}

impl<'c> Executor<'c> for &'c mut SqlConnection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self.spell(query) {
            Ok(spelled) => {
                let patience = self.patience;
                let (connection, note) = self.parts();
                let rows = patient(patience, connection.fetch_many(spelled));
                rows.inspect_err(note).boxed()
            }
            Err(error) => futures_util::stream::once(ready(Err(error))).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self.spell(query) {
            Ok(spelled) => {
                let patience = self.patience;
                let (connection, note) = self.parts();
                let row = within(patience, connection.fetch_optional(spelled));
                row.inspect_err(note).boxed()
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        let sql = self.dialect.spell(sql);
        let patience = self.patience;
        let (connection, note) = self.parts();
        let preparing = within(patience, connection.prepare_with(sql, parameters));
        preparing.inspect_err(note).boxed()
    }
}

/// What the server answers within that time.
pub(crate) async fn within<T>(
    patience: Option<Duration>,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(patience) = patience else {
        return answer.await;
    };
    let answered = timeout(patience, answer).await;
    answered.unwrap_or_else(|_| Err(late("the server does not answer a statement")))
}

/// Rows, each of which comes within that time.
fn patient<'e, T: Send + 'e>(
    patience: Option<Duration>,
    rows: BoxStream<'e, Result<T, Error>>,
) -> impl Stream<Item = Result<T, Error>> + Send + 'e {
    try_unfold(rows, move |mut rows| async move {
        let row = within(patience, rows.try_next()).await?;
        Ok(row.map(|row| (row, rows)))
    })
}

impl Execute<'_, Any> for Spelled {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&AnyStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<AnyArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

impl Deref for SqlTransaction {
    type Target = SqlConnection;

    fn deref(&self) -> &SqlConnection {
        &self.connection
    }
}

impl DerefMut for SqlTransaction {
    fn deref_mut(&mut self) -> &mut SqlConnection {
        &mut self.connection
    }
}

impl fmt::Debug for SqlConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("SqlConnection");
        debug
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}
