//! Servers to test against, and what most tests do with them.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use griot_events::{
    Broker, BrokerError, Delivery, Incoming, Order, Publication, Source, Subscription,
};
use griot_nats::NatsBroker;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// What everything awaited here takes at most.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The URL of a running server; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    static SAID: Once = Once::new();
    let what = "tests on a running NATS server: set GRIOT_TEST_NATS to its URL";
    setting("GRIOT_TEST_NATS", what, &SAID)
}

/// The program to start servers of one's own with; without one, says what is left out.
pub(crate) fn program() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let what = "tests that stop and kill NATS servers: set GRIOT_TEST_NATS_SERVER to the path of nats-server";
    setting("GRIOT_TEST_NATS_SERVER", what, &SAID).map(PathBuf::from)
}

fn setting(name: &str, what: &str, said: &Once) -> Option<String> {
    let setting = std::env::var(name).ok();
    if setting.is_none() {
        // Not `eprintln!`: what that prints is kept from sight when the test passes.
        let text = format!("LEFT OUT {what}\n");
        said.call_once(|| std::io::stderr().write_all(text.as_bytes()).unwrap());
    }
    setting
}

/// A server of one's own, on a free port, with data in a directory that is thrown away.
pub(crate) struct Server {
    program: PathBuf,
    data: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts one with JetStream, and more configuration.
    pub(crate) async fn start(program: &Path, more: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let jetstream = format!(
            "jetstream {{ store_dir: \"{}\", sync_interval: always }}\n{more}",
            data.path().join("jetstream").display()
        );
        Self::start_with(program, data, &jetstream).await
    }

    /// Starts one without JetStream.
    pub(crate) async fn start_bare(program: &Path) -> Self {
        Self::start_with(program, tempfile::tempdir().unwrap(), "").await
    }

    async fn start_with(program: &Path, data: TempDir, configuration: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let configuration = format!("listen: \"127.0.0.1:{port}\"\n{configuration}");
        std::fs::write(data.path().join("nats.conf"), configuration).unwrap();
        let mut server = Self {
            program: program.to_owned(),
            data,
            port,
            child: None,
        };
        server.go_on().await;
        server
    }

    /// Starts it again: same port, same data.
    pub(crate) async fn go_on(&mut self) {
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(self.data.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("the server listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_ok()
        })
        .await;
    }

    /// Asks it to stop, and waits.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().unwrap().to_string();
        let asked = Command::new("kill").arg(pid).status().await.unwrap();
        assert!(asked.success());
        timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        self.url_as("")
    }

    /// With `USER:PASSWORD@` or `TOKEN@`.
    pub(crate) fn url_as(&self, login: &str) -> String {
        format!("nats://{login}127.0.0.1:{}", self.port)
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

pub(crate) async fn connect(url: &str) -> NatsBroker {
    NatsBroker::connect(url).await.unwrap()
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

pub(crate) async fn publish(broker: &NatsBroker, publications: Vec<Publication>) {
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
    broker: &NatsBroker,
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
