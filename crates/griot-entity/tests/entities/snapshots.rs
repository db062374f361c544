//! Snapshots are a cache: used where they are good, passed over where they are not.

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{EntityId, Seq};
use griot_entity::{Entities, Griot, Limits, Moment};
use griot_journal::{Journal, MemoryJournal, Snapshot, SnapshotBounds, SnapshotStore};

use crate::ledger::{Add, Ledger, SOON, entities, ledger, limits};

fn snapshotting() -> Entities<Ledger> {
    entities().limits(Limits {
        snapshot_every: 10,
        snapshots_kept: 2,
        ..limits()
    })
}

async fn start(journal: &Arc<MemoryJournal>, snapshots: &Arc<MemoryJournal>) -> Griot {
    Griot::builder(Arc::clone(journal) as _, Arc::clone(snapshots) as _)
        .entity(snapshotting())
        .start()
        .await
        .unwrap()
}

async fn latest(store: &MemoryJournal, seq: u64) -> Option<Snapshot> {
    let alice = EntityId::new("ledger", "alice").unwrap();
    let bounds = SnapshotBounds {
        seq: Seq(seq),
        ..SnapshotBounds::LATEST
    };
    store.load(&alice, bounds).await.unwrap()
}

/// Twenty-five commands, and the snapshots after the tenth and the twentieth.
async fn filled() -> (Arc<MemoryJournal>, Arc<MemoryJournal>) {
    let (journal, snapshots) = (
        Arc::new(MemoryJournal::new()),
        Arc::new(MemoryJournal::new()),
    );
    let griot = start(&journal, &snapshots).await;
    let alice = ledger(&griot, "alice");
    for n in 0..25 {
        alice.ask(Add(1)).key(format!("k{n}")).await.unwrap();
    }
    let saved = async {
        while latest(&snapshots, 20)
            .await
            .is_none_or(|snapshot| snapshot.seq != Seq(20))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, saved)
        .await
        .expect("the second snapshot is saved soon");
    (journal, snapshots)
}

#[tokio::test]
async fn g3_a_snapshot_carries_the_keys() {
    let (journal, snapshots) = filled().await;
    let alice = EntityId::new("ledger", "alice").unwrap();
    // Without its first twenty events only the snapshot can know them.
    Journal::delete(&*journal, &alice, Seq(20)).await.unwrap();
    let griot = start(&journal, &snapshots).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(
        alice.read(|state, seq| (state.total, seq)).await,
        Ok((25, Seq(25)))
    );
    assert_eq!(alice.ask(Add(1)).key("k3").await, Ok(4));
    assert_eq!(alice.ask(Add(1)).key("k23").await, Ok(24));
}

#[tokio::test]
async fn only_the_newest_are_kept() {
    let (_, snapshots) = filled().await;
    assert_eq!(latest(&snapshots, 19).await.unwrap().seq, Seq(10));
    assert!(latest(&snapshots, 9).await.is_none());
}

#[tokio::test]
async fn a_bad_snapshot_is_passed_over_and_the_events_are_replayed() {
    let (journal, snapshots) = filled().await;
    let good = latest(&snapshots, 25).await.unwrap();
    let garbage = Bytes::from_static(b"{\"state\":");
    let ahead = Snapshot {
        seq: Seq(99),
        ..good.clone()
    };
    let corrupt = Snapshot {
        payload: garbage,
        ..good.clone()
    };
    let unknown_fold = Snapshot {
        fingerprint: good.fingerprint ^ 1,
        ..good.clone()
    };
    for bad in [ahead, corrupt, unknown_fold] {
        let snapshots = Arc::new(MemoryJournal::new());
        snapshots.save(bad, 1).await.unwrap();
        let griot = start(&journal, &snapshots).await;
        let alice = ledger(&griot, "alice");
        assert_eq!(
            alice.read(|state, seq| (state.total, seq)).await,
            Ok((25, Seq(25)))
        );
        let (past, seq) = griot
            .state_at::<Ledger>("alice", Moment::Seq(Seq(22)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((past.total, seq), (22, Seq(22)));
    }
}
