//! The tables, made by the migrator of `sqlx`.

use std::sync::Arc;
use std::time::Duration;

use griot_projection::ProjectionError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, SqlSafeStr};

use crate::place::{bounds, late};
use crate::{Dialect, Sql, step};

/// The longest name.
const NAME_BYTES_MAX: usize = 40;

/// The tables of somebody, made by steps in SQL that are applied once each, in order.
///
/// Only ever add to the steps: one that was applied and reads otherwise now is an error. Keep to one statement in a
/// step: on MySQL and MariaDB, which commit each change of a table by itself, one that was killed is repeated then, while
/// one of several has to be mended by hand.
///
/// ```
/// use griot_sql::{Migrations, Sql};
///
/// let migrations = Migrations::new("carts", [
///     Sql::new("CREATE TABLE items (id VARCHAR(26) PRIMARY KEY, name VARCHAR(255) NOT NULL)"),
///     Sql::new("ALTER TABLE items ADD COLUMN added BIGINT NOT NULL DEFAULT 0"),
/// ]);
/// ```
#[derive(Clone, Debug)]
pub struct Migrations {
    name: Arc<str>,
    steps: Arc<[Sql]>,
}

impl Migrations {
    /// The steps of whoever has this name, by which several keep their tables in one database. Its books are
    /// the table `griot_migrations_NAME`.
    pub fn new<S: Into<Sql>>(name: &str, steps: impl IntoIterator<Item = S>) -> Self {
        Self {
            name: name.into(),
            steps: steps.into_iter().map(Into::into).collect(),
        }
    }

    /// The table that says which of them were applied.
    pub(crate) fn books(&self) -> String {
        format!("griot_migrations_{}", self.name)
    }

    /// Griot's own, and then these.
    pub(crate) async fn run(
        &self,
        pool: &AnyPool,
        dialect: Dialect,
    ) -> Result<(), ProjectionError> {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(plain)
        {
            return Err(ProjectionError::Refused {
                what: "migrations of such a name",
                reason: "give at most 40 of a-z, 0-9 and _",
            });
        }
        let all = [
            migrator(dialect, &OWN, "griot_migrations".to_owned()),
            migrator(dialect, &self.steps, self.books()),
        ];
        if dialect == Dialect::Sqlite {
            // All in one transaction: two that open the file at once do not meet half-way.
            let begun = pool.begin_with("BEGIN IMMEDIATE").await;
            let mut transaction = begun.map_err(ProjectionError::target)?;
            apply(&all, dialect, &mut transaction).await?;
            return transaction.commit().await.map_err(ProjectionError::target);
        }
        let mut connection = pool.acquire().await.map_err(ProjectionError::target)?;
        // A change of a large table takes what it takes.
        for unbound in bounds(dialect, Duration::ZERO) {
            let unbinding = sqlx::raw_sql(AssertSqlSafe(unbound)).execute(&mut *connection);
            unbinding.await.map_err(ProjectionError::target)?;
        }
        if dialect == Dialect::Mysql {
            // The migrator's own lock waits a negative time, which MariaDB does not wait at all.
            let locking =
                sqlx::query_scalar("SELECT GET_LOCK(concat('griot-', sha1(database())), 60)");
            let locked: Option<i64> = locking
                .fetch_one(&mut *connection)
                .await
                .map_err(ProjectionError::target)?;
            if locked != Some(1) {
                // Somebody may be changing a large table: an outage, which passes.
                let text = "somebody else has been making tables for a minute: try again";
                return Err(ProjectionError::target(late(text)));
            }
        }
        let applied = apply(&all, dialect, &mut connection).await;
        // It may hold locks of its session.
        connection.close_on_drop();
        applied
    }
}

async fn apply(
    all: &[Migrator],
    dialect: Dialect,
    connection: &mut AnyConnection,
) -> Result<(), ProjectionError> {
    for migrator in all {
        if dialect == Dialect::Mysql {
            step::apply(migrator, connection).await?;
        } else {
            let applied = migrator.run_direct(None, connection, false).await;
            applied.map_err(ProjectionError::target)?;
        }
    }
    Ok(())
}

