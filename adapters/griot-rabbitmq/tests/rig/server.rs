//! Servers to test against.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use griot_rabbitmq::RabbitBroker;
use griot_testkit::probe::until;
use griot_testkit::{Services, setting};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How old a quorum queue has to be to outlive kill -9: RabbitMQ 3.10 confirms one before all of it is on
/// disk.
const QUEUES_GROW_UP: Duration = Duration::from_secs(3);

/// The URL of a running server; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    let what = "tests on a running RabbitMQ: set GRIOT_TEST_RABBITMQ to its URL";
    setting("GRIOT_TEST_RABBITMQ", what)
}

/// The program to start servers of one's own with; without one, says what is left out.
pub(crate) fn program() -> Option<PathBuf> {
    let what = "tests that stop and kill RabbitMQ: set GRIOT_TEST_RABBITMQ_SERVICES to the path of scripts/services";
    setting("GRIOT_TEST_RABBITMQ_SERVICES", what).map(PathBuf::from)
}

pub(crate) async fn connect(url: &str) -> RabbitBroker {
    RabbitBroker::connect(url).await.unwrap()
}

/// The host and port in a URL.
pub(crate) fn address(url: &str) -> &str {
    url.rsplit_once('@').unwrap().1.trim_end_matches('/')
}

/// A server of one's own, on a free port, with data in a directory that is thrown away. There is one at
/// a time: each takes the memory of many tests.
pub(crate) struct Server {
    services: Services,
    url: String,
    _data: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    pub(crate) async fn start(program: &Path) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let data = tempfile::tempdir().unwrap();
        let mut server = Self {
            services: Services::within(program, data.path()),
            url: String::new(),
            _data: data,
            _alone: alone,
        };
        server.go_on().await;
        server
    }

    /// Starts it again: same port, same data.
    pub(crate) async fn go_on(&mut self) {
        let said = self.services.say(&["up", "rabbitmq"]).await;
        let url = said.rsplit_once("GRIOT_TEST_RABBITMQ=").map(|(_, url)| url);
        let url = url.and_then(|url| url.lines().next());
        url.expect(&said).clone_into(&mut self.url);
    }

    /// Stops it, as it likes to be stopped.
    pub(crate) async fn stop(&mut self) {
        self.services.say(&["down", "rabbitmq"]).await;
    }

    /// kill -9, once the queues that it has made are such that survive that.
    pub(crate) async fn kill(&mut self) {
        let begun = Instant::now();
        let grown_up = || async { begun.elapsed() > QUEUES_GROW_UP };
        until("queues are old enough", grown_up).await;
        self.services.say(&["kill", "rabbitmq"]).await;
    }

    /// What its administrator says.
    pub(crate) async fn control(&self, arguments: &[&str]) -> String {
        let arguments = [&["client", "rabbitmq"], arguments].concat();
        self.services.say(&arguments).await
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.say_at_last(&["kill", "rabbitmq"]);
    }
}
