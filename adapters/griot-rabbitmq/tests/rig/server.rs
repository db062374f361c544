//! Servers to test against, and what most tests do with them.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use griot_events::{
    Broker, BrokerError, Delivery, Incoming, Order, Publication, Source, Subscription,
};
use griot_rabbitmq::RabbitBroker;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

/// What everything awaited here takes at most.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// How old a quorum queue has to be to outlive kill -9: RabbitMQ 3.10 confirms one before all of it is on
/// disk.
const QUEUES_GROW_UP: Duration = Duration::from_secs(3);

/// The URL of a running server; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    static SAID: Once = Once::new();
    let what = "tests on a running RabbitMQ: set GRIOT_TEST_RABBITMQ to its URL";
    setting("GRIOT_TEST_RABBITMQ", what, &SAID)
}

/// The program to start servers of one's own with; without one, says what is left out.
pub(crate) fn program() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let what = "tests that stop and kill RabbitMQ: set GRIOT_TEST_RABBITMQ_SERVICES to the path of scripts/services";
    setting("GRIOT_TEST_RABBITMQ_SERVICES", what, &SAID).map(PathBuf::from)
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

/// A server of one's own, on a free port, with data in a directory that is thrown away. There is one at
/// a time: each takes the memory of many tests.
pub(crate) struct Server {
    program: PathBuf,
    data: TempDir,
    url: String,
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    pub(crate) async fn start(program: &Path) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let mut server = Self {
            program: program.to_owned(),
            _alone: ALONE.lock().await,
            data: tempfile::tempdir().unwrap(),
            url: String::new(),
        };
        server.go_on().await;
        server
    }

    /// Starts it again: same port, same data.
    pub(crate) async fn go_on(&mut self) {
        let said = self.say("up").await;
        let url = said.rsplit_once("GRIOT_TEST_RABBITMQ=").map(|(_, url)| url);
        let url = url.and_then(|url| url.lines().next());
        url.expect(&said).clone_into(&mut self.url);
    }

    /// Stops it, as it likes to be stopped.
    pub(crate) async fn stop(&mut self) {
        self.say("down").await;
    }

    /// kill -9, once the queues that it has made are such that survive that.
    pub(crate) async fn kill(&mut self) {
        let begun = Instant::now();
        let grown_up = || async { begun.elapsed() > QUEUES_GROW_UP };
        until("queues are old enough", grown_up).await;
        self.say("kill").await;
    }

    /// What its administrator says.
    pub(crate) async fn control(&self, arguments: &[&str]) -> String {
        let arguments = [&["client", "rabbitmq"], arguments].concat();
        self.run(&arguments).await
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    async fn say(&self, command: &str) -> String {
        self.run(&[command, "rabbitmq"]).await
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let run = Command::new(&self.program)
            .args(arguments)
            .env("GRIOT_SERVICES", self.data.path())
            .output();
        let done = timeout(DEADLINE, run)
            .await
            .expect("services take too long");
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = std::process::Command::new(&self.program)
            .args(["kill", "rabbitmq"])
            .env("GRIOT_SERVICES", self.data.path())
            .output();
        drop(stopped);
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

pub(crate) async fn connect(url: &str) -> RabbitBroker {
    RabbitBroker::connect(url).await.unwrap()
}

/// A topic that no other test has.
pub(crate) fn topic(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let unique = fastrand::u64(..);
    format!("{name}-{unique:x}-{next}")
}

pub(crate) fn message(topic: &str, key: &str, payload: impl ToString) -> Publication {
    Publication {
        topic: topic.to_owned(),
        key: (!key.is_empty()).then(|| key.to_owned()),
        headers: Vec::new(),
        payload: payload.to_string().into_bytes().into(),
    }
}

/// The same with a message id.
pub(crate) fn message_with_id(
    topic: &str,
    key: &str,
    payload: impl ToString,
    id: &str,
) -> Publication {
    let mut message = message(topic, key, payload);
    let header = (griot_events::MESSAGE_ID.to_owned(), id.to_owned());
    message.headers.push(header);
    message
}

pub(crate) async fn publish(broker: &RabbitBroker, publications: Vec<Publication>) {
    for outcome in broker.publish(publications).await {
        outcome.unwrap();
    }
}

pub(crate) fn subscription(topic: &str, group: &str, order: Order) -> Subscription {
    Subscription {
        topics: vec![topic.to_owned()],
        group: group.to_owned(),
        in_flight_max: 64,
        order,
    }
}

pub(crate) async fn subscribe(
    broker: &RabbitBroker,
    topic: &str,
    group: &str,
    order: Order,
) -> Box<dyn Source> {
    let subscription = subscription(topic, group, order);
    broker.subscribe(subscription).await.unwrap()
}

/// The next message.
pub(crate) async fn next(source: &mut Box<dyn Source>) -> Delivery {
    let next = async {
        loop {
            match source.next().await {
                Some(Ok(Incoming::Delivery(delivery))) => return delivery,
                Some(Ok(other)) => panic!("not a message: {other:?}"),
                // It goes on trying.
                Some(Err(BrokerError::Unreachable(_))) => {}
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the source has ended"),
            }
        }
    };
    timeout(DEADLINE, next).await.expect("no message came")
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

/// Nothing comes for so long.
pub(crate) async fn quiet(source: &mut Box<dyn Source>, long: Duration) {
    if let Ok(came) = timeout(long, source.next()).await {
        panic!("unexpected: {came:?}");
    }
}
