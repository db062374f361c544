//! A schema of its own for each test, in a running server.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;

use griot_postgres::{PostgresJournal, PostgresOptions};
use griot_testkit::setting;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::Mutex;

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

/// The host and port in a URL.
pub(crate) fn address(url: &str) -> &str {
    let (_, rest) = url.rsplit_once('@').unwrap();
    rest.split_once('/').unwrap().0
}

/// The URL with another host and port.
pub(crate) fn by_way_of(url: &str, relay: SocketAddr) -> String {
    url.replace(address(url), &relay.to_string())
}

/// Somebody else in the same schema.
pub(crate) struct Other {
    session: PgConnection,
    process: i64,
    watcher: Mutex<PgConnection>,
}

impl Other {
    pub(crate) async fn connect(url: &str) -> Self {
        let options: PostgresOptions = url.parse().unwrap();
        let server = options.server.options([("search_path", &options.schema)]);
        let mut other = Self {
            session: server.connect().await.unwrap(),
            process: 0,
            watcher: Mutex::new(server.connect().await.unwrap()),
        };
        other.process = other.number("select pg_backend_pid()::bigint").await;
        other
    }

    pub(crate) async fn say(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.session).await.unwrap();
    }

    pub(crate) async fn number(&mut self, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql).fetch_one(&mut self.session);
        number.await.unwrap()
    }

    pub(crate) async fn text(&mut self, sql: &'static str) -> String {
        let text = sqlx::query_scalar(sql).fetch_one(&mut self.session);
        text.await.unwrap()
    }

    /// How many others wait for it, or for one that waits for it.
    pub(crate) async fn holds_up(&self) -> i64 {
        let sql = "
            with recursive waiting (pid) as (
              select $1::integer
              union
              select a.pid from pg_stat_activity a join waiting w on w.pid = any(pg_blocking_pids(a.pid))
            )
            select count(*) - 1 from waiting";
        let mut watcher = self.watcher.lock().await;
        let count = sqlx::query_scalar(sql).bind(self.process);
        count.fetch_one(&mut *watcher).await.unwrap()
    }
}
