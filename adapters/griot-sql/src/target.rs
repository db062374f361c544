//! The target: a database, and griot's own rows in it.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use griot_core::{EntityId, Epoch, Timestamp};
use griot_projection::{Asked, Fault, Mark, Parked, ProjectionError, Slice, Standing, Target};
use sqlx::{AnyPool, AssertSqlSafe, SqlStr};

use crate::connection::within;
use crate::inbox;
use crate::place::{ACQUIRE_MAX, Kind, Place};
use crate::rows::{self, signed, words};
use crate::{Dialect, Migrations, Sql, SqlConnection, SqlTransaction};

type Answer<T> = Result<T, ProjectionError>;

/// How much longer than the server takes for a statement its answer is waited for.
const BEYOND: Duration = Duration::from_secs(5);

/// A database in which projections keep their tables. Cheap to clone.
#[derive(Clone)]
pub struct SqlTarget {
    pub(crate) place: Place,
    pub(crate) migrations: Migrations,
    pub(crate) pool: AnyPool,
}

impl SqlTarget {
    /// Whether [`open`](SqlTarget::open) could use `url`, as far as can be told without connecting.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Refused`] and [`ProjectionError::Target`], with what is wrong with it.
    pub fn check_url(url: &str) -> Answer<()> {
        Place::parse(url)?.options().map(drop)
    }

    /// Opens the database, and brings its tables up to date: griot's own, and yours by `migrations`, which
    /// also make them anew for a rebuild. The database is one of
    ///
    /// - `PATH` or `sqlite://PATH`: a file of SQLite, which is made where there is none;
    /// - `postgres://USER:PASSWORD@HOST/DATABASE`, where `?schema=NAME` keeps everything in a schema, which
    ///   is made where there is none;
    /// - `mysql://USER:PASSWORD@HOST/DATABASE`, or `mariadb://`.
    ///
    /// A server's takes `?connections=8`, and `statement_seconds=60`: how long a statement of a handler or a reader may
    /// take, and how long the server waits for the next in a transaction (0: for ever). What else stands there is for the server's client. A database
    /// needs its feature of this crate.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Refused`] for a URL that cannot be; [`ProjectionError::Target`] where the database
    /// cannot be opened or a migration fails, or reads otherwise than when it was applied.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some migrations may have been applied; the next opening applies the others.
    pub async fn open(url: &str, migrations: Migrations) -> Answer<Self> {
        Self::open_at(Place::parse(url)?, migrations).await
    }

    pub(crate) async fn open_at(place: Place, migrations: Migrations) -> Answer<Self> {
        place.reach().await?;
        let pool = place.connect(place.connections, Vec::new()).await?;
        if let Kind::Postgres {
            schema: Some(schema),
            ..
        } = &place.kind
        {
            let schema = Dialect::Postgres.quoted(schema);
            let making = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
            // Of several who make it at once all but one fail, once it is there.
            if run(&pool, making.clone()).await.is_err() {
                run(&pool, making).await?;
            }
        }
        migrations.run(&pool, place.dialect()).await?;
        Ok(Self {
            place,
            migrations,
            pool,
        })
    }

    /// Opens the database as it is, for looking at what projections keep there and steering them: makes and changes no
    /// table. `None` where no projection ever kept anything. It cannot be rebuilt from.
    ///
    /// # Errors
    ///
    /// As [`open`](SqlTarget::open).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn attach(url: &str) -> Answer<Option<Self>> {
        let place = Place::parse(url)?;
        if let Kind::Sqlite { path } = &place.kind
            && !path.is_file()
        {
            return Ok(None);
        }
        place.reach().await?;
        let pool = place.connect(place.connections, Vec::new()).await?;
        let counting = sqlx::query_scalar(OWN_TABLES.text(place.dialect()));
        let count: i64 = counting
            .fetch_one(&pool)
            .await
            .map_err(ProjectionError::target)?;
        Ok((count == 2).then(|| Self {
            place,
            migrations: Migrations::new("", [""; 0]),
            pool,
        }))
    }

    /// Which SQL the database speaks.
    pub fn dialect(&self) -> Dialect {
        self.place.dialect()
    }

    /// Begins a transaction for reading the tables: all its statements see them as they are now.
    ///
    /// ```
    /// # async fn count(target: griot_sql::SqlTarget) -> Result<i64, Box<dyn std::error::Error>> {
    /// let mut reading = target.read().await?;
    /// let count = sqlx::query_scalar("SELECT count(*) FROM items WHERE cart = ?").bind("a");
    /// Ok(count.fetch_one(&mut *reading).await?)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Target`] where there is no connection to be had.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn read(&self) -> Answer<SqlTransaction> {
        self.begin_by(match self.dialect() {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Dialect::Mysql => {
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
                 START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
            }
        })
        .await
    }

    /// The connections, as sqlx has them: statements are then spelled as the database takes them, with `$1` for
    /// a value on PostgreSQL.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    async fn begin_by(&self, statement: &'static str) -> Answer<SqlTransaction> {
        let (pool, patience) = (self.pool.clone(), self.patience());
        // In a task of its own: sqlx does not know of a transaction whose beginning was dropped half-way, and would give
        // its connection to the next.
        let beginning =
            tokio::spawn(async move { pool.begin_with(SqlStr::from_static(statement)).await });
        let begun = async { beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)) };
        // It may have to wait for a connection, too.
        let begun = within(patience.map(|patience| patience + ACQUIRE_MAX), begun).await;
        let begun = begun.map_err(ProjectionError::target)?;
        Ok(SqlTransaction::new(begun, self.dialect(), patience))
    }

    /// How long an answer is waited for: a little longer than the server takes for one, which says why.
    fn patience(&self) -> Option<Duration> {
        let statement = self.place.statement;
        (!statement.is_zero()).then(|| statement + BEYOND)
    }
}

