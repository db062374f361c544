//! The embedded broker passes the suite, on the journal in memory and on the one on disk.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use griot_events::Broker;
use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_journal::{EmbeddedLog, Journal, MemoryJournal, Options};
use griot_testkit::BrokerFactory;
use tempfile::TempDir;
use tokio::sync::Mutex;

mod in_memory {
    use super::*;

    struct InMemory(Arc<MemoryJournal>);

    impl BrokerFactory for InMemory {
        async fn open(&self) -> Arc<dyn Broker> {
            let journal: Arc<dyn Journal> = Arc::clone(&self.0) as _;
            open(journal, EmbeddedOptions::default()).await
        }
    }

    griot_testkit::broker_suite!(InMemory(Arc::default()));
}

mod with_leases {
    use super::*;

    struct WithLeases(Arc<MemoryJournal>);

    impl BrokerFactory for WithLeases {
        async fn open(&self) -> Arc<dyn Broker> {
            let journal: Arc<dyn Journal> = Arc::clone(&self.0) as _;
            let options = EmbeddedOptions {
                lease: Some(Duration::from_millis(600)),
                ..EmbeddedOptions::default()
            };
            open(journal, options).await
        }
    }

    griot_testkit::broker_suite!(WithLeases(Arc::default()));
}

mod on_disk {
    use super::*;

    /// A directory, and the log that was opened in it last.
    struct OnDisk(TempDir, Mutex<Option<Arc<EmbeddedLog>>>);

    impl OnDisk {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), Mutex::default())
        }
    }

    impl BrokerFactory for OnDisk {
        async fn open(&self) -> Arc<dyn Broker> {
            let mut last = self.1.lock().await;
            if let Some(log) = last.take() {
                log.close().await;
            }
            let log = EmbeddedLog::open(self.0.path(), Options::default()).unwrap();
            let log = Arc::new(log);
            *last = Some(Arc::clone(&log));
            open(log, EmbeddedOptions::default()).await
        }
    }

    griot_testkit::broker_suite!(OnDisk::new());
}

async fn open(journal: Arc<dyn Journal>, options: EmbeddedOptions) -> Arc<dyn Broker> {
    let broker = EmbeddedBroker::open(journal, options).await;
    Arc::new(broker.unwrap())
}
