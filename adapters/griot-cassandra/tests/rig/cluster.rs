//! A journal of its own for each test, in a running cluster.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use griot_cassandra::CassandraJournal;
use griot_journal::{Archive, Journal, JournalError, SnapshotStore};
use griot_testkit::journal::server::{JournalServer, OtherSession};
use griot_testkit::probe::until;
use griot_testkit::{ArchiveFactory, JournalFactory, OwnServer, SnapshotFactory, setting};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use scylla::statement::Statement;

/// The keyspace that most tests share: making one takes a cluster seconds.
const KEYSPACE: &str = "griot_tests";

/// A journal that is not there yet, in the running cluster; without one, the test is left.
#[allow(unused_macros, reason = "each test file uses some of it")]
macro_rules! place {
    () => {
        match rig::Place::fresh() {
            Some(place) => place,
            None => return,
        }
    };
}

/// A cluster of one's own; without the program to start it, says what is left out.
pub(crate) async fn own_server() -> Option<OwnServer> {
    let what = "tests that kill Cassandra: set GRIOT_TEST_CASSANDRA_SERVICES to the path of scripts/services";
    let program = PathBuf::from(setting("GRIOT_TEST_CASSANDRA_SERVICES", what)?);
    Some(OwnServer::start(&program, "cassandra").await)
}

pub(crate) async fn connect(url: &str) -> CassandraJournal {
    CassandraJournal::connect(url).await.unwrap()
}

fn unique() -> String {
    format!("j{}", uuid::Uuid::new_v4().simple())
}

/// A journal of one's own, by its URL.
pub(crate) struct Place {
    server: String,
    keyspace: String,
    pub(crate) journal: String,
}

impl Place {
    /// Without a running cluster, says what is left out.
    pub(crate) fn fresh() -> Option<Self> {
        let what = "tests on a running Cassandra: set GRIOT_TEST_CASSANDRA to its URL";
        setting("GRIOT_TEST_CASSANDRA", what).map(|url| Self::at(&url))
    }

    /// At the cluster of a URL.
    pub(crate) fn at(url: &str) -> Self {
        let (server, _) = url.rsplit_once('/').unwrap();
        Self {
            server: server.to_owned(),
            keyspace: KEYSPACE.to_owned(),
            journal: unique(),
        }
    }

    /// In a keyspace that is not there yet.
    pub(crate) fn in_its_own_keyspace(self) -> Self {
        Self {
            keyspace: unique(),
            ..self
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/{}?journal={}", self.server, self.keyspace, self.journal)
    }

    /// The same by way of another address; an answer is waited for so long.
    pub(crate) fn url_by(&self, address: SocketAddr, patience: Duration) -> String {
        let url = self.url().replace(&self.address(), &address.to_string());
        format!("{url}&timeout_seconds={}", patience.as_secs())
    }
}

impl JournalFactory for Place {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(connect(&self.url()).await)
    }
}

impl ArchiveFactory for Place {
    async fn open(&self) -> Arc<dyn Archive> {
        Arc::new(connect(&self.url()).await)
    }
}

impl SnapshotFactory for Place {
    async fn open(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(connect(&self.url()).await)
    }
}

/// Nobody can hold anything up here, so the cases where somebody does are told anew in `guarantees.rs`.
impl JournalServer for Place {
    type Other = Other;
    const TAKE_TURN: &'static str = "";
    const APPEND: &'static str = "";
    const BEGIN_LONG: &'static str = "";
    const CURSE: &'static [&'static str] = &[];

    async fn other(&self) -> Other {
        Other::connect(self).await
    }

    fn address(&self) -> String {
        let (_, address) = self.server.rsplit_once('/').unwrap();
        address.to_owned()
    }

    async fn open_by(&self, relay: SocketAddr, patience: Duration) -> Arc<dyn Journal> {
        Arc::new(connect(&self.url_by(relay, patience)).await)
    }

    async fn try_open(&self) -> Result<Arc<dyn Journal>, JournalError> {
        Ok(Arc::new(CassandraJournal::connect(&self.url()).await?))
    }
}

/// Somebody else in the same keyspace.
pub(crate) struct Other(Session);

impl Other {
    async fn connect(place: &Place) -> Self {
        let session = SessionBuilder::new()
            .known_node(place.address())
            .use_keyspace(&place.keyspace, true);
        Self(session.build().await.unwrap())
    }

    pub(crate) async fn write(&self, cql: &'static str, values: impl SerializeRow) {
        self.0.query_unpaged(cql, values).await.unwrap();
    }

    /// How many tombstones the cluster reads for an answer, as it traces that.
    pub(crate) async fn tombstones(&self, cql: String) -> u64 {
        let mut statement = Statement::new(cql);
        statement.set_tracing(true);
        let answer = self.0.query_unpaged(statement, ()).await.unwrap();
        let trace = answer.tracing_id().unwrap();
        let counted = || async {
            let trace = self.0.get_tracing_info(&trace).await.ok()?;
            let mut said = trace.events.into_iter().filter_map(|event| event.activity);
            said.find_map(|said| {
                let (_, count) = said.strip_suffix(" tombstone cells")?.rsplit_once(' ')?;
                count.parse().ok()
            })
        };
        until("the trace is there", || async { counted().await.is_some() }).await;
        counted().await.unwrap()
    }

    pub(crate) async fn rows<R>(&self, cql: String) -> Vec<R>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let answer = self.0.query_unpaged(cql, ()).await.unwrap();
        let rows = answer.into_rows_result().unwrap();
        rows.rows().unwrap().map(|row| row.unwrap()).collect()
    }
}

impl OtherSession for Other {
    async fn say(&mut self, cql: &'static str) {
        self.0.query_unpaged(cql, ()).await.unwrap();
    }

    async fn number(&mut self, cql: &'static str) -> i64 {
        let rows: Vec<(i64,)> = self.rows(cql.to_owned()).await;
        rows.first().unwrap().0
    }

    async fn holds_up(&self) -> i64 {
        0
    }
}
