//! The snapshot store of a data directory is a cache: whatever happens to its file, it goes on.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where a promise is broken"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use griot_core::{Seq, Timestamp};
use griot_journal::{
    EmbeddedSnapshots, JournalError, SNAPSHOT_BYTES_MAX, Snapshot, SnapshotBounds, SnapshotStore,
};
use griot_testkit::{journal::entity, run};

fn snapshot(seq: u64) -> Snapshot {
    Snapshot {
        entity: entity("a"),
        seq: Seq(seq),
        at: Timestamp::from_micros(1),
        fingerprint: 1,
        payload: Bytes::from(format!("the state after {seq} events")),
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("snapshots.redb")
}

/// A closed store with the snapshots 1, 2 and 3.
fn three(directory: &Path) {
    let store = EmbeddedSnapshots::open(directory).unwrap();
    for seq in 1..=3 {
        run(store.save(snapshot(seq), 10)).unwrap();
    }
}

fn latest(directory: &Path) -> Option<Snapshot> {
    let store = EmbeddedSnapshots::open(directory).unwrap();
    run(store.load(&entity("a"), SnapshotBounds::LATEST)).unwrap()
}

#[test]
fn snapshots_are_there_after_reopening() {
    let scratch = tempfile::tempdir().unwrap();
    three(scratch.path());
    assert_eq!(latest(scratch.path()), Some(snapshot(3)));
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before_it() {
    let scratch = tempfile::tempdir().unwrap();
    three(scratch.path());
    let mut bytes = fs::read(file(scratch.path())).unwrap();
    let text = b"the state after 3 events";
    let places: Vec<_> = bytes.windows(text.len()).enumerate().collect();
    let found = places.iter().filter(|(_, window)| *window == text);
    let found: Vec<_> = found.map(|(at, _)| *at).collect();
    assert!(!found.is_empty());
    for at in found {
        *bytes.get_mut(at).unwrap() ^= 1;
    }
    fs::write(file(scratch.path()), bytes).unwrap();
    assert_eq!(latest(scratch.path()), Some(snapshot(2)));
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_a_new_one_begun() {
    let scratch = tempfile::tempdir().unwrap();
    for damage in [
        b"this is no database".to_vec(),
        Vec::new(),
        vec![0; 1 << 20],
    ] {
        fs::write(file(scratch.path()), &damage).unwrap();
        let store = EmbeddedSnapshots::open(scratch.path()).unwrap();
        assert_eq!(
            run(store.load(&entity("a"), SnapshotBounds::LATEST)).unwrap(),
            None
        );
        run(store.save(snapshot(1), 1)).unwrap();
        drop(store);
        assert_eq!(latest(scratch.path()), Some(snapshot(1)));
    }
    assert!(scratch.path().join("snapshots.redb.damaged").is_file());
}

#[test]
fn a_file_cut_off_or_damaged_anywhere_is_never_fatal_and_never_gives_a_wrong_state() {
    let scratch = tempfile::tempdir().unwrap();
    three(scratch.path());
    let whole = fs::read(file(scratch.path())).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..40 {
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        } else {
            for _ in 0..200 {
                let at = random.usize(..bytes.len().min(1 << 14));
                *bytes.get_mut(at).unwrap() ^= 1 << random.u8(..8);
            }
        }
        fs::write(file(scratch.path()), &bytes).unwrap();
        let store = EmbeddedSnapshots::open(scratch.path()).unwrap();
        // An error is an answer: the caller replays.
        if let Ok(Some(found)) = run(store.load(&entity("a"), SnapshotBounds::LATEST)) {
            assert_eq!(found, snapshot(found.seq.get()));
        }
    }
}

#[test]
fn a_second_store_in_one_directory_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let _first = EmbeddedSnapshots::open(scratch.path()).unwrap();
    let second = EmbeddedSnapshots::open(scratch.path());
    assert!(matches!(second, Err(JournalError::Locked { .. })));
}

#[test]
fn a_snapshot_over_the_limit_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let store = EmbeddedSnapshots::open(scratch.path()).unwrap();
    let payload = Bytes::from(vec![0; SNAPSHOT_BYTES_MAX + 1]);
    let refused = run(store.save(
        Snapshot {
            payload,
            ..snapshot(1)
        },
        1,
    ));
    assert!(matches!(refused, Err(JournalError::TooLarge { .. })));
}
