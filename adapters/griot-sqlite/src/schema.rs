//! The tables, made by the migrator of `sqlx`.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Griot's own tables, one migration after the other. Stored; only ever add to it.
const OWN: [&str; 1] = ["CREATE TABLE griot_projections (
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
    ) STRICT;
    CREATE TABLE griot_parked (
        projection TEXT NOT NULL,
        slice INTEGER NOT NULL,
        entity TEXT NOT NULL,
        seq INTEGER NOT NULL,
        reason TEXT NOT NULL,
        retry INTEGER NOT NULL CHECK (retry IN (0, 1)),
        PRIMARY KEY (projection, slice, entity)
    ) STRICT, WITHOUT ROWID;"];

/// A migrator of these statements, each a step that is applied once, in this order. Only ever add to
/// them: a step that was applied and reads otherwise now is an error.
pub fn migrations(steps: &[&'static str]) -> Migrator {
    let migration = |(version, step): (i64, &&'static str)| {
        let (kind, sql) = (MigrationType::Simple, (*step).into_sql_str());
        Migration::new(version, format!("step {version}").into(), kind, sql, false)
    };
    Migrator::with_migrations((1..).zip(steps).map(migration).collect())
}

/// The migrator of griot's own tables, which keeps its books beside the user's.
pub(crate) fn own() -> Migrator {
    let mut migrator = migrations(&OWN);
    migrator.dangerous_set_table_name("griot_migrations");
    migrator
}
