//! Statements that nobody answers: a slice goes on without them.
#![cfg(any(feature = "postgres", feature = "mysql"))]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use griot_core::Seq;
use griot_events::{Failure, Router};
use griot_journal::{Journal, MemoryJournal};
use griot_projection::{Projection, Recorded, Runner, Tx};
use griot_sql::{Dialect, SqlTarget};
use griot_testkit::Relay;
use griot_testkit::journal::{Writer, entity};
use griot_testkit::probe::{DEADLINE, until};
use griot_testkit::projection::Entry;
use rig::{enter, entries, make_room};

/// What keeps the first statement from being answered.
enum Hang {
    /// The server works on it for days.
    Works,
    /// The network swallows it.
    Swallowed(Relay),
}

async fn a_slice_goes_on(url: String, hang: Hang) {
    make_room(&url).await;
    let settings = if url.contains('?') { "&" } else { "?" };
    let url = format!("{url}{settings}statement_seconds=1");
    let migrations = griot_sql::Migrations::new("ledger", rig::LEDGER);
    let target = SqlTarget::open(&url, migrations).await.unwrap();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 3).await.unwrap();
    let (hang, hangs) = (Arc::new(hang), Arc::new(AtomicBool::new(true)));
    let handler = move |mut tx: Tx<SqlTarget>, Recorded(event): Recorded| {
        let (hang, hangs) = (Arc::clone(&hang), Arc::clone(&hangs));
        async move {
            if event.seq == Seq(2) && hangs.swap(false, Ordering::Relaxed) {
                if let Hang::Swallowed(relay) = &*hang {
                    relay.forget();
                }
                let endless = match tx.dialect() {
                    Dialect::Postgres => {
                        "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) endless"
                    }
                    Dialect::Mysql | Dialect::Sqlite => {
                        "DO BENCHMARK(1000000000000, sha2('endless', 512))"
                    }
                };
                let worked = sqlx::raw_sql(endless).execute(&mut *tx).await;
                assert!(worked.is_err(), "it is cut off");
            }
            enter(&mut tx, Entry::of(&event)).await?;
            Ok::<_, Failure>(())
        }
    };
    let projection = Projection::new("ledger", 1, Router::new().on("account", handler));
    let runner = Runner::new(Arc::clone(&journal), target.clone());
    let running = runner.start(&projection).await.unwrap();
    let a = entity("a");
    // Whoever waits may meet a connection that swallows everything, too, and then asks again.
    until("it goes on", || async {
        let waiting = running.read_model().wait_for(&a, Seq(3), DEADLINE);
        waiting.await.is_ok()
    })
    .await;
    running.drain().await.unwrap();
    assert_eq!(entries(&target).await.len(), 3);
}

/// The URL by way of a relay.
async fn relayed(url: &str) -> (String, Relay) {
    let (scheme, rest) = url.split_once('@').unwrap();
    let (server, place) = rest.split_once('/').unwrap();
    let relay = Relay::before(server).await;
    (format!("{scheme}@{}/{place}", relay.address()), relay)
}

fn works(url: Option<String>) {
    let Some(url) = url else { return };
    griot_testkit::run(a_slice_goes_on(url, Hang::Works));
}

fn swallowed(url: Option<String>) {
    let Some(url) = url else { return };
    griot_testkit::run(async move {
        let (url, relay) = relayed(&url).await;
        a_slice_goes_on(url, Hang::Swallowed(relay)).await;
    });
}

#[cfg(feature = "postgres")]
#[test]
fn a_statement_that_takes_for_ever_on_postgres_holds_up_no_slice() {
    works(rig::postgres().map(|url| rig::fresh_schema(&url)));
}

#[cfg(feature = "postgres")]
#[test]
fn a_statement_that_postgres_never_answers_holds_up_no_slice() {
    swallowed(rig::postgres().map(|url| rig::fresh_schema(&url)));
}

#[cfg(feature = "mysql")]
#[test]
fn a_statement_that_takes_for_ever_on_mysql_holds_up_no_slice() {
    works(rig::mysql().map(|url| rig::fresh_database(&url)));
}

#[cfg(feature = "mysql")]
#[test]
fn a_statement_that_mysql_never_answers_holds_up_no_slice() {
    swallowed(rig::mysql().map(|url| rig::fresh_database(&url)));
}
