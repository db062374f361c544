//! The suite for snapshot stores.
//!
//! That a snapshot which is damaged, of an unknown schema, or ahead of its journal falls back to
//! replay is the entity runtime's promise, and tested there and with the store that it ships with.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Seq, Timestamp};
use griot_journal::{Snapshot, SnapshotBounds, SnapshotStore};

use crate::SnapshotFactory;
use crate::journal::entity;

/// Tests a snapshot store: one test per case of [`snapshots`](crate::snapshots).
#[macro_export]
macro_rules! snapshot_suite {
    ($factory:expr) => {
        $crate::cases! { $factory; $crate::snapshots;
            an_unknown_entity_has_no_snapshot,
            no_snapshot_is_too_old_for_a_moment_before_the_first,
            no_snapshot_is_found_below_the_first_sequence,
            the_latest_is_found,
            the_latest_at_or_below_a_sequence_is_found,
            the_latest_at_or_below_a_sequence_and_a_moment_is_found,
            one_snapshot_is_deleted,
            a_range_of_snapshots_is_deleted,
            nothing_is_deleted_where_the_bound_is_a_millisecond_too_low,
            a_snapshot_of_the_same_sequence_takes_the_place_of_the_first,
            only_the_newest_are_kept,
            a_large_payload_comes_back,
            entities_have_snapshots_of_their_own,
        }
    };
}

const MILLISECOND: i64 = 1000;

fn snapshot(id: &str, seq: u64) -> Snapshot {
    Snapshot {
        entity: entity(id),
        seq: Seq(seq),
        at: moment(seq),
        fingerprint: seq | 1 << 63,
        payload: Bytes::from(format!("state {seq} of {id}")),
    }
}

/// When [`snapshot`] made the one at `seq`.
fn moment(seq: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(seq).unwrap() * 10 * MILLISECOND)
}

async fn five(factory: &impl SnapshotFactory) -> Arc<dyn SnapshotStore> {
    let store = factory.open().await;
    for seq in [10, 20, 30, 40, 50] {
        store.save(snapshot("a", seq), 10).await.unwrap();
    }
    store
}

async fn load(store: &Arc<dyn SnapshotStore>, seq: Seq, at: Timestamp) -> Option<Snapshot> {
    store
        .load(&entity("a"), SnapshotBounds { seq, at })
        .await
        .unwrap()
}

const ANY: Timestamp = SnapshotBounds::LATEST.at;

/// And no error.
pub async fn an_unknown_entity_has_no_snapshot(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    assert_eq!(
        store
            .load(&entity("b"), SnapshotBounds::LATEST)
            .await
            .unwrap(),
        None
    );
    store
        .delete(&entity("b"), SnapshotBounds::LATEST)
        .await
        .unwrap();
}

/// All were made later.
pub async fn no_snapshot_is_too_old_for_a_moment_before_the_first(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    let before = Timestamp::from_micros(moment(10).as_micros() - 1);
    assert_eq!(load(&store, Seq::MAX, before).await, None);
}

/// All are beyond it.
pub async fn no_snapshot_is_found_below_the_first_sequence(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    assert_eq!(load(&store, Seq(9), ANY).await, None);
}

/// All of it.
pub async fn the_latest_is_found(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    assert_eq!(load(&store, Seq::MAX, ANY).await, Some(snapshot("a", 50)));
}

/// At it, and between two.
pub async fn the_latest_at_or_below_a_sequence_is_found(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    assert_eq!(load(&store, Seq(30), ANY).await, Some(snapshot("a", 30)));
    assert_eq!(load(&store, Seq(39), ANY).await, Some(snapshot("a", 30)));
}

/// Whichever bound is the lower.
pub async fn the_latest_at_or_below_a_sequence_and_a_moment_is_found(
    factory: &impl SnapshotFactory,
) {
    let store = five(factory).await;
    assert_eq!(
        load(&store, Seq(40), moment(20)).await,
        Some(snapshot("a", 20))
    );
    assert_eq!(
        load(&store, Seq(20), moment(40)).await,
        Some(snapshot("a", 20))
    );
    assert_eq!(
        load(&store, Seq::MAX, moment(40)).await,
        Some(snapshot("a", 40))
    );
}