/// Executes a statement in which every name is quoted.
pub(crate) async fn run(pool: &AnyPool, statement: String) -> Answer<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await;
    done.map(|_| ()).map_err(ProjectionError::target)
}

/// What [`Target::begin`] begins with.
pub(crate) fn begin_to_write(dialect: Dialect) -> &'static str {
    match dialect {
        // A transaction that only wants to write later is refused once another has written.
        // The connection may have been one for what is durable.
        Dialect::Sqlite => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
        // What was waited for is seen, whatever the server's default.
        Dialect::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        Dialect::Mysql => "START TRANSACTION READ WRITE",
    }
}

/// How many of griot's own tables there are.
const OWN_TABLES: Sql = Sql::new(
    "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() \
     AND table_name IN ('griot_projections', 'griot_parked')",
)
.on_sqlite(
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' \
     AND name IN ('griot_projections', 'griot_parked')",
)
.on_mysql(
    "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() \
     AND table_name IN ('griot_projections', 'griot_parked')",
);

const LOAD: Sql =
    Sql::new("SELECT * FROM griot_projections WHERE projection = ? AND slice = ? FOR UPDATE")
        .on_sqlite("SELECT * FROM griot_projections WHERE projection = ? AND slice = ?");

const PARKED: Sql = Sql::new(
    "SELECT entity, seq, reason, retry FROM griot_parked WHERE projection = ? AND slice = ? \
     ORDER BY entity",
)
.on_mysql(
    "SELECT CONVERT(entity USING utf8mb4) AS entity, seq, reason, retry FROM griot_parked \
     WHERE projection = ? AND slice = ? ORDER BY griot_parked.entity",
);

const PARK: Sql = Sql::new(
    "INSERT INTO griot_parked (projection, slice, entity, seq, reason, retry) \
     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (projection, slice, entity) \
     DO UPDATE SET seq = excluded.seq, reason = excluded.reason, retry = excluded.retry",
)
.on_mysql(
    "INSERT INTO griot_parked (projection, slice, entity, seq, reason, retry) \
     VALUES (?, ?, ?, ?, ?, ?) \
     ON DUPLICATE KEY UPDATE seq = VALUES(seq), reason = VALUES(reason), retry = VALUES(retry)",
);

impl Target for SqlTarget {
    type Connection = SqlConnection;
    type Transaction = SqlTransaction;

    async fn begin(&self) -> Answer<SqlTransaction> {
        self.begin_by(begin_to_write(self.dialect())).await
    }

