//! Running: exactly once, one owner, paused, awaited.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use griot_core::Seq;
use griot_events::{Retry, Router};
use griot_journal::{MemoryJournal, RecordedEvent};
use griot_projection::{Projection, ProjectionError, Recorded, State};
use tokio::time::timeout;

use super::ReadModelFactory;
use super::stand::{LIMITS, SOON, Stand, fine, is, ledger};
use crate::journal::entity;

const IDS: [&str; 3] = ["a", "b", "c"];

/// Over several lives, and batches that do not divide the events.
pub async fn g7_each_event_is_shown_exactly_once_and_in_order<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    for _ in 0..4 {
        stand.write(&IDS, 10).await;
        let running = stand.start(&ledger::<F>(fine)).await;
        stand.write(&IDS, 3).await;
        stand.until_shown(&IDS).await;
        running.drain().await.unwrap();
    }
    assert_eq!(stand.entries().await, stand.all_events().await);
    let standing = stand.read_model().standing().await.unwrap();
    assert_eq!((standing.len(), standing[0].events), (1, 156));
}

/// Each with an offset of its own.
pub async fn g7_each_event_is_shown_exactly_once_by_several_slices<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let projection = ledger::<F>(fine).with_slices(NonZeroU32::new(4).unwrap());
    stand.write(&ids, 5).await;
    let running = stand.start(&projection).await;
    stand.write(&ids, 5).await;
    stand.until_shown(&ids).await;
    running.drain().await.unwrap();
    stand.check().await;
}

/// The journal is written while the runner catches up.
pub async fn g7_catching_up_and_going_live_has_no_seam<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 50).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    for _ in 0..20 {
        stand.write(&IDS, 5).await;
        tokio::task::yield_now().await;
    }
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// Whichever event of a batch it is, by an error or a panic behind the write.
pub async fn g7_a_batch_that_fails_leaves_nothing_and_is_handled_again<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 30).await;
    let handled = Arc::new(Mutex::new(BTreeMap::new()));
    let trouble = move |event: &RecordedEvent| {
        let mut handled = handled
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let tried = handled.entry(event.offset).or_insert(0);
        *tried += 1;
        match event.offset.get() % 10 {
            3 if *tried <= 2 => Err(Retry("not yet").into()),
            7 if *tried == 1 => panic!("on purpose"),
            _ => Ok(()),
        }
    };
    let running = stand.start(&ledger::<F>(trouble)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// It ends and says so; the second goes on.
pub async fn g4_of_two_runners_of_one_projection_the_first_is_fenced<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 10).await;
    let mut first = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    let second = stand.start(&ledger::<F>(fine)).await;
    stand.write(&IDS, 10).await;
    let ended = first.ended().await;
    assert!(
        matches!(ended, Err(ProjectionError::Fenced { .. })),
        "{ended:?}"
    );
    stand.write(&IDS, 10).await;
    stand.until_shown(&IDS).await;
    second.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// While events come.
pub async fn g4_runners_that_take_over_from_each_other_show_each_event_once<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    let mut all = Vec::new();
    for _ in 0..10 {
        stand.write(&IDS, 20).await;
        all.push(stand.start(&ledger::<F>(fine)).await);
    }
    stand.until_shown(&IDS).await;
    let last = all.pop().unwrap();
    stand.write(&IDS, 1).await;
    for mut fenced in all {
        let ended = fenced.ended().await;
        assert!(
            matches!(ended, Err(ProjectionError::Fenced { .. })),
            "{ended:?}"
        );
    }
    stand.until_shown(&IDS).await;
    last.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// It is stored, so that nobody needs to be there to hear it.
pub async fn pause_and_resume_survive_a_restart<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 5).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    stand.read_model().pause().await.unwrap();
    let before = stand.entries().await;
    stand.write(&IDS, 5).await;
    running.drain().await.unwrap();

    let running = stand.start(&ledger::<F>(fine)).await;
    let waited = stand.seen("a", Seq(10)).await;
    assert!(
        matches!(waited, Err(ProjectionError::Held { .. })),
        "{waited:?}"
    );
    assert_eq!(
        stand.read_model().standing().await.unwrap()[0].state,
        State::Paused
    );
    assert_eq!(stand.entries().await, before);
    running.drain().await.unwrap();

    stand.read_model().resume().await.unwrap();
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// And is zero at the end of the journal.
pub async fn the_lag_is_told_in_events_and_in_time<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 5).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    let read_model = stand.read_model();
    assert_eq!(
        read_model.lag().await.unwrap(),
        griot_projection::Lag::default()
    );
    read_model.pause().await.unwrap();
    stand.write(&IDS, 4).await;
    let lag = read_model.lag().await.unwrap();
    assert_eq!(lag.events, 12);
    // The writer's events are of the year 2023.
    assert!(lag.time > Duration::from_hours(24 * 365), "{lag:?}");
    running.drain().await.unwrap();
}

