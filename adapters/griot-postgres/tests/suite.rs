//! PostgreSQL passes the suites that every journal and every store of snapshots passes.

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;

use griot_journal::{Archive, Journal, SnapshotStore};
use griot_testkit::{ArchiveFactory, JournalFactory, SnapshotFactory};

/// A schema of its own.
struct Place(String);

impl Place {
    fn fresh() -> Option<Self> {
        rig::running().map(|url| Self(rig::fresh(&url)))
    }
}

impl JournalFactory for Place {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(rig::connect(&self.0).await)
    }
}

impl ArchiveFactory for Place {
    async fn open(&self) -> Arc<dyn Archive> {
        Arc::new(rig::connect(&self.0).await)
    }
}

impl SnapshotFactory for Place {
    async fn open(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(rig::connect(&self.0).await)
    }
}

macro_rules! place {
    () => {
        match Place::fresh() {
            Some(place) => place,
            None => return,
        }
    };
}

griot_testkit::journal_read_suite!(place!());
griot_testkit::journal_append_suite!(place!());
griot_testkit::journal_tail_suite!(place!());
griot_testkit::journal_archive_suite!(place!());
griot_testkit::journal_reopen_suite!(place!());
griot_testkit::snapshot_suite!(place!());