    async fn begin_durable(&self) -> Answer<SqlTransaction> {
        self.begin_by(match self.dialect() {
            Dialect::Sqlite => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            Dialect::Postgres => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on"
            }
            // Only the server's own settings say so.
            Dialect::Mysql => begin_to_write(Dialect::Mysql),
        })
        .await
    }

    async fn begin_reading(&self) -> Answer<SqlTransaction> {
        self.read().await
    }

    async fn commit(&self, transaction: SqlTransaction) -> Answer<()> {
        // The transaction's own: that of a swap is not bounded.
        let SqlConnection {
            inner, patience, ..
        } = transaction.connection;
        let committed = within(patience, inner.commit()).await;
        committed.map_err(ProjectionError::target)
    }

    fn fault(&self, transaction: &mut SqlTransaction) -> Option<Fault> {
        transaction.connection.fault.take()
    }

    async fn load(
        &self,
        transaction: &mut SqlTransaction,
        slice: &Slice,
    ) -> Answer<Option<Standing>> {
        let found = sqlx::query(LOAD.text(self.dialect()))
            .bind(&*slice.projection)
            .bind(i64::from(slice.number))
            .fetch_optional(&mut **transaction)
            .await;
        let found = found.map_err(ProjectionError::target)?;
        found.as_ref().map(rows::standing).transpose()
    }

    async fn slices(
        &self,
        transaction: &mut SqlTransaction,
        projection: &str,
    ) -> Answer<Vec<Standing>> {
        let found =
            sqlx::query("SELECT * FROM griot_projections WHERE projection = ? ORDER BY slice")
                .bind(projection)
                .fetch_all(&mut **transaction)
                .await;
        let found = found.map_err(ProjectionError::target)?;
        found.iter().map(rows::standing).collect()
    }

    async fn insert(
        &self,
        transaction: &mut SqlTransaction,
        slice: &Slice,
        standing: &Standing,
    ) -> Answer<()> {
        let (state, reason) = words(&standing.state);
        let inserted = sqlx::query(
            "INSERT INTO griot_projections (projection, slice, version, slices, epoch, \
             journal_offset, events, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&*slice.projection)
        .bind(i64::from(slice.number))
        .bind(i64::from(standing.version))
        .bind(i64::from(standing.slices))
        .bind(signed(standing.epoch.get())?)
        .bind(signed(standing.offset.get())?)
        .bind(signed(standing.events)?)
        .bind(state)
        .bind(reason)
        .execute(&mut **transaction)
        .await;
        inserted.map(|_| ()).map_err(ProjectionError::target)
    }

    async fn store(
        &self,
        transaction: &mut SqlTransaction,
        slice: &Slice,
        held: Epoch,
        standing: &Standing,
    ) -> Answer<u64> {
        let (state, reason) = words(&standing.state);
        let stored = sqlx::query(
            "UPDATE griot_projections SET version = ?, slices = ?, epoch = ?, journal_offset = ?, \
             events = ?, state = ?, reason = ? WHERE projection = ? AND slice = ? AND epoch = ?",
        )
        .bind(i64::from(standing.version))
        .bind(i64::from(standing.slices))
        .bind(signed(standing.epoch.get())?)
        .bind(signed(standing.offset.get())?)
        .bind(signed(standing.events)?)
        .bind(state)
        .bind(reason)
        .bind(&*slice.projection)
        .bind(i64::from(slice.number))
        .bind(signed(held.get())?)
        .execute(&mut **transaction)
        .await;
        let stored = stored.map_err(ProjectionError::target)?;
        Ok(stored.rows_affected())
    }

    async fn remove(&self, transaction: &mut SqlTransaction, slice: &Slice) -> Answer<()> {
        let removed =
            sqlx::query("DELETE FROM griot_projections WHERE projection = ? AND slice = ?")
                .bind(&*slice.projection)
                .bind(i64::from(slice.number))
                .execute(&mut **transaction)
                .await;
        removed.map(|_| ()).map_err(ProjectionError::target)
    }

    async fn parked(&self, transaction: &mut SqlTransaction, slice: &Slice) -> Answer<Vec<Parked>> {
        let found = sqlx::query(PARKED.text(self.dialect()))
            .bind(&*slice.projection)
            .bind(i64::from(slice.number))
            .fetch_all(&mut **transaction)
            .await;
        let found = found.map_err(ProjectionError::target)?;
        found.iter().map(rows::parked).collect()
    }

    async fn park(
        &self,
        transaction: &mut SqlTransaction,
        slice: &Slice,
        parked: &Parked,
    ) -> Answer<()> {
        let stored = sqlx::query(PARK.text(self.dialect()))
            .bind(&*slice.projection)
            .bind(i64::from(slice.number))
            .bind(parked.entity.as_str())
            .bind(signed(parked.seq.get())?)
            .bind(&parked.reason)
            .bind(i64::from(parked.asked == Asked::Retry))
            .execute(&mut **transaction)
            .await;
        stored.map(|_| ()).map_err(ProjectionError::target)
    }

    async fn unpark(
        &self,
        transaction: &mut SqlTransaction,
        slice: &Slice,
        entity: &EntityId,
    ) -> Answer<()> {
        let removed = sqlx::query(
            "DELETE FROM griot_parked WHERE projection = ? AND slice = ? AND entity = ?",
        )
        .bind(&*slice.projection)
        .bind(i64::from(slice.number))
        .bind(entity.as_str())
        .execute(&mut **transaction)
        .await;
        removed.map(|_| ()).map_err(ProjectionError::target)
    }

    async fn remember(
        &self,
        transaction: &mut SqlTransaction,
        projection: &str,
        marks: &[Mark],
        at: Timestamp,
    ) -> Answer<HashSet<Mark>> {
        inbox::remember(transaction, projection, marks, at).await
    }

    async fn forget(
        &self,
        transaction: &mut SqlTransaction,
        projection: &str,
        before: Timestamp,
        max: u32,
    ) -> Answer<u64> {
        inbox::forget(transaction, projection, before, max).await
    }
}

impl fmt::Debug for SqlTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("SqlTarget");
        debug.field("place", &self.place).finish_non_exhaustive()
    }
}