fn migrator(dialect: Dialect, steps: &[Sql], books: String) -> Migrator {
    let migration = |(version, step): (i64, &Sql)| {
        let (kind, sql) = (MigrationType::Simple, step.text(dialect).into_sql_str());
        Migration::new(version, format!("step {version}").into(), kind, sql, false)
    };
    let mut migrator = Migrator::with_migrations((1..).zip(steps).map(migration).collect());
    migrator.dangerous_set_table_name(books);
    migrator
}

/// Griot's own tables, one migration after the other. Stored; only ever add to it.
const OWN: [Sql; 4] = [
    Sql::new(
        "CREATE TABLE griot_projections (
            projection TEXT NOT NULL,
            slice BIGINT NOT NULL,
            version BIGINT NOT NULL,
            slices BIGINT NOT NULL,
            epoch BIGINT NOT NULL,
            journal_offset BIGINT NOT NULL,
            events BIGINT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'failed')),
            reason TEXT,
            PRIMARY KEY (projection, slice)
        )",
    )
    .on_sqlite(
        "CREATE TABLE griot_projections (
            projection TEXT NOT NULL,
            slice INTEGER NOT NULL,
            version INTEGER NOT NULL,
            slices INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            journal_offset INTEGER NOT NULL,
            events INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'failed')),
            reason TEXT,
            PRIMARY KEY (projection, slice)
        ) STRICT",
    )
    .on_mysql(
        "CREATE TABLE griot_projections (
            projection VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            slice BIGINT NOT NULL,
            version BIGINT NOT NULL,
            slices BIGINT NOT NULL,
            epoch BIGINT NOT NULL,
            journal_offset BIGINT NOT NULL,
            events BIGINT NOT NULL,
            state VARCHAR(16) NOT NULL CHECK (state IN ('running', 'paused', 'failed')),
            reason LONGTEXT CHARACTER SET utf8mb4,
            PRIMARY KEY (projection, slice)
        ) ENGINE = InnoDB",
    ),
    Sql::new(
        "CREATE TABLE griot_parked (
            projection TEXT NOT NULL,
            slice BIGINT NOT NULL,
            entity TEXT NOT NULL,
            seq BIGINT NOT NULL,
            reason TEXT NOT NULL,
            retry BIGINT NOT NULL CHECK (retry IN (0, 1)),
            PRIMARY KEY (projection, slice, entity)
        )",
    )
    .on_sqlite(
        "CREATE TABLE griot_parked (
            projection TEXT NOT NULL,
            slice INTEGER NOT NULL,
            entity TEXT NOT NULL,
            seq INTEGER NOT NULL,
            reason TEXT NOT NULL,
            retry INTEGER NOT NULL CHECK (retry IN (0, 1)),
            PRIMARY KEY (projection, slice, entity)
        ) STRICT, WITHOUT ROWID",
    )
    // The entity as bytes: no collation takes two names for one, and the key has room for the longest.
    .on_mysql(
        "CREATE TABLE griot_parked (
            projection VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            slice BIGINT NOT NULL,
            entity VARBINARY(1089) NOT NULL,
            seq BIGINT NOT NULL,
            reason LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
            retry BIGINT NOT NULL CHECK (retry IN (0, 1)),
            PRIMARY KEY (projection, slice, entity)
        ) ENGINE = InnoDB",
    ),
    Sql::new(
        "CREATE TABLE griot_inbox (
            projection TEXT NOT NULL,
            topic TEXT NOT NULL,
            message TEXT NOT NULL,
            handled_at BIGINT NOT NULL,
            PRIMARY KEY (projection, topic, message)
        )",
    )
    .on_sqlite(
        "CREATE TABLE griot_inbox (
            projection TEXT NOT NULL,
            topic TEXT NOT NULL,
            message TEXT NOT NULL,
            handled_at INTEGER NOT NULL,
            PRIMARY KEY (projection, topic, message)
        ) STRICT, WITHOUT ROWID",
    )
    // As bytes, as the entities above.
    .on_mysql(
        "CREATE TABLE griot_inbox (
            projection VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            topic VARBINARY(512) NOT NULL,
            message VARBINARY(512) NOT NULL,
            handled_at BIGINT NOT NULL,
            PRIMARY KEY (projection, topic, message)
        ) ENGINE = InnoDB",
    ),
    Sql::new("CREATE INDEX griot_inbox_age ON griot_inbox (projection, handled_at)"),
];
