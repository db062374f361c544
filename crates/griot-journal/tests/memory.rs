//! The in-memory journal and snapshot store pass the suites.

use std::sync::Arc;

use griot_journal::{Archive, Journal, MemoryJournal, SnapshotStore};
use griot_testkit::{ArchiveFactory, JournalFactory, SnapshotFactory};

struct InMemory;

impl JournalFactory for InMemory {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(MemoryJournal::new())
    }
}

impl ArchiveFactory for InMemory {
    async fn open(&self) -> Arc<dyn Archive> {
        Arc::new(MemoryJournal::new())
    }
}

impl SnapshotFactory for InMemory {
    async fn open(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(MemoryJournal::new())
    }
}

griot_testkit::journal_read_suite!(InMemory);
griot_testkit::journal_append_suite!(InMemory);
griot_testkit::journal_tail_suite!(InMemory);
griot_testkit::journal_archive_suite!(InMemory);
griot_testkit::journal_copy_suite!(InMemory);
griot_testkit::snapshot_suite!(InMemory);
