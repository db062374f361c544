//! The suite that every target of projections passes, on files of SQLite.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};

use griot_sqlite::{SqliteTarget, migrations};
use griot_testkit::projection::{Entry, ReadModelFactory};
use sqlx::{Row, SqliteConnection};
use tempfile::TempDir;

/// A file, in a directory that goes with it where the test has none.
struct File {
    path: PathBuf,
    _directory: Option<TempDir>,
}

impl File {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = Self::within(directory.path());
        Self {
            _directory: Some(directory),
            ..file
        }
    }

    fn within(directory: &Path) -> Self {
        Self {
            path: directory.join("read-model.sqlite"),
            _directory: None,
        }
    }
}

impl ReadModelFactory for File {
    type Target = SqliteTarget;

    async fn open(&self) -> SqliteTarget {
        let schema = "CREATE TABLE ledger (entity TEXT NOT NULL, seq INTEGER NOT NULL, \
                      payload TEXT NOT NULL)";
        let target = SqliteTarget::open(&self.path, migrations(&[schema])).await;
        target.unwrap()
    }

    async fn insert(connection: &mut SqliteConnection, entry: Entry) -> Result<(), String> {
        let insert = sqlx::query("INSERT INTO ledger (entity, seq, payload) VALUES (?, ?, ?)")
            .bind(entry.entity)
            .bind(entry.seq)
            .bind(entry.payload);
        let inserted = insert.execute(connection).await;
        inserted.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn entries(target: &SqliteTarget) -> Vec<Entry> {
        let rows = sqlx::query("SELECT * FROM ledger ORDER BY rowid").fetch_all(target.pool());
        let entry = |row: &sqlx::sqlite::SqliteRow| Entry {
            entity: row.get("entity"),
            seq: row.get("seq"),
            payload: row.get("payload"),
        };
        rows.await.unwrap().iter().map(entry).collect()
    }
}

griot_testkit::projection_suite!(File::new());
griot_testkit::projection_kill_suite!(File::within);
