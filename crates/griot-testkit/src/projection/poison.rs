//! Poison: an event that cannot be handled stops the projection or parks its entity, and is never skipped.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use griot_core::Seq;
use griot_events::{DeadLetter, Failure};
use griot_journal::RecordedEvent;
use griot_projection::{Poison, Projection, ProjectionError, State};

use super::ReadModelFactory;
use super::stand::{Stand, fine, is, ledger, name};
use crate::journal::entity;

const IDS: [&str; 3] = ["a", "b", "c"];

/// A projection that cannot handle `b`'s third event until it is cured.
fn sick<F: ReadModelFactory>(poison: Poison) -> (Projection<F::Target>, Arc<AtomicBool>) {
    let cured = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&cured);
    let trouble = move |event: &RecordedEvent| -> Result<(), Failure> {
        if is(event, "b", 3) && !now.load(Ordering::SeqCst) {
            return Err(DeadLetter("it is poison").into());
        }
        Ok(())
    };
    (ledger::<F>(trouble).with_poison(poison), cured)
}

/// What came before it is there, what comes behind it waits.
pub async fn a_poison_event_stops_the_projection_visibly_and_it_can_be_resumed<
    F: ReadModelFactory,
>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 5).await;
    let (projection, cured) = sick::<F>(Poison::Stop);
    let running = stand.start(&projection).await;
    let waited = stand.seen("c", Seq(5)).await;
    assert!(
        matches!(waited, Err(ProjectionError::Held { .. })),
        "{waited:?}"
    );
    let standing = &stand.read_model().standing().await.unwrap()[0];
    let State::Failed { reason } = &standing.state else {
        panic!("{standing:?}");
    };
    for part in ["account/b", "event 3", "Happened", "it is poison"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(stand.entries().await, stand.all_events().await[..7]);
    cured.store(true, Ordering::SeqCst);
    stand.read_model().resume().await.unwrap();
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// A restart is no reason to believe that it is cured.
pub async fn a_projection_that_stopped_stays_so_after_a_restart<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 5).await;
    let (projection, _) = sick::<F>(Poison::Stop);
    let running = stand.start(&projection).await;
    assert!(stand.seen("c", Seq(5)).await.is_err());
    running.drain().await.unwrap();
    let running = stand.start(&ledger::<F>(fine)).await;
    let waited = stand.seen("c", Seq(5)).await;
    assert!(
        matches!(waited, Err(ProjectionError::Held { .. })),
        "{waited:?}"
    );
    assert_eq!(stand.entries().await.len(), 7);
    stand.read_model().resume().await.unwrap();
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// Of the entity, nothing behind the event is shown.
pub async fn a_poison_event_parks_its_entity_and_the_others_go_on<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 5).await;
    let (projection, _) = sick::<F>(Poison::Park);
    let running = stand.start(&projection).await;
    stand.until_shown(&["a", "c"]).await;
    stand.write(&IDS, 5).await;
    stand.until_shown(&["a", "c"]).await;
    let of = |id: &str, entries: &[super::Entry]| {
        let name = name(id);
        let mut count = entries.iter().filter(|entry| entry.entity == name);
        count.by_ref().count()
    };
    let entries = stand.entries().await;
    assert_eq!(IDS.map(|id| of(id, &entries)), [10, 2, 10]);
    let parked = stand.read_model().parked().await.unwrap();
    let [parked] = parked.as_slice() else {
        panic!("{parked:?}");
    };
    assert_eq!((&parked.entity, parked.seq), (&entity("b"), Seq(3)));
    assert!(parked.reason.contains("it is poison"), "{parked:?}");
    stand.seen("b", Seq(2)).await.unwrap();
    let waited = stand.seen("b", Seq(9)).await;
    assert!(
        matches!(waited, Err(ProjectionError::Parked { .. })),
        "{waited:?}"
    );
    running.drain().await.unwrap();
}

/// Where it fails again it stays parked, and nothing of it is shown.
pub async fn a_parked_entity_that_is_tried_again_misses_nothing_and_keeps_its_order<
    F: ReadModelFactory,
>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 20).await;
    let (projection, cured) = sick::<F>(Poison::Park);
    let running = stand.start(&projection).await;
    stand.until_shown(&["a", "c"]).await;
    let read_model = stand.read_model();
    let before = stand.entries().await;
    read_model.retry(&entity("b")).await.unwrap();
    stand
        .until(|| async {
            let parked = read_model.parked().await.unwrap();
            parked[0].asked == griot_projection::Asked::No
        })
        .await;
    assert_eq!(stand.entries().await, before);

    cured.store(true, Ordering::SeqCst);
    read_model.retry(&entity("b")).await.unwrap();
    stand.write(&IDS, 5).await;
    stand
        .until(|| async { read_model.parked().await.unwrap().is_empty() })
        .await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    stand.check().await;
}

/// As often as the limits say.
pub async fn a_panic_is_tried_again_and_then_poison<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&["a"], 3).await;
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let trouble = move |event: &RecordedEvent| {
        if is(event, "a", 1) {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose");
        }
        Ok(())
    };
    let running = stand.start(&ledger::<F>(trouble)).await;
    let waited = stand.seen("a", Seq(3)).await;
    assert!(
        matches!(waited, Err(ProjectionError::Held { .. })),
        "{waited:?}"
    );
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert_eq!(stand.entries().await, []);
    running.drain().await.unwrap();
}
