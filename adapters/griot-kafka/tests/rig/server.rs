//! The server to test against.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;

use griot_events::{Incoming, Source};
use griot_kafka::KafkaBroker;
use griot_testkit::probe::incoming;
use griot_testkit::{End, Services, setting};
use tokio::sync::{Mutex, MutexGuard, oneshot};

/// The URL of a running server, with settings that suit tests; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    let what = "tests on a running Kafka: set GRIOT_TEST_KAFKA to its URL";
    let url = setting("GRIOT_TEST_KAFKA", what)?;
    Some(format!("{url}?partitions=4&session_seconds=6"))
}

/// The address of one that speaks TLS, and the file with its authority; without one, says what is left out.
pub(crate) fn secured() -> Option<(String, String)> {
    let what = "tests of TLS and logins of Kafka: set GRIOT_TEST_KAFKA_SECURED and GRIOT_TEST_KAFKA_SECURED_CA";
    let server = setting("GRIOT_TEST_KAFKA_SECURED", what)?;
    Some((server, setting("GRIOT_TEST_KAFKA_SECURED_CA", what)?))
}

/// Where a proxy must listen for the server's clients to stay behind it, and what lies behind; without one,
/// says what is left out.
pub(crate) fn toxic() -> Option<(SocketAddr, String)> {
    let what = "tests of a disturbed network of Kafka: set GRIOT_TEST_KAFKA_TOXIC and GRIOT_TEST_KAFKA_TOXIC_UPSTREAM";
    let listen = setting("GRIOT_TEST_KAFKA_TOXIC", what)?;
    let listen = listen.trim_start_matches("kafka://").parse().unwrap();
    Some((listen, setting("GRIOT_TEST_KAFKA_TOXIC_UPSTREAM", what)?))
}

pub(crate) async fn connect(url: &str) -> KafkaBroker {
    KafkaBroker::connect(url).await.unwrap()
}

/// The running server, to be disturbed by one test at a time.
#[derive(Debug)]
pub(crate) struct Server {
    services: Services,
    pub(crate) url: String,
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    /// Without one, says what is left out. To be called outside of a runtime.
    pub(crate) fn alone() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let what = "tests that stop and kill Kafka: set GRIOT_TEST_KAFKA_SERVICES to the path of scripts/services";
        Some(Self {
            services: Services::running(setting("GRIOT_TEST_KAFKA_SERVICES", what)?),
            url: running()?,
            _alone: ALONE.blocking_lock(),
        })
    }

    pub(crate) async fn end(&self, end: End) {
        let command = match end {
            End::Stopped => "down",
            End::Killed => "kill",
        };
        self.services.say(&[command, "kafka"]).await;
    }

    /// Starts it again: same port, same data.
    pub(crate) async fn go_on(&self) {
        self.services.say(&["up", "kafka"]).await;
    }
}

/// The next change of partitions: how to say that nothing of them is under way.
pub(crate) async fn revoked(source: &mut Box<dyn Source>) -> oneshot::Sender<()> {
    match incoming(source).await {
        Incoming::Revoked { released, .. } => released,
        Incoming::Delivery(delivery) => panic!("not a change: {delivery:?}"),
    }
}
