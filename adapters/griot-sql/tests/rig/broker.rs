//! Brokers whose topics are projected: the embedded one, and NATS.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use griot_events::Broker;
use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_journal::MemoryJournal;
use griot_nats::NatsBroker;
use griot_testkit::probe::until;
use griot_testkit::{BrokerFactory, BrokerServer, End, free_address, setting};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// The embedded one, on a journal in memory.
pub(crate) fn embedded() -> impl BrokerFactory {
    || async {
        let journal = Arc::new(MemoryJournal::new());
        let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await;
        Arc::new(broker.unwrap()) as Arc<dyn Broker>
    }
}

/// A running NATS; without one, says what is left out.
pub(crate) fn nats() -> Option<impl BrokerFactory> {
    let what = "read models of topics on a running NATS: set GRIOT_TEST_NATS to its URL";
    let url = setting("GRIOT_TEST_NATS", what)?;
    Some(move || connect(url.clone()))
}

async fn connect(url: String) -> Arc<dyn Broker> {
    let broker = NatsBroker::connect(&format!("{url}?lease_seconds=2")).await;
    Arc::new(broker.unwrap())
}

/// A NATS that ends and comes back; without its program, says what is left out.
pub(crate) fn nats_of_ones_own() -> Option<impl BrokerServer> {
    let what = "read models of topics while NATS ends: set GRIOT_TEST_NATS_SERVER to the path of nats-server";
    let program = setting("GRIOT_TEST_NATS_SERVER", what)?.into();
    Some(Own {
        program,
        data: tempfile::tempdir().unwrap(),
        address: free_address(),
        child: Mutex::default(),
    })
}

/// A server on a port of its own, with data in a directory that is thrown away.
struct Own {
    program: PathBuf,
    data: TempDir,
    address: SocketAddr,
    child: Mutex<Option<Child>>,
}

impl Own {
    async fn start(&self) -> Child {
        let (address, data) = (self.address, self.data.path());
        let store = data.join("jetstream");
        let store = store.display();
        let configuration = format!(
            "listen: \"{address}\"\njetstream {{ store_dir: \"{store}\", sync_interval: always }}\n"
        );
        let file = data.join("nats.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("the server listens", || async {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        child
    }
}

impl BrokerFactory for Own {
    async fn open(&self) -> Arc<dyn Broker> {
        let mut child = self.child.lock().await;
        if child.is_none() {
            *child = Some(self.start().await);
        }
        connect(format!("nats://{}", self.address)).await
    }
}

impl BrokerServer for Own {
    async fn restart(&self, end: End) {
        let mut held = self.child.lock().await;
        let mut child = held.take().unwrap();
        if end == End::Stopped {
            let pid = child.id().unwrap().to_string();
            let asked = Command::new("kill").arg(pid).status().await.unwrap();
            assert!(asked.success());
            child.wait().await.unwrap();
        } else {
            child.kill().await.unwrap();
        }
        *held = Some(self.start().await);
    }
}
