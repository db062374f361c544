//! A schema of its own for each test, in a running server.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use griot_postgres::{PostgresJournal, PostgresOptions};
use griot_testkit::{Services, setting};
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The URL of a running server; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    let what = "tests on a running PostgreSQL: set GRIOT_TEST_POSTGRES to its URL";
    setting("GRIOT_TEST_POSTGRES", what)
}

/// The program to start servers of one's own with; without one, says what is left out.
pub(crate) fn program() -> Option<PathBuf> {
    let what = "tests that kill PostgreSQL or have it speak TLS: set GRIOT_TEST_POSTGRES_SERVICES to the path of scripts/services";
    setting("GRIOT_TEST_POSTGRES_SERVICES", what).map(PathBuf::from)
}

/// A server of one's own, on a free port, with data in a directory that is thrown away.
pub(crate) struct Server {
    services: Services,
    pub(crate) url: String,
    data: TempDir,
}

impl Server {
    pub(crate) async fn start(program: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        // The server may run as another user than the test.
        let open = Permissions::from_mode(0o755);
        std::fs::set_permissions(data.path(), open).unwrap();
        let services = Services::within(program, data.path());
        let said = services.say(&["up", "postgres"]).await;
        let (_, url) = said.rsplit_once("GRIOT_TEST_POSTGRES=").unwrap();
        Self {
            url: url.lines().next().unwrap().to_owned(),
            services,
            data,
        }
    }

    /// Makes it speak TLS by a certificate and its key.
    pub(crate) async fn speak_tls(&self, (certificate, key): (String, String)) {
        let folder = self.data.path().join("postgres/data");
        let owner = std::fs::metadata(&folder).unwrap();
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = folder.join(to);
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
            chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let settings = folder.join("postgresql.conf");
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, text + "\nssl = on\n").unwrap();
        self.services.say(&["restart", "postgres"]).await;
    }

    /// kill -9, and starts it again: same port, same data.
    pub(crate) async fn kill(&self) {
        self.services.say(&["kill", "postgres"]).await;
        self.services.say(&["up", "postgres"]).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.say_at_last(&["kill", "postgres"]);
    }
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
