//! A read model that a service keeps gets over what passes by itself, and says what does not.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use std::sync::Arc;
#[cfg(any(feature = "postgres", feature = "mysql"))]
use std::sync::atomic::{AtomicU32, Ordering};

use griot_events::{Failure, Router};
use griot_journal::{Journal, MemoryJournal};
use griot_projection::{Projection, ProjectionError, Tx};
use griot_sql::{Kept, SqlTarget};
use griot_testkit::probe::DEADLINE;

fn projection() -> Projection<SqlTarget> {
    let handler = async |_: Tx<SqlTarget>| Ok::<_, Failure>(());
    Projection::new("ledger", 1, Router::new().on("account", handler))
}

/// Begins to keep it, by this way of opening.
fn keep<O>(open: impl Fn() -> O + Send + 'static) -> Kept
where
    O: Future<Output = Result<SqlTarget, ProjectionError>> + Send,
{
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    Kept::begin(open, journal, |_| projection(), DEADLINE)
}

#[tokio::test]
async fn where_the_opening_panics_everybody_is_told() {
    let kept = keep(async || panic!("as if"));
    for told in [kept.first().await, kept.get().map(drop)] {
        let told = told.unwrap_err();
        assert!(matches!(told, ProjectionError::Target(_)), "{told:?}");
    }
    kept.drain(DEADLINE).await;
}

#[tokio::test]
async fn what_is_drained_while_it_opens_is_kept_by_nobody() {
    let place = rig::Place::file();
    let target = rig::open(&place.url).await;
    for yields in (0..60).map(|tenth| tenth * 10) {
        let opened = target.clone();
        let kept = keep(move || std::future::ready(Ok(opened.clone())));
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        kept.drain(DEADLINE).await;
        let after = kept.get();
        // Neither is it on its way still.
        assert!(
            matches!(after, Ok(_) | Err(ProjectionError::Target(_))),
            "{after:?}"
        );
    }
}

/// Somebody holds the slice's row for longer than statements may take.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn a_row_that_is_held_is_waited_for(url: String) {
    use griot_projection::Target as _;
    use griot_sql::{Migrations, passes_by_itself};
    use griot_testkit::probe::until;

    let target = rig::open(&url).await;
    let before = keep(move || std::future::ready(Ok(target.clone())));
    before.first().await.unwrap();
    before.drain(DEADLINE).await;
    let other = rig::open(&url).await;
    let mut holder = other.begin().await.unwrap();
    let holding = sqlx::query("SELECT * FROM griot_projections FOR UPDATE");
    holding.fetch_all(&mut *holder).await.unwrap();
    let settings = if url.contains('?') { "&" } else { "?" };
    let bounded = format!("{url}{settings}statement_seconds=1");
    let tried = Arc::<AtomicU32>::default();
    let trying = Arc::clone(&tried);
    let kept = keep(move || {
        trying.fetch_add(1, Ordering::Relaxed);
        let url = bounded.clone();
        async move { SqlTarget::open(&url, Migrations::new("ledger", rig::LEDGER)).await }
    });
    let refused = kept.first().await.unwrap_err();
    assert!(passes_by_itself(&refused), "{refused}");
    until("it is tried again and again", async || {
        tried.load(Ordering::Relaxed) > 2
    })
    .await;
    assert!(kept.ready().await.is_err());
    drop(holder);
    until("it is kept", async || kept.ready().await.is_ok()).await;
    kept.drain(DEADLINE).await;
}

#[cfg(feature = "postgres")]
#[test]
fn a_row_that_is_held_on_postgres_is_waited_for() {
    let Some(url) = rig::postgres() else { return };
    griot_testkit::run(a_row_that_is_held_is_waited_for(rig::fresh_schema(&url)));
}

#[cfg(feature = "mysql")]
#[test]
fn a_row_that_is_held_on_mysql_is_waited_for() {
    let Some(url) = rig::mysql() else { return };
    griot_testkit::run(a_row_that_is_held_is_waited_for(rig::fresh_database(&url)));
}
