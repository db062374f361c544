//! Whose fault it is that a statement failed: the database's, or the event's.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use griot_core::Seq;
use griot_events::{Failure, Router};
use griot_journal::{Filter, Journal, MemoryJournal};
use griot_projection::{
    Limits, Projection, ProjectionError, Recorded, Runner, State, Target as _, Tx,
};
use griot_sql::{SqlConnection, SqlTarget};
use griot_testkit::journal::{Writer, entity};
use griot_testkit::probe::DEADLINE;
use griot_testkit::projection::Entry;
use rig::{Place, enter, entries, open};
use sqlx::AssertSqlSafe;

/// How often the database fails: far more often than an event is tried.
const TROUBLES: u32 = 12;

const LIMITS: Limits = Limits {
    batch_events_max: 7,
    attempts_max: 2,
    pause_first: Duration::from_millis(1),
    pause_max: Duration::from_millis(4),
    look: Duration::from_millis(20),
};

/// What happens to the connection or the transaction in the middle of a batch.
#[derive(Clone, Copy)]
enum Trouble {
    /// The server ends the connection.
    #[cfg_attr(not(any(feature = "postgres", feature = "mysql")), expect(dead_code))]
    Cut,
    /// The server chooses the transaction to break a deadlock.
    #[cfg_attr(not(any(feature = "postgres", feature = "mysql")), expect(dead_code))]
    Deadlock,
    /// There is no more room.
    Full,
}

async fn cause(tx: &mut SqlConnection, trouble: Trouble) -> Result<(), sqlx::Error> {
    use griot_sql::Dialect::{Mysql, Postgres, Sqlite};
    let statement = match (trouble, tx.dialect()) {
        (Trouble::Cut, Postgres) => "SELECT pg_terminate_backend(pg_backend_pid())".to_owned(),
        (Trouble::Cut, _) => {
            let asking = sqlx::query_scalar("SELECT connection_id()");
            let id: i64 = asking.fetch_one(&mut *tx).await?;
            format!("KILL {id}")
        }
        (Trouble::Deadlock, Postgres) => {
            "DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = '40P01'; END $$".to_owned()
        }
        (Trouble::Deadlock, _) => "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213".to_owned(),
        (Trouble::Full, Postgres) => {
            "DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = '53100'; END $$".to_owned()
        }
        (Trouble::Full, Mysql) => "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114".to_owned(),
        (Trouble::Full, Sqlite) => {
            "PRAGMA max_page_count = 1; CREATE TABLE more AS SELECT zeroblob(1000000) AS b"
                .to_owned()
        }
    };
    let caused = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx);
    caused.await.map(|_| ())
}

/// Runs the projection over 30 events, one of which meets trouble again and again; also where the handler
/// keeps it to itself.
async fn is_no_fault_of_the_events(place: Place, trouble: Trouble) {
    let target = open(&place.url).await;
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 30).await.unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let committed = Arc::new(AtomicU32::new(0));
    let commits = Arc::clone(&committed);
    let handler = move |mut tx: Tx<SqlTarget>, Recorded(event): Recorded| {
        let (count, commits) = (Arc::clone(&count), Arc::clone(&commits));
        async move {
            tx.after_commit(|| panic!("as if"));
            tx.after_commit(move || {
                commits.fetch_add(1, Ordering::Relaxed);
            });
            if tx.dialect() == griot_sql::Dialect::Sqlite {
                let room = sqlx::raw_sql("PRAGMA max_page_count = 1000000");
                room.execute(&mut *tx).await?;
            }
            enter(&mut tx, Entry::of(&event)).await?;
            if event.seq == Seq(10) {
                let before = count.fetch_add(1, Ordering::Relaxed);
                if before < TROUBLES {
                    let caused = cause(&mut tx, trouble).await;
                    assert!(caused.is_err(), "it is in trouble");
                    if before.is_multiple_of(2) {
                        caused?;
                    }
                }
            }
            Ok::<_, Failure>(())
        }
    };
    let router = Router::new().on("account", handler);
    let projection = Projection::new("ledger", 1, router).with_limits(LIMITS);
    let runner = Runner::new(Arc::clone(&journal), target.clone());
    let running = runner.start(&projection).await.unwrap();
    let a = entity("a");
    let waiting = running.read_model().wait_for(&a, Seq(30), DEADLINE);
    waiting.await.unwrap();
    running.drain().await.unwrap();
    assert!(tries.load(Ordering::Relaxed) > TROUBLES);
    // Once for each, whatever was rolled back.
    assert_eq!(committed.load(Ordering::Relaxed), 30);
    let everything = Filter::default();
    let page = journal.tail(griot_core::Offset::ZERO, &everything, usize::MAX);
    let all: Vec<Entry> = page.await.unwrap().events.iter().map(Entry::of).collect();
    assert_eq!(entries(&target).await, all);
}

