//! What `griot::open` makes of a directory.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::Path;

use griot::core::{EntityId, Seq, Timestamp};
use griot::journal::{EmbeddedSnapshots, JournalError, Snapshot, SnapshotStore};

async fn save_snapshot(directory: &Path) {
    let snapshots = EmbeddedSnapshots::open(directory).unwrap();
    let snapshot = Snapshot {
        entity: EntityId::new("account", "alice").unwrap(),
        seq: Seq(1),
        at: Timestamp::from_micros(0),
        fingerprint: 0,
        payload: "{}".into(),
    };
    snapshots.save(snapshot, 1).await.unwrap();
}

async fn assert_gone(directory: &Path) {
    let opened = griot::open(directory).await;
    assert!(
        matches!(&opened, Err(JournalError::Missing { path }) if path == directory),
        "{:?}",
        opened.map(drop)
    );
}

#[tokio::test]
async fn snapshots_of_a_log_that_is_gone_are_not_the_beginning_of_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    save_snapshot(directory.path()).await;
    let snapshots = directory.path().join("snapshots.redb");
    let before = fs::read(&snapshots).unwrap();
    assert_gone(directory.path()).await;
    assert_gone(directory.path()).await;
    assert!(fs::read(&snapshots).unwrap() == before, "it was changed");
    let files = fs::read_dir(directory.path()).unwrap();
    assert_eq!(files.count(), 1, "a log was begun");
}

#[tokio::test]
async fn a_directory_whose_log_was_removed_is_refused_and_its_snapshots_stay() {
    let directory = tempfile::tempdir().unwrap();
    drop(griot::open(directory.path()).await.unwrap());
    save_snapshot(directory.path()).await;
    fs::remove_dir_all(directory.path().join("journal")).unwrap();
    assert_gone(directory.path()).await;
    assert!(directory.path().join("snapshots.redb").is_file());
}

#[tokio::test]
async fn a_directory_that_was_opened_and_never_written_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        drop(griot::open(directory.path()).await.unwrap());
    }
}
