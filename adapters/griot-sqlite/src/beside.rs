//! Rebuilds: a second file beside the first, which is attached to compare and to swap.
//!
//! A file of its own, since SQLite has one writer for each file: a rebuild holds up no live write.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use griot_projection::{Comparison, ProjectionError, RebuildTarget};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Row};

use crate::SqliteTarget;
use crate::target::options;

type Answer<T> = Result<T, ProjectionError>;

impl RebuildTarget for SqliteTarget {
    async fn beside(&self, projection: &str) -> Answer<Self> {
        let path = path_beside(&self.path, projection);
        Self::open_with(path.into(), Arc::clone(&self.migrator)).await
    }

    async fn begin_with(&self, beside: &Self) -> Answer<Self::Transaction> {
        let other = beside.path.to_string_lossy().into_owned();
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.after_connect(move |connection, _| {
            let other = other.clone();
            Box::pin(async move {
                let attaching = sqlx::query("ATTACH DATABASE ? AS beside").bind(other);
                attaching.execute(connection).await.map(|_| ())
            })
        });
        let pool = pool.connect_with(options(&self.path)).await;
        let pool = pool.map_err(ProjectionError::target)?;
        let mut transaction = pool.begin().await.map_err(ProjectionError::target)?;
        // Takes the right to write this file, and neither that nor a snapshot of the other, which the
        // rebuild goes on to write.
        let locking = sqlx::query("UPDATE main.griot_projections SET epoch = epoch WHERE FALSE");
        let locked = locking.execute(&mut *transaction).await;
        locked.map_err(ProjectionError::target)?;
        Ok(transaction)
    }

    async fn compare(
        &self,
        transaction: &mut Self::Transaction,
        tables: &[String],
    ) -> Answer<Vec<Comparison>> {
        let mut all = Vec::new();
        for table in tables {
            let name = quoted(table);
            let (live, rebuilt) = (format!("main.{name}"), format!("beside.{name}"));
            let only = |one: &str, other: &str| {
                format!("(SELECT count(*) FROM (SELECT * FROM {one} EXCEPT SELECT * FROM {other}))")
            };
            let sql = format!(
                "SELECT (SELECT count(*) FROM {live}), (SELECT count(*) FROM {rebuilt}), {}, {}",
                only(&live, &rebuilt),
                only(&rebuilt, &live),
            );
            // Every name in it is quoted.
            let counting = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut **transaction);
            let counts = counting.await.map_err(ProjectionError::target)?;
            let count = |column: usize| {
                let count: i64 = counts.try_get(column).map_err(ProjectionError::target)?;
                u64::try_from(count).map_err(ProjectionError::target)
            };
            all.push(Comparison {
                table: table.clone(),
                live: count(0)?,
                rebuilt: count(1)?,
                only_live: count(2)?,
                only_rebuilt: count(3)?,
            });
        }
        Ok(all)
    }

    async fn replace(&self, transaction: &mut Self::Transaction, tables: &[String]) -> Answer<()> {
        // What refers to a row of another table is checked when all are there.
        let mut steps = vec!["PRAGMA defer_foreign_keys = ON".to_owned()];
        steps.extend(
            tables
                .iter()
                .map(|table| format!("DELETE FROM main.{}", quoted(table))),
        );
        steps.extend(tables.iter().map(|table| {
            let name = quoted(table);
            format!("INSERT INTO main.{name} SELECT * FROM beside.{name}")
        }));
        for step in steps {
            // Every name in it is quoted.
            let done = sqlx::query(AssertSqlSafe(step)).execute(&mut **transaction);
            done.await.map_err(ProjectionError::target)?;
        }
        Ok(())
    }

    async fn discard(&self, beside: Self) -> Answer<()> {
        beside.pool().close().await;
        for suffix in ["", "-wal", "-shm"] {
            let mut path = beside.path.as_os_str().to_owned();
            path.push(suffix);
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(ProjectionError::target(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Beside the file, named for the projection.
fn path_beside(path: &Path, projection: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    let mut suffix = ".rebuild-".to_owned();
    for letter in projection.chars() {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) {
            suffix.push(letter);
        } else {
            // Writing to a string does not fail.
            let _ = write!(suffix, "%{:x}", u32::from(letter));
        }
    }
    name.push(suffix);
    name.into()
}

/// A name as SQL has it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