/// Also before it is written; where it cannot come, or not in time, that is said.
pub async fn a_write_is_seen_by_whoever_waits_for_it<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    for seq in 1..=20 {
        stand.write(&["a"], 1).await;
        let (a, seq) = (entity("a"), Seq(seq));
        let read_model = running.read_model();
        read_model
            .wait_for(&a, seq, super::stand::SOON)
            .await
            .unwrap();
        assert_eq!(
            stand.entries().await.len(),
            usize::try_from(seq.get()).unwrap()
        );
    }
    let (waited, ()) = tokio::join!(stand.seen("b", Seq(2)), stand.write(&["b"], 2));
    waited.unwrap();
    assert_eq!(stand.entries().await.len(), 22);
    let (c, moment) = (entity("c"), Duration::from_millis(50));
    let never = running.read_model().wait_for(&c, Seq(1), moment).await;
    assert!(
        matches!(never, Err(ProjectionError::Late { .. })),
        "{never:?}"
    );
    running.drain().await.unwrap();
}

/// What it does elsewhere is done again where the place it came to was not stored.
pub async fn a_handler_without_a_transaction_is_run_at_least_once<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 10).await;
    let told = Arc::new(AtomicU64::new(0));
    let done = Arc::new(Mutex::new(Vec::new()));
    let (count, list) = (Arc::clone(&told), Arc::clone(&done));
    let tell = move |Recorded(event): Recorded| {
        let (count, list) = (Arc::clone(&count), Arc::clone(&list));
        async move {
            list.lock().unwrap().push(event.offset.get());
            match count.fetch_add(1, Ordering::Relaxed) {
                // In the middle of a batch: what was told before is told again.
                9 => Err(Retry("it did not hear")),
                _ => Ok(()),
            }
        }
    };
    let projection = Projection::new("ledger", 1, Router::new().on("account", tell));
    let running = stand.start(&projection.with_limits(LIMITS)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    let mut done = done.lock().unwrap().clone();
    assert!(done.len() > 30, "some were told twice");
    done.sort_unstable();
    done.dedup();
    assert_eq!(done, (1..=30).collect::<Vec<_>>());
}

/// Entities would change their slice, and miss events or see them twice.
pub async fn another_number_of_slices_is_refused<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 2).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    let two = ledger::<F>(|event| {
        assert!(!is(event, "a", 3), "nothing is handled");
        Ok(())
    });
    let refused = stand
        .try_start(&two.with_slices(NonZeroU32::new(2).unwrap()))
        .await;
    assert!(
        matches!(refused, Err(ProjectionError::OtherSlices { .. })),
        "{refused:?}"
    );
}

/// Its events would be passed over.
pub async fn g7_tables_of_another_journal_are_refused<F: ReadModelFactory>(factory: &F) {
    let mut stand = Stand::open(factory).await;
    stand.write(&IDS, 2).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    stand.journal = Arc::new(MemoryJournal::new());
    let refused = stand.try_start(&ledger::<F>(fine)).await;
    assert!(
        matches!(refused, Err(ProjectionError::OtherJournal { .. })),
        "{refused:?}"
    );
}

/// Whoever was fenced hears of it.
pub async fn a_projection_that_nobody_runs_any_more_is_known_to_be_abandoned<
    F: ReadModelFactory,
>(
    factory: &F,
) {
    let quiet = Duration::from_millis(50);
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 5).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    let model = stand.read_model();
    let kept = timeout(quiet * 10, model.until_abandoned(quiet)).await;
    assert!(kept.is_err(), "it waits for more");
    drop(running);
    stand.write(&IDS, 5).await;
    timeout(SOON, model.until_abandoned(quiet)).await.unwrap();
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}
