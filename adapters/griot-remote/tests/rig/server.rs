//! Servers to test against.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_journal::{EmbeddedLog, Journal, MemoryJournal, Options};
use griot_remote::{Limits, RemoteBroker, serve_with};
use griot_testkit::free_address;
use griot_testkit::probe::DEADLINE;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A server with its broker, as dead as a killed process once it is stopped: its runtime is gone.
pub(crate) struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
    store: Store,
    lease: Option<Duration>,
    limits: Limits,
}

/// Where the messages are.
pub(crate) enum Store {
    Memory(Arc<MemoryJournal>),
    Disk(TempDir, Option<Arc<EmbeddedLog>>),
}

impl Store {
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    pub(crate) fn disk() -> Self {
        Self::Disk(tempfile::tempdir().unwrap(), None)
    }

    /// Opens it anew.
    async fn open(&mut self) -> Arc<dyn Journal> {
        match self {
            Self::Memory(journal) => Arc::clone(journal) as _,
            Self::Disk(directory, last) => {
                if let Some(log) = last.take() {
                    log.close().await;
                }
                let log = EmbeddedLog::open(directory.path(), Options::default()).unwrap();
                let log = Arc::new(log);
                *last = Some(Arc::clone(&log));
                log
            }
        }
    }
}

impl Server {
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, None, Limits::default()).await
    }

    pub(crate) async fn start_with(store: Store, lease: Option<Duration>, limits: Limits) -> Self {
        let mut server = Self {
            runtime: None,
            address: free_address(),
            store,
            lease,
            limits,
        };
        server.go_on().await;
        server
    }

    /// Begins, on the port of before and with what was stored.
    pub(crate) async fn go_on(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let journal = self.store.open().await;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let options = EmbeddedOptions {
            lease: self.lease,
            ..EmbeddedOptions::default()
        };
        let opening = EmbeddedBroker::open(journal, options);
        let broker = runtime.spawn(opening).await.unwrap().unwrap();
        let routes = serve_with(Arc::new(broker), self.limits.clone());
        let listener = listener.into_std().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, routes).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Kills it: nothing is said to anybody, and nothing is finished.
    pub(crate) async fn kill(&mut self) {
        let runtime = self.runtime.take().unwrap();
        let killing = tokio::task::spawn_blocking(|| runtime.shutdown_timeout(DEADLINE));
        killing.await.unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) async fn connect(url: &str) -> RemoteBroker {
    RemoteBroker::connect(url).await.unwrap()
}
