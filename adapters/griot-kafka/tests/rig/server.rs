//! The server to test against, and what most tests do with it.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use griot_events::{
    Broker, BrokerError, Delivery, Incoming, Order, Publication, Source, Subscription,
};
use griot_kafka::KafkaBroker;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard, oneshot};
use tokio::time::{Instant, timeout};

/// What everything awaited here takes at most.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The URL of a running server, with settings that suit tests; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    static SAID: Once = Once::new();
    let what = "tests on a running Kafka: set GRIOT_TEST_KAFKA to its URL";
    let url = setting("GRIOT_TEST_KAFKA", what, &SAID)?;
    Some(format!("{url}?partitions=4&session_seconds=6"))
}

/// The address of one that speaks TLS, and the file with its authority; without one, says what is left out.
pub(crate) fn secured() -> Option<(String, String)> {
    static SAID: Once = Once::new();
    let what = "tests of TLS and logins of Kafka: set GRIOT_TEST_KAFKA_SECURED and GRIOT_TEST_KAFKA_SECURED_CA";
    let server = setting("GRIOT_TEST_KAFKA_SECURED", what, &SAID)?;
    Some((server, setting("GRIOT_TEST_KAFKA_SECURED_CA", what, &SAID)?))
}

fn setting(name: &str, what: &str, said: &Once) -> Option<String> {
    use std::io::Write as _;
    let setting = std::env::var(name).ok();
    if setting.is_none() {
        // Not `eprintln!`: what that prints is kept from sight when the test passes.
        let text = format!("LEFT OUT {what}\n");
        said.call_once(|| std::io::stderr().write_all(text.as_bytes()).unwrap());
    }
    setting
}

/// The running server, to be disturbed by one test at a time.
#[derive(Debug)]
pub(crate) struct Server {
    services: PathBuf,
    pub(crate) url: String,
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    /// Without one, says what is left out. To be called outside of a runtime.
    pub(crate) fn alone() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::const_new(());
        static SAID: Once = Once::new();
        let what = "tests that stop and kill Kafka: set GRIOT_TEST_KAFKA_SERVICES to the path of scripts/services";
        let services = setting("GRIOT_TEST_KAFKA_SERVICES", what, &SAID)?;
        Some(Self {
            services: services.into(),
            url: running()?,
            _alone: ALONE.blocking_lock(),
        })
    }

    /// Stops it, as it likes to be stopped, and starts it again.
    pub(crate) async fn restart(&self) {
        self.say("restart").await;
    }

    /// kill -9, and starts it again.
    pub(crate) async fn kill_and_start(&self) {
        self.say("kill").await;
        self.say("up").await;
    }

    pub(crate) async fn say(&self, command: &str) {
        let run = Command::new(&self.services)
            .args([command, "kafka"])
            .output();
        let done = timeout(DEADLINE, run)
            .await
            .expect("services take too long");
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command}: {said}");
    }
}

/// Awaits a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let end = Instant::now() + DEADLINE;
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        pause.tick().await;
    }
}

pub(crate) async fn connect(url: &str) -> KafkaBroker {
    KafkaBroker::connect(url).await.unwrap()
}

/// A topic that no other test has.
pub(crate) fn topic(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let unique = fastrand::u64(..);
    format!("{name}-{unique:x}-{next}")
}

/// A message with an id of its own, unless it is empty.
pub(crate) fn message(topic: &str, key: &str, payload: impl ToString, id: &str) -> Publication {
    let id = (!id.is_empty()).then(|| (griot_events::MESSAGE_ID.to_owned(), id.to_owned()));
    Publication {
        topic: topic.to_owned(),
        key: (!key.is_empty()).then(|| key.to_owned()),
        headers: id.into_iter().collect(),
        payload: payload.to_string().into_bytes().into(),
    }
}

pub(crate) async fn publish(broker: &KafkaBroker, publications: Vec<Publication>) {
    for outcome in broker.publish(publications).await {
        outcome.unwrap();
    }
}

pub(crate) async fn subscribe(broker: &KafkaBroker, topic: &str, group: &str) -> Box<dyn Source> {
    let subscription = Subscription {
        topics: vec![topic.to_owned()],
        group: group.to_owned(),
        in_flight_max: 64,
        order: Order::PerKey,
    };
    broker.subscribe(subscription).await.unwrap()
}

/// The next message or change; errors that pass are waited out.
pub(crate) async fn incoming(source: &mut Box<dyn Source>) -> Incoming {
    let next = async {
        loop {
            match source.next().await {
                Some(Ok(incoming)) => return incoming,
                Some(Err(BrokerError::Unreachable(_))) => {}
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the source has ended"),
            }
        }
    };
    timeout(DEADLINE, next).await.expect("nothing came")
}

/// The next message; lets go of what is revoked.
pub(crate) async fn next(source: &mut Box<dyn Source>) -> Delivery {
    loop {
        match incoming(source).await {
            Incoming::Delivery(delivery) => return delivery,
            Incoming::Revoked { released, .. } => drop(released.send(())),
        }
    }
}

/// The next change of partitions: how to say that nothing of them is under way.
pub(crate) async fn revoked(source: &mut Box<dyn Source>) -> oneshot::Sender<()> {
    match incoming(source).await {
        Incoming::Revoked { released, .. } => released,
        Incoming::Delivery(delivery) => panic!("not a change: {delivery:?}"),
    }
}

/// Payloads of the next messages, acknowledged.
pub(crate) async fn take(source: &mut Box<dyn Source>, count: usize) -> Vec<String> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let delivery = next(source).await;
        taken.push(text(&delivery));
        delivery.receipt.ack().await.unwrap();
    }
    taken
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.event.payload().to_vec()).unwrap()
}
