//! RabbitMQ passes the suites that every broker passes.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::path::Path;
use std::sync::Arc;

use griot_events::Broker;
use griot_testkit::{BrokerFactory, BrokerServer, End};
use rig::Server;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

async fn open(url: String) -> Arc<dyn Broker> {
    Arc::new(rig::connect(&url).await)
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

    struct Own(Mutex<Server>);

    impl Own {
        /// Before the time of the case begins: it may have to wait for another's server to end.
        fn start(program: &Path) -> Self {
            let runtime = Runtime::new().unwrap();
            Self(Mutex::new(runtime.block_on(Server::start(program))))
        }
    }

    impl BrokerFactory for Own {
        async fn open(&self) -> Arc<dyn Broker> {
            open(self.0.lock().await.url()).await
        }
    }

    impl BrokerServer for Own {
        async fn restart(&self, end: End) {
            let mut server = self.0.lock().await;
            match end {
                End::Stopped => server.stop().await,
                End::Killed => server.kill().await,
            }
            server.go_on().await;
        }
    }

    griot_testkit::broker_server_suite!(match rig::program() {
        Some(program) => Own::start(&program),
        None => return,
    });
}
