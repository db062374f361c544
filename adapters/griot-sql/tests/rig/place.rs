//! A read model of its own for each test: a file, or a schema or database in a running server.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::Path;

use griot_sql::{Migrations, Sql, SqlConnection, SqlTarget};
use griot_testkit::projection::{Entry, ReadModelFactory};
use griot_testkit::setting;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

/// The table of the suite, whose rows are numbered as they come.
pub(crate) const LEDGER: [Sql; 2] = [
    Sql::new(
        "CREATE TABLE ledger (number BIGINT NOT NULL, entity TEXT NOT NULL, seq BIGINT NOT NULL, \
         payload TEXT NOT NULL)",
    ),
    Sql::new("CREATE INDEX ledger_number ON ledger (number)"),
];

const ENTER: &str = "INSERT INTO ledger (number, entity, seq, payload) \
                     SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM ledger";

/// A read model, by its URL.
pub(crate) struct Place {
    pub(crate) url: String,
    _directory: Option<TempDir>,
}

impl Place {
    pub(crate) fn at(url: String) -> Self {
        Self {
            url,
            _directory: None,
        }
    }

    /// A file, in a directory that goes with it.
    pub(crate) fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = Self::file_within(directory.path());
        Self {
            _directory: Some(directory),
            ..file
        }
    }

    pub(crate) fn file_within(directory: &Path) -> Self {
        Self::at(directory.join("read-model.sqlite").display().to_string())
    }
}

/// The URL of a running PostgreSQL; without one, says what is left out.
pub(crate) fn postgres() -> Option<String> {
    let what = "read models on a running PostgreSQL: set GRIOT_TEST_POSTGRES to its URL";
    setting("GRIOT_TEST_POSTGRES", what)
}

/// The URL of a running MySQL or MariaDB; without one, says what is left out.
pub(crate) fn mysql() -> Option<String> {
    let what = "read models on a running MySQL or MariaDB: set GRIOT_TEST_MYSQL to its URL";
    setting("GRIOT_TEST_MYSQL", what)
}

/// The URL with a schema that is not there yet.
pub(crate) fn fresh_schema(url: &str) -> String {
    format!("{url}?schema=test_{}", uuid::Uuid::now_v7().simple())
}

/// The URL with the name of a database that is not there yet, in the same server.
pub(crate) fn fresh_database(url: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/test_{}", uuid::Uuid::now_v7().simple())
}

/// What `fresh` makes of the URL, the same for the same directory.
pub(crate) fn named_for(directory: &Path, url: &str, fresh: fn(&str) -> String) -> Place {
    let hash = griot_core::stable_hash(directory.as_os_str().as_encoded_bytes());
    let url = fresh(url);
    let (before, _) = url.rsplit_once("test_").unwrap();
    Place::at(format!("{before}test_{hash:016x}"))
}

/// Opens it with the table of the suite.
pub(crate) async fn open(url: &str) -> SqlTarget {
    make_room(url).await;
    let target = SqlTarget::open(url, Migrations::new("ledger", LEDGER)).await;
    target.unwrap()
}

/// Makes the database that the URL names, where that is not done by opening.
pub(crate) async fn make_room(url: &str) {
    let Some((server, name)) = url.rsplit_once('/').filter(|_| url.starts_with("mysql")) else {
        return;
    };
    sqlx::any::install_default_drivers();
    let mut server = AnyConnection::connect(server).await.unwrap();
    let name = format!("CREATE DATABASE IF NOT EXISTS {name}");
    let making = sqlx::raw_sql(AssertSqlSafe(name));
    making.execute(&mut server).await.unwrap();
}

/// Adds a row.
pub(crate) async fn enter(connection: &mut SqlConnection, entry: Entry) -> Result<(), sqlx::Error> {
    let insert = sqlx::query(ENTER)
        .bind(entry.entity)
        .bind(entry.seq)
        .bind(entry.payload);
    insert.execute(connection).await.map(|_| ())
}

/// All rows, in the order they were added.
pub(crate) async fn entries(target: &SqlTarget) -> Vec<Entry> {
    let mut reading = target.read().await.unwrap();
    let rows = sqlx::query("SELECT * FROM ledger ORDER BY number").fetch_all(&mut *reading);
    let entry = |row: &AnyRow| Entry {
        entity: row.get("entity"),
        seq: row.get("seq"),
        payload: row.get("payload"),
    };
    rows.await.unwrap().iter().map(entry).collect()
}

impl ReadModelFactory for Place {
    type Target = SqlTarget;

    async fn open(&self) -> SqlTarget {
        open(&self.url).await
    }

    async fn insert(connection: &mut SqlConnection, entry: Entry) -> Result<(), String> {
        let entered = enter(connection, entry).await;
        entered.map_err(|error| error.to_string())
    }

    async fn entries(target: &SqlTarget) -> Vec<Entry> {
        entries(target).await
    }
}