/// A handler that passes over the failure of its own statement does not get through with it.
async fn a_statement_that_failed_fails_the_event(place: Place) {
    let target = open(&place.url).await;
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 5).await.unwrap();
    let handler = async |mut tx: Tx<SqlTarget>, Recorded(event): Recorded| {
        enter(&mut tx, Entry::of(&event)).await?;
        if event.seq == Seq(3) {
            let nowhere = sqlx::query("INSERT INTO nowhere (number) VALUES (?)").bind(1);
            assert!(nowhere.execute(&mut *tx).await.is_err());
        }
        Ok::<_, Failure>(())
    };
    let router = Router::new().on("account", handler);
    let projection = Projection::new("ledger", 1, router).with_limits(LIMITS);
    let runner = Runner::new(journal, target.clone());
    let running = runner.start(&projection).await.unwrap();
    let read_model = running.read_model();
    let held = read_model.wait_for(&entity("a"), Seq(5), DEADLINE).await;
    assert!(
        matches!(held, Err(ProjectionError::Held { .. })),
        "{held:?}"
    );
    let standing = read_model.standing().await.unwrap();
    let State::Failed { reason } = &standing[0].state else {
        panic!("{standing:?}");
    };
    assert!(
        reason.contains("event 3") && reason.contains("nowhere"),
        "{reason}"
    );
    running.drain().await.unwrap();
    assert_eq!(entries(&target).await.len(), 2);
}

macro_rules! faults {
    ($place:expr; $($trouble:ident $case:ident,)+) => {
        #[test]
        fn a_statement_that_failed_fails_the_event_also_where_the_handler_goes_on() {
            let place = $place;
            griot_testkit::run(super::a_statement_that_failed_fails_the_event(place));
        }
        $(
            #[test]
            fn $case() {
                let place = $place;
                griot_testkit::run(super::is_no_fault_of_the_events(place, super::Trouble::$trouble));
            }
        )+
    };
}

mod sqlite {
    faults! { super::Place::file();
        Full a_full_disk_is_waited_out_and_never_the_events_fault,
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::rig::{fresh_schema, postgres};

    faults! { match postgres() {
            Some(url) => super::Place::at(fresh_schema(&url)),
            None => return,
        };
        Cut a_cut_connection_is_replaced_and_never_the_events_fault,
        Deadlock a_deadlock_is_never_the_events_fault,
        Full a_full_disk_is_waited_out_and_never_the_events_fault,
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::rig::{fresh_database, mysql};

    faults! { match mysql() {
            Some(url) => super::Place::at(fresh_database(&url)),
            None => return,
        };
        Cut a_cut_connection_is_replaced_and_never_the_events_fault,
        Deadlock a_deadlock_is_never_the_events_fault,
        Full a_full_disk_is_waited_out_and_never_the_events_fault,
    }
}

/// As SQLite does where the disk is full; more often than there are connections.
#[tokio::test]
async fn a_connection_whose_transaction_the_database_ended_by_itself_is_not_used_again() {
    let place = Place::file();
    let target = open(&place.url).await;
    for _ in 0..20 {
        let mut transaction = target.begin().await.unwrap();
        let ending = sqlx::raw_sql("ROLLBACK").execute(&mut *transaction);
        ending.await.unwrap();
        assert!(target.commit(transaction).await.is_err());
    }
    let mut transaction = target.begin().await.unwrap();
    let statement = sqlx::query("DELETE FROM ledger").execute(&mut *transaction);
    statement.await.unwrap();
    target.commit(transaction).await.unwrap();
}
