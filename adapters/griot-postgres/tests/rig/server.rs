//! A schema of its own for each test, in a running server.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use griot_journal::{Archive, Journal, JournalError, SnapshotStore};
use griot_postgres::{PostgresJournal, PostgresOptions};
use griot_testkit::journal::server::{JournalServer, OtherSession};
use griot_testkit::{ArchiveFactory, JournalFactory, OwnServer, SnapshotFactory, setting};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::Mutex;

/// A schema that is not there yet, in the running server; without one, the test is left.
#[allow(unused_macros, reason = "each test file uses some of it")]
macro_rules! place {
    () => {
        match rig::Place::fresh() {
            Some(place) => place,
            None => return,
        }
    };
}

/// The program to start servers of one's own with; without one, says what is left out.
pub(crate) fn program() -> Option<PathBuf> {
    let what = "tests that kill PostgreSQL or have it speak TLS: set GRIOT_TEST_POSTGRES_SERVICES to the path of scripts/services";
    setting("GRIOT_TEST_POSTGRES_SERVICES", what).map(PathBuf::from)
}

/// A server of one's own.
pub(crate) async fn own_server() -> Option<OwnServer> {
    Some(OwnServer::start(&program()?, "postgres").await)
}

/// The URL with a schema that is not there yet.
pub(crate) fn fresh(url: &str) -> String {
    format!("{url}?schema=test_{}", uuid::Uuid::now_v7().simple())
}

pub(crate) async fn connect(url: &str) -> PostgresJournal {
    PostgresJournal::connect(url).await.unwrap()
}

/// A schema of one's own, by its URL.
pub(crate) struct Place(pub(crate) String);

impl Place {
    pub(crate) fn fresh() -> Option<Self> {
        running().map(|url| Self(fresh(&url)))
    }
}

/// The running server's URL; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    let what = "tests on a running PostgreSQL: set GRIOT_TEST_POSTGRES to its URL";
    setting("GRIOT_TEST_POSTGRES", what)
}

impl JournalFactory for Place {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(connect(&self.0).await)
    }
}

impl ArchiveFactory for Place {
    async fn open(&self) -> Arc<dyn Archive> {
        Arc::new(connect(&self.0).await)
    }
}

impl SnapshotFactory for Place {
    async fn open(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(connect(&self.0).await)
    }
}

impl JournalServer for Place {
    type Other = Other;
    const TAKE_TURN: &'static str = "select wait_for_turn()";
    const APPEND: &'static str = "select last_offset_before + 1 from append(array['account'], array[1000], array[1],
        array[1], array['account/stalled'], array[0], array[0], array[0],
        array[1], array[1], array[1], array[true],
        array['Happened'], array[1], array[null::jsonb], array['by hand'::bytea], array[null::jsonb], array[null::jsonb],
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";
    const BEGIN_LONG: &'static str = "begin isolation level repeatable read";
    const CURSE: &'static [&'static str] = &[
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'",
        "create trigger refuse before insert on events for each row when (new.name = 'Cursed') execute function refuse()",
    ];

    async fn other(&self) -> Other {
        Other::connect(&self.0).await
    }

    fn address(&self) -> String {
        let (_, rest) = self.0.rsplit_once('@').unwrap();
        rest.split_once('/').unwrap().0.to_owned()
    }

    async fn open_by(&self, relay: SocketAddr, patience: Duration) -> Arc<dyn Journal> {
        let url = self.0.replace(&self.address(), &relay.to_string());
        let seconds = patience.as_secs();
        Arc::new(connect(&format!("{url}&timeout_seconds={seconds}")).await)
    }

    async fn try_open(&self) -> Result<Arc<dyn Journal>, JournalError> {
        Ok(Arc::new(PostgresJournal::connect(&self.0).await?))
    }
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

    pub(crate) async fn text(&mut self, sql: &'static str) -> String {
        let text = sqlx::query_scalar(sql).fetch_one(&mut self.session);
        text.await.unwrap()
    }
}

impl OtherSession for Other {
    async fn say(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.session).await.unwrap();
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql).fetch_one(&mut self.session);
        number.await.unwrap()
    }

    async fn holds_up(&self) -> i64 {
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
