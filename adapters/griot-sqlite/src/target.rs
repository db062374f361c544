//! The target: a file, and griot's own rows in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use griot_core::{EntityId, Epoch};
use griot_projection::{Asked, Parked, ProjectionError, Slice, Standing, Target};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::rows::{self, signed, words};
use crate::schema;

type Answer<T> = Result<T, ProjectionError>;

/// Connections to one file: one writes at a time, the others read.
const CONNECTIONS_MAX: u32 = 8;

/// How long one waits for another process to end its transaction.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// A file of SQLite in which projections keep their tables. Cheap to clone.
#[derive(Clone)]
pub struct SqliteTarget {
    pub(crate) path: Arc<Path>,
    pub(crate) migrator: Arc<Migrator>,
    pool: SqlitePool,
}

impl SqliteTarget {
    /// Opens the file, or makes it, and brings its tables up to date: griot's own, and yours by
    /// `migrator`, which also makes them anew for a rebuild.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Target`] where the file cannot be opened or a migration fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some migrations may have been applied; the next opening applies the others.
    pub async fn open(path: impl Into<PathBuf>, migrator: Migrator) -> Answer<Self> {
        Self::open_with(path.into().into(), Arc::new(migrator)).await
    }

    pub(crate) async fn open_with(path: Arc<Path>, migrator: Arc<Migrator>) -> Answer<Self> {
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX);
        let pool = pool.connect_with(options(&path)).await;
        let pool = pool.map_err(ProjectionError::target)?;
        for migrator in [&schema::own(), &*migrator] {
            let migrated = migrator.run(&pool).await;
            migrated.map_err(ProjectionError::target)?;
        }
        Ok(Self {
            path,
            migrator,
            pool,
        })
    }

    /// Connections to the file, for reading the tables.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_MAX)
}

impl Target for SqliteTarget {
    type Connection = SqliteConnection;
    type Transaction = Transaction<'static, Sqlite>;

    async fn begin(&self) -> Answer<Self::Transaction> {
        // A transaction that only wants to write later is refused once another has written.
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(ProjectionError::target)
    }

    async fn begin_reading(&self) -> Answer<Self::Transaction> {
        self.pool.begin().await.map_err(ProjectionError::target)
    }

    async fn commit(&self, transaction: Self::Transaction) -> Answer<()> {
        transaction.commit().await.map_err(ProjectionError::target)
    }

    async fn load(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
    ) -> Answer<Option<Standing>> {
        let found =
            sqlx::query("SELECT * FROM griot_projections WHERE projection = ? AND slice = ?")
                .bind(&*slice.projection)
                .bind(slice.number)
                .fetch_optional(&mut **transaction)
                .await;
        let found = found.map_err(ProjectionError::target)?;
        found.as_ref().map(rows::standing).transpose()
    }

    async fn slices(
        &self,
        transaction: &mut Self::Transaction,
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
        transaction: &mut Self::Transaction,
        slice: &Slice,
        standing: &Standing,
    ) -> Answer<()> {
        let (state, reason) = words(&standing.state);
        let inserted = sqlx::query(
            "INSERT INTO griot_projections (projection, slice, version, slices, epoch, \
             journal_offset, events, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&*slice.projection)
        .bind(slice.number)
        .bind(standing.version)
        .bind(standing.slices)
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
        transaction: &mut Self::Transaction,
        slice: &Slice,
        held: Epoch,
        standing: &Standing,
    ) -> Answer<u64> {
        let (state, reason) = words(&standing.state);
        let stored = sqlx::query(
            "UPDATE griot_projections SET version = ?, slices = ?, epoch = ?, journal_offset = ?, \
             events = ?, state = ?, reason = ? WHERE projection = ? AND slice = ? AND epoch = ?",
        )
        .bind(standing.version)
        .bind(standing.slices)
        .bind(signed(standing.epoch.get())?)
        .bind(signed(standing.offset.get())?)
        .bind(signed(standing.events)?)
        .bind(state)
        .bind(reason)
        .bind(&*slice.projection)
        .bind(slice.number)
        .bind(signed(held.get())?)
        .execute(&mut **transaction)
        .await;
        let stored = stored.map_err(ProjectionError::target)?;
        Ok(stored.rows_affected())
    }

    async fn remove(&self, transaction: &mut Self::Transaction, slice: &Slice) -> Answer<()> {
        let removed =
            sqlx::query("DELETE FROM griot_projections WHERE projection = ? AND slice = ?")
                .bind(&*slice.projection)
                .bind(slice.number)
                .execute(&mut **transaction)
                .await;
        removed.map(|_| ()).map_err(ProjectionError::target)
    }

    async fn parked(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
    ) -> Answer<Vec<Parked>> {
        let found = sqlx::query(
            "SELECT * FROM griot_parked WHERE projection = ? AND slice = ? ORDER BY entity",
        )
        .bind(&*slice.projection)
        .bind(slice.number)
        .fetch_all(&mut **transaction)
        .await;
        let found = found.map_err(ProjectionError::target)?;
        found.iter().map(rows::parked).collect()
    }

    async fn park(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
        parked: &Parked,
    ) -> Answer<()> {
        let stored = sqlx::query(
            "INSERT INTO griot_parked (projection, slice, entity, seq, reason, retry) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (projection, slice, entity) \
             DO UPDATE SET seq = excluded.seq, reason = excluded.reason, retry = excluded.retry",
        )
        .bind(&*slice.projection)
        .bind(slice.number)
        .bind(parked.entity.as_str())
        .bind(signed(parked.seq.get())?)
        .bind(&parked.reason)
        .bind(parked.asked == Asked::Retry)
        .execute(&mut **transaction)
        .await;
        stored.map(|_| ()).map_err(ProjectionError::target)
    }

    async fn unpark(
        &self,
        transaction: &mut Self::Transaction,
        slice: &Slice,
        entity: &EntityId,
    ) -> Answer<()> {
        let removed = sqlx::query(
            "DELETE FROM griot_parked WHERE projection = ? AND slice = ? AND entity = ?",
        )
        .bind(&*slice.projection)
        .bind(slice.number)
        .bind(entity.as_str())
        .execute(&mut **transaction)
        .await;
        removed.map(|_| ()).map_err(ProjectionError::target)
    }
}

impl fmt::Debug for SqliteTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("SqliteTarget");
        debug.field("path", &self.path).finish_non_exhaustive()
    }
}
