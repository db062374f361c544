//! Batches: handlers that take many events at once.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use griot_core::Seq;
use griot_events::{Batch, DeadLetter, Event, Failure, Router};
use griot_projection::{Poison, Projection, Recorded, Scope, State, Tx};

use super::stand::{LIMITS, Stand, is};
use super::{Entry, ReadModelFactory};
use crate::journal::entity;

const IDS: [&str; 3] = ["a", "b", "c"];

const FIVE: Batch = Batch {
    events_max: 5,
    wait_max: Duration::ZERO,
};

fn batched<F: ReadModelFactory>(router: Router<Scope<F::Target>>) -> Projection<F::Target> {
    Projection::new("ledger", 1, router)
        .with_tables(["ledger"])
        .with_limits(LIMITS)
}

/// As large as the handler says, and as the transaction is.
pub async fn g7_a_handler_of_batches_is_given_each_event_once_and_in_order<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    let enter = move |mut tx: Tx<F::Target>, all: Vec<Recorded>, events: Vec<Event>| {
        let seen = Arc::clone(&seen);
        async move {
            assert_eq!(all.len(), events.len());
            seen.fetch_max(all.len(), Ordering::Relaxed);
            for Recorded(event) in all {
                F::insert(&mut tx, Entry::of(&event)).await?;
            }
            Ok::<_, Failure>(())
        }
    };
    stand.write(&IDS, 30).await;
    let running = stand
        .start(&batched::<F>(
            Router::new().on_batch("account", FIVE, enter),
        ))
        .await;
    stand.write(&IDS, 10).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
    assert_eq!(largest.load(Ordering::Relaxed), 5);
    assert_eq!(stand.read_model().standing().await.unwrap()[0].events, 120);
}

/// Beside one of single events: what came before in the journal was handled before, by whomever.
pub async fn handlers_of_batches_and_of_single_events_keep_to_the_journals_order<
    F: ReadModelFactory,
>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 4).await;
    stand.write_of("parcel", &IDS, 1).await;
    stand.write(&IDS, 3).await;
    stand.write_of("parcel", &IDS, 2).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let (many, one) = (Arc::clone(&order), Arc::clone(&order));
    let many = move |all: Vec<Recorded>| {
        let offsets = all.iter().map(|Recorded(event)| event.offset.get());
        many.lock().unwrap().extend(offsets);
        async {}
    };
    let one = move |Recorded(event): Recorded| {
        one.lock().unwrap().push(event.offset.get());
        async {}
    };
    let router = Router::new()
        .on_batch("account", FIVE, many)
        .on("parcel", one);
    let running = stand.start(&batched::<F>(router)).await;
    stand.until_shown(&IDS).await;
    stand
        .until(|| async { order.lock().unwrap().len() >= 30 })
        .await;
    running.drain().await.unwrap();
    assert!(order.lock().unwrap().iter().copied().eq(1..=30));
}

/// And only that one; whether it parks or stops.
pub async fn of_a_batch_that_fails_the_one_bad_event_is_found<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    let cured = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&cured);
    let enter = move |mut tx: Tx<F::Target>, all: Vec<Recorded>| {
        let now = Arc::clone(&now);
        async move {
            for Recorded(event) in all {
                F::insert(&mut tx, Entry::of(&event)).await?;
                if is(&event, "b", 3) && !now.load(Ordering::SeqCst) {
                    return Err(Failure::from(DeadLetter("it is poison")));
                }
            }
            Ok(())
        }
    };
    stand.write(&IDS, 10).await;
    let projection = batched::<F>(Router::new().on_batch("account", FIVE, enter));
    let running = stand.start(&projection).await;
    assert!(stand.seen("c", Seq(10)).await.is_err());
    let standing = &stand.read_model().standing().await.unwrap()[0];
    let State::Failed { reason } = &standing.state else {
        panic!("{standing:?}");
    };
    assert!(
        reason.contains("account/b") && reason.contains("event 3"),
        "{reason}"
    );
    assert_eq!(stand.entries().await, stand.all_events().await[..7]);
    running.drain().await.unwrap();

    stand.read_model().resume().await.unwrap();
    let running = stand
        .start(&projection.clone().with_poison(Poison::Park))
        .await;
    stand.until_shown(&["a", "c"]).await;
    let parked = stand.read_model().parked().await.unwrap();
    assert_eq!(
        (parked.len(), &parked[0].entity, parked[0].seq),
        (1, &entity("b"), Seq(3))
    );
    cured.store(true, Ordering::SeqCst);
    stand.read_model().retry(&entity("b")).await.unwrap();
    stand
        .until(|| async { stand.read_model().parked().await.unwrap().is_empty() })
        .await;
    running.drain().await.unwrap();
    stand.check().await;
}
