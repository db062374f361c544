//! A schema of its own for each test, in a running server.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use griot_postgres::PostgresJournal;
use griot_testkit::setting;

/// The URL of a running server; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    let what = "tests on a running PostgreSQL: set GRIOT_TEST_POSTGRES to its URL";
    setting("GRIOT_TEST_POSTGRES", what)
}

/// The URL with a schema that is not there yet.
pub(crate) fn fresh(url: &str) -> String {
    format!("{url}?schema=test_{}", uuid::Uuid::now_v7().simple())
}

pub(crate) async fn connect(url: &str) -> PostgresJournal {
    PostgresJournal::connect(url).await.unwrap()
}
