//! A database server that dies by kill -9 while projections write to it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use std::fs::Permissions;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use griot_core::{Offset, Seq};
use griot_events::{Batch, Failure, Router};
use griot_journal::{Filter, Journal, MemoryJournal};
use griot_projection::{Limits, Projection, Recorded, Runner, Tx};
use griot_sql::SqlTarget;
use griot_testkit::journal::{Writer, append_of, entity};
use griot_testkit::probe::{DEADLINE, until};
use griot_testkit::projection::Entry;
use griot_testkit::{Services, setting};
use rig::{enter, entries, open};
use tempfile::TempDir;

const IDS: u64 = 20;
const KILLS: u64 = 3;

/// How far the table has to come between two kills.
const BETWEEN: u64 = 200;

const LIMITS: Limits = Limits {
    batch_events_max: 50,
    attempts_max: 1,
    pause_first: Duration::from_millis(5),
    pause_max: Duration::from_millis(200),
    look: Duration::from_millis(50),
};

/// A server of one's own, with data in a directory that is thrown away.
struct Server {
    name: &'static str,
    url: String,
    services: Services,
    _data: TempDir,
}

impl Server {
    async fn start(name: &'static str, variable: &str, program: PathBuf) -> Self {
        let data = tempfile::tempdir().unwrap();
        // The server may run as another user than the test.
        let open = Permissions::from_mode(0o755);
        std::fs::set_permissions(data.path(), open).unwrap();
        let services = Services::within(program, data.path());
        let said = services.say(&["up", name]).await;
        let (_, url) = said.rsplit_once(&format!("{variable}=")).unwrap();
        Self {
            name,
            url: url.lines().next().unwrap().to_owned(),
            services,
            _data: data,
        }
    }

    /// kill -9, and starts it again: same port, same data.
    async fn kill(&self) {
        self.services.say(&["kill", self.name]).await;
        self.services.say(&["up", self.name]).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.say_at_last(&["kill", self.name]);
    }
}

/// Appends events until it is told to end; says how many each entity has.
async fn write(journal: Arc<dyn Journal>, is_over: Arc<AtomicBool>) -> u64 {
    let writer = Writer::claim(&journal).await.unwrap();
    let mut seq = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while !is_over.load(Ordering::Relaxed) {
        let ids = (0..IDS).map(|id| entity(&id.to_string()));
        let appends = ids.map(|id| append_of(&id, seq, 1)).collect();
        writer.append(appends).await.unwrap();
        seq += 1;
        ticks.tick().await;
    }
    seq
}

/// With one try for each event: were an outage the fault of one, the projection would stop.
async fn each_event_is_shown_once(server: Server) {
    let target = open(&server.url).await;
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let is_over = Arc::<AtomicBool>::default();
    let writing = tokio::spawn(write(Arc::clone(&journal), Arc::clone(&is_over)));
    let enter_all = async |mut tx: Tx<SqlTarget>, all: Vec<Recorded>| {
        for Recorded(event) in all {
            enter(&mut tx, Entry::of(&event)).await?;
        }
        Ok::<_, Failure>(())
    };
    let router = Router::new().on_batch("account", Batch::default(), enter_all);
    let projection = Projection::new("ledger", 1, router)
        .with_slices(NonZeroU32::new(3).unwrap())
        .with_limits(LIMITS);
    let runner = Runner::new(Arc::clone(&journal), target.clone());
    let running = runner.start(&projection).await.unwrap();
    let read_model = running.read_model();
    let shown = || async {
        let standing = read_model.standing().await;
        standing.map_or(0, |slices| slices.iter().map(|slice| slice.events).sum())
    };
    for _ in 0..KILLS {
        let before: u64 = shown().await;
        until("it gets on", || async { shown().await > before + BETWEEN }).await;
        server.kill().await;
    }
    let before = shown().await;
    until("it gets on again", || async {
        shown().await > before + BETWEEN
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    let each = writing.await.unwrap();
    for id in 0..IDS {
        let id = entity(&id.to_string());
        read_model.wait_for(&id, Seq(each), DEADLINE).await.unwrap();
    }
    running.drain().await.unwrap();
    let everything = Filter::default();
    let page = journal
        .tail(Offset::ZERO, &everything, usize::MAX)
        .await
        .unwrap();
    let mut all: Vec<Entry> = page.events.iter().map(Entry::of).collect();
    let mut table = entries(&target).await;
    // Slices go on side by side: the order is that of an entity.
    all.sort_by(|one, other| one.entity.cmp(&other.entity));
    table.sort_by(|one, other| one.entity.cmp(&other.entity));
    assert_eq!(all.len() as u64, IDS * each);
    assert_eq!(table, all);
}

#[cfg(feature = "postgres")]
#[test]
fn g7_each_event_is_shown_once_when_postgres_is_killed_again_and_again() {
    let what = "a test that kills PostgreSQL: set GRIOT_TEST_POSTGRES_SERVICES to the path of scripts/services";
    let Some(program) = setting("GRIOT_TEST_POSTGRES_SERVICES", what) else {
        return;
    };
    griot_testkit::run(async {
        let server = Server::start("postgres", "GRIOT_TEST_POSTGRES", program.into()).await;
        each_event_is_shown_once(server).await;
    });
}

#[cfg(feature = "mysql")]
#[test]
fn g7_each_event_is_shown_once_when_mysql_is_killed_again_and_again() {
    let what =
        "a test that kills MariaDB: set GRIOT_TEST_MYSQL_SERVICES to the path of scripts/services";
    let Some(program) = setting("GRIOT_TEST_MYSQL_SERVICES", what) else {
        return;
    };
    griot_testkit::run(async {
        let server = Server::start("mysql", "GRIOT_TEST_MYSQL", program.into()).await;
        each_event_is_shown_once(server).await;
    });
}
