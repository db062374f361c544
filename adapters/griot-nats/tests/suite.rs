//! JetStream passes the suites that every broker passes.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::path::PathBuf;
use std::sync::Arc;

use griot_events::Broker;
use griot_testkit::{BrokerFactory, BrokerServer, End};
use rig::Server;
use tokio::sync::Mutex;

async fn open(url: String) -> Arc<dyn Broker> {
    Arc::new(rig::connect(&format!("{url}?lease_seconds=2")).await)
}

mod on_a_running_server {
    use super::*;

    griot_testkit::broker_suite!(match rig::running() {
        Some(url) => move || open(url.clone()),
        None => return,
    });
    griot_testkit::broker_kill_suite!(match rig::running() {
        Some(url) => move || open(url.clone()),
        None => return,
    });
}

mod on_a_server_that_ends {
    use super::*;

    struct Own(PathBuf, Mutex<Option<Server>>);

    impl BrokerFactory for Own {
        async fn open(&self) -> Arc<dyn Broker> {
            let mut server = self.1.lock().await;
            if server.is_none() {
                *server = Some(Server::start(&self.0, "").await);
            }
            open(server.as_ref().unwrap().url()).await
        }
    }

    impl BrokerServer for Own {
        async fn restart(&self, end: End) {
            let mut server = self.1.lock().await;
            let server = server.as_mut().unwrap();
            match end {
                End::Stopped => server.stop().await,
                End::Killed => server.kill().await,
            }
            server.go_on().await;
        }
    }

    griot_testkit::broker_server_suite!(match rig::program() {
        Some(program) => Own(program, Mutex::default()),
        None => return,
    });
}