/// The others stay.
pub async fn one_snapshot_is_deleted(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    let bounds = SnapshotBounds {
        seq: Seq(10),
        at: ANY,
    };
    store.delete(&entity("a"), bounds).await.unwrap();
    assert_eq!(load(&store, Seq(19), ANY).await, None);
    assert_eq!(load(&store, Seq(20), ANY).await, Some(snapshot("a", 20)));
}

/// Up to both bounds.
pub async fn a_range_of_snapshots_is_deleted(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    let bounds = SnapshotBounds {
        seq: Seq(40),
        at: moment(30),
    };
    store.delete(&entity("a"), bounds).await.unwrap();
    assert_eq!(load(&store, Seq(39), ANY).await, None);
    assert_eq!(load(&store, Seq(40), ANY).await, Some(snapshot("a", 40)));
    store
        .delete(&entity("a"), SnapshotBounds::LATEST)
        .await
        .unwrap();
    assert_eq!(load(&store, Seq::MAX, ANY).await, None);
}

/// The snapshot was made at the bound's next millisecond.
pub async fn nothing_is_deleted_where_the_bound_is_a_millisecond_too_low(
    factory: &impl SnapshotFactory,
) {
    let store = five(factory).await;
    let at = Timestamp::from_micros(moment(10).as_micros() - MILLISECOND);
    store
        .delete(&entity("a"), SnapshotBounds { seq: Seq(10), at })
        .await
        .unwrap();
    assert_eq!(load(&store, Seq(10), ANY).await, Some(snapshot("a", 10)));
}

/// The second is the one that is found.
pub async fn a_snapshot_of_the_same_sequence_takes_the_place_of_the_first(
    factory: &impl SnapshotFactory,
) {
    let store = five(factory).await;
    let again = Snapshot {
        payload: Bytes::from_static(b"again"),
        ..snapshot("a", 50)
    };
    store.save(again.clone(), 10).await.unwrap();
    assert_eq!(load(&store, Seq::MAX, ANY).await, Some(again));
    assert_eq!(load(&store, Seq(49), ANY).await, Some(snapshot("a", 40)));
}

/// As many as were asked for.
pub async fn only_the_newest_are_kept(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    store.save(snapshot("a", 60), 2).await.unwrap();
    assert_eq!(load(&store, Seq::MAX, ANY).await, Some(snapshot("a", 60)));
    assert_eq!(load(&store, Seq(59), ANY).await, Some(snapshot("a", 50)));
    assert_eq!(load(&store, Seq(49), ANY).await, None);
}

/// 8 MiB, and none.
pub async fn a_large_payload_comes_back(factory: &impl SnapshotFactory) {
    let store = factory.open().await;
    let bytes: Vec<u8> = (0_u32..2 << 20).flat_map(u32::to_le_bytes).collect();
    let large = Snapshot {
        payload: Bytes::from(bytes),
        ..snapshot("a", 1)
    };
    let empty = Snapshot {
        payload: Bytes::new(),
        ..snapshot("a", 2)
    };
    store.save(large.clone(), 10).await.unwrap();
    store.save(empty.clone(), 10).await.unwrap();
    assert_eq!(load(&store, Seq(1), ANY).await, Some(large));
    assert_eq!(load(&store, Seq(2), ANY).await, Some(empty));
}

/// Also where one's name begins with the other's.
pub async fn entities_have_snapshots_of_their_own(factory: &impl SnapshotFactory) {
    let store = five(factory).await;
    for id in ["a ", "aa", "A", "a/"] {
        store.save(snapshot(id, 99), 10).await.unwrap();
    }
    assert_eq!(load(&store, Seq::MAX, ANY).await, Some(snapshot("a", 50)));
    store
        .delete(&entity("aa"), SnapshotBounds::LATEST)
        .await
        .unwrap();
    assert_eq!(load(&store, Seq::MAX, ANY).await, Some(snapshot("a", 50)));
}
