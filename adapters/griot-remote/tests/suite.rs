//! A broker over a server passes the suites that every broker passes.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;
use std::time::Duration;

use griot_events::Broker;
use griot_remote::Limits;
use griot_testkit::{BrokerFactory, BrokerServer, End};
use rig::{Server, Store};
use tokio::sync::Mutex;

/// A server that begins with the first client. It outlives the clients.
struct Served {
    lease: Option<Duration>,
    server: Mutex<Option<Server>>,
    store: fn() -> Store,
}

impl Served {
    fn new(lease: Option<Duration>, store: fn() -> Store) -> Self {
        let server = Mutex::default();
        Self {
            lease,
            server,
            store,
        }
    }
}

impl BrokerFactory for Served {
    async fn open(&self) -> Arc<dyn Broker> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            let limits = Limits::default();
            *server = Some(Server::start_with((self.store)(), self.lease, limits).await);
        }
        Arc::new(rig::connect(&server.as_ref().unwrap().url()).await)
    }
}

impl BrokerServer for Served {
    /// A stop is like a kill: there is nothing that it does before.
    async fn restart(&self, _: End) {
        let mut server = self.server.lock().await;
        let server = server.as_mut().unwrap();
        server.kill().await;
        server.go_on().await;
    }
}

mod on_a_running_server {
    use super::*;

    griot_testkit::broker_suite!(Served::new(None, Store::memory));
}

mod on_a_running_server_with_leases {
    use super::*;

    griot_testkit::broker_suite!(Served::new(Some(Duration::from_millis(600)), Store::memory));
}

mod on_a_server_that_is_killed {
    use super::*;

    griot_testkit::broker_server_suite!(Served::new(None, Store::disk));
}
