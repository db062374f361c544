//! A database of its own for each test, in a running server.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use griot_journal::{Archive, Journal, JournalError, SnapshotStore};
use griot_mysql::{MysqlJournal, MysqlOptions};
use griot_testkit::journal::server::{JournalServer, OtherSession};
use griot_testkit::{ArchiveFactory, JournalFactory, OwnServer, SnapshotFactory, setting};
use sqlx::{ConnectOptions as _, MySqlConnection, Row as _};
use tokio::sync::Mutex;

/// A database that is not there yet, in the running server; without one, the test is left.
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
    let what = "tests that kill MariaDB or have it speak TLS: set GRIOT_TEST_MYSQL_SERVICES to the path of scripts/services";
    setting("GRIOT_TEST_MYSQL_SERVICES", what).map(PathBuf::from)
}

/// A server of one's own.
pub(crate) async fn own_server() -> Option<OwnServer> {
    Some(OwnServer::start(&program()?, "mysql").await)
}

/// The URL with a database that is not there yet.
pub(crate) fn fresh(url: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/test_{}", uuid::Uuid::now_v7().simple())
}

pub(crate) async fn connect(url: &str) -> MysqlJournal {
    MysqlJournal::connect(url).await.unwrap()
}

/// A database of one's own, by its URL.
pub(crate) struct Place(pub(crate) String);

impl Place {
    /// Without a running server, says what is left out.
    pub(crate) fn fresh() -> Option<Self> {
        let what = "tests on a running MySQL or MariaDB: set GRIOT_TEST_MYSQL to its URL";
        setting("GRIOT_TEST_MYSQL", what).map(|url| Self(fresh(&url)))
    }
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
    const TAKE_TURN: &'static str = "select last_commit from griot_progress for update";
    const APPEND: &'static str = "
        select last_commit from griot_progress for update;
        insert into griot_entities (name, kind, seq) values ('account/stalled', 'account', 1);
        insert into griot_commits (number, entity, expected, seq, journal_offset, at, metadata, settled)
        select last_commit + 1, last_insert_id(), 0, 1, last_offset + 1, 0, '[]', '[]' from griot_progress;
        insert into griot_events (journal_offset, entity, seq, commit, name, version, tags, payload)
        select last_offset + 1, last_insert_id(), 1, last_commit + 1, 'Happened', 1, '[]', 'by hand' from griot_progress;
        update griot_progress set last_commit = last_commit + 1, last_offset = last_offset + 1;
        select last_offset from griot_progress";
    const BEGIN_LONG: &'static str = "set transaction isolation level repeatable read; start transaction with consistent snapshot";
    const CURSE: &'static [&'static str] = &[
        "create trigger refuse before insert on griot_events for each row
        if new.name = 'Cursed' then signal sqlstate '45000' set message_text = 'no'; end if",
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
        Arc::new(connect(&format!("{url}?timeout_seconds={seconds}")).await)
    }

    async fn try_open(&self) -> Result<Arc<dyn Journal>, JournalError> {
        Ok(Arc::new(MysqlJournal::connect(&self.0).await?))
    }
}

/// Somebody else in the same database.
pub(crate) struct Other {
    session: MySqlConnection,
    watcher: Mutex<MySqlConnection>,
}

impl Other {
    pub(crate) async fn connect(url: &str) -> Self {
        let options: MysqlOptions = url.parse().unwrap();
        let server = options.server.database(&options.database);
        Self {
            session: server.connect().await.unwrap(),
            watcher: Mutex::new(server.connect().await.unwrap()),
        }
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
        let rows = sqlx::raw_sql(sql).fetch_all(&mut self.session);
        let number: u64 = rows.await.unwrap().last().unwrap().get(0);
        number.cast_signed()
    }

    /// Who is at this statement in its database waits for it. (`innodb_trx` shows nothing new to who asks often.)
    async fn holds_up(&self) -> i64 {
        let sql = "select count(*) from information_schema.processlist
            where db = database() and id <> connection_id() and info like '%from griot_progress for update'";
        let mut watcher = self.watcher.lock().await;
        let count = sqlx::query_scalar(sql);
        count.fetch_one(&mut *watcher).await.unwrap()
    }
}
