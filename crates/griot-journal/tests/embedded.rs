//! The embedded log and its snapshot store pass the suites, on a real disk.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where a promise is broken"
)]

use std::sync::Arc;

use griot_journal::{Archive, EmbeddedLog, EmbeddedSnapshots, Journal, Options, SnapshotStore};
use griot_testkit::{ArchiveFactory, JournalFactory, SnapshotFactory};
use tempfile::TempDir;

struct OnDisk(TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn log(&self) -> EmbeddedLog {
        // Small segments, so that every case crosses from one to the next.
        let options = Options {
            segment_bytes: 16 << 10,
            ..Options::default()
        };
        EmbeddedLog::open(self.0.path(), options).unwrap()
    }
}

impl JournalFactory for OnDisk {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(self.log())
    }
}

impl ArchiveFactory for OnDisk {
    async fn open(&self) -> Arc<dyn Archive> {
        Arc::new(self.log())
    }
}

impl SnapshotFactory for OnDisk {
    async fn open(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(EmbeddedSnapshots::open(self.0.path()).unwrap())
    }
}

griot_testkit::journal_read_suite!(OnDisk::new());
griot_testkit::journal_append_suite!(OnDisk::new());
griot_testkit::journal_tail_suite!(OnDisk::new());
griot_testkit::journal_archive_suite!(OnDisk::new());
griot_testkit::journal_reopen_suite!(OnDisk::new());
griot_testkit::snapshot_suite!(OnDisk::new());
