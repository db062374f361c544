//! Messages per second and their 99th percentile, through griot and through the brokers' own clients.
//!
//! ```text
//! eval "$(scripts/services up nats kafka rabbitmq)"
//! cargo bench -p griot-benches --bench events
//! cargo bench -p griot-benches --bench events -- nats consume griot    these only, without verdicts
//! ```
//!
//! It measures the embedded broker, and each broker whose URL stands in the environment
//! (`GRIOT_TEST_NATS` and so on, as `scripts/services env` prints them); it names those it leaves out. All
//! contenders of a row are measured in turn, round after round, on one runtime; each figure is the
//! median of the rounds. Take the ratios, not the absolutes. It exits with 1 where a promise is not
//! kept.
//!
//! Everybody does equally safe work with the same messages, servers and numbers in flight: a
//! publication carries its key and an id by which the broker drops repeats, and counts when its
//! confirm is here; a message is decoded from JSON, handled by a handler that does nothing, and then
//! acknowledged by itself. Ours also keeps the order of each key, and has the default layers on, with
//! a Prometheus recorder and a subscriber for the spans, as in the program `griot`.
//!
//! | row | what is done |
//! | --- | --- |
//! | publish | 256 publishers, each of which awaits its confirm before its next message |
//! | batches | one publisher that gives 256 at once and awaits all their confirms |
//! | consume | a new group reads a backlog, 1,024 in flight at most |
//! | pass | 500 messages a second: the time from before each is published until it is handled |
//! | lanes | ours with a handler of 5 ms: 64 keys at once, against one message at a time |
//!
//! `RustStream` (`ruststream` 0.7 with `ruststream-nats` 0.7) handles one message at a time, as is its
//! default; its `workers` are not tried here. It has no batches.
#![allow(missing_docs, unreachable_pub, reason = "nobody links to a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it stops at the first error"
)]
#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use contender::{Contender, Role};
use griot::Griot;
use griot_benches::median;
use griot_events::Broker;
use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_journal::{EmbeddedLog, Options};
use griot_kafka::KafkaBroker;
use griot_nats::NatsBroker;
use griot_rabbitmq::RabbitBroker;
use kafka_client::KafkaClient;
use log_floor::LogFloor;
use metrics_exporter_prometheus::PrometheusBuilder;
use nats_client::NatsClient;
use rabbitmq_client::RabbitClient;
use rows::Measured;
use ruststream_peer::RustStreamPeer;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;
use uuid::Uuid;

#[path = "events/contender.rs"]
mod contender;
#[path = "events/griot.rs"]
mod griot;
#[path = "events/kafka_client.rs"]
mod kafka_client;
#[path = "events/log_floor.rs"]
mod log_floor;
#[path = "events/meter.rs"]
mod meter;
#[path = "events/nats_client.rs"]
mod nats_client;
#[path = "events/rabbitmq_client.rs"]
mod rabbitmq_client;
#[path = "events/rows.rs"]
mod rows;
#[path = "events/ruststream_peer.rs"]
mod ruststream_peer;
#[path = "events/sample.rs"]
mod sample;

/// As in the program `griot`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const PUBLISHERS: usize = 256;
const BATCH: u64 = 256;
const CUSTOMERS: u64 = 10_000;
const BACKLOG: u64 = 50_000;
const CONSUMED_IN_FLIGHT: usize = 1_024;
const LANES: u64 = 64;

/// Of the throughput of the broker's own client.
const SHARE_MIN: f64 = 0.8;
/// Of the throughput of another framework.
const AHEAD_MIN: f64 = 1.0;
/// Of one message at a time.
const LANES_MIN: f64 = 40.0;

/// A broker, and those who use it; ours first.
struct Field {
    broker: &'static str,
    griot: Arc<Griot>,
    rivals: Vec<Arc<dyn Contender>>,
    /// Topics begin with it.
    run: String,
}

/// What was asked for on the command line; nothing says everything.
struct Choice(Vec<String>);

impl Choice {
    fn from_arguments() -> Self {
        let arguments = env::args().skip(1);
        Self(arguments.filter(|word| !word.starts_with("--")).collect())
    }

    /// Whether one of several is chosen: by its name, or since none of them is named.
    fn takes(&self, name: &str, all: &[&str]) -> bool {
        let named = |name: &str| self.0.iter().any(|word| word == name);
        named(name) || !all.iter().any(|other| named(other))
    }
}

const BROKERS: [&str; 4] = ["embedded", "nats", "kafka", "rabbitmq"];
const ROWS: [&str; 5] = ["publish", "batches", "consume", "pass", "lanes"];
const CONTENDERS: [&str; 6] = [
    "griot",
    "the log alone",
    "async-nats",
    "rdkafka",
    "lapin",
    "RustStream",
];

impl Field {
    fn new(broker: &'static str, ours: Arc<dyn Broker>, others: Vec<Arc<dyn Contender>>) -> Self {
        let griot = Arc::new(Griot::new(ours));
        let mut rivals: Vec<Arc<dyn Contender>> = vec![Arc::clone(&griot) as _];
        rivals.extend(others);
        Self {
            broker,
            griot,
            rivals,
            run: format!("bench{}", Uuid::now_v7().simple()),
        }
    }

    fn topic(&self, of: &str) -> String {
        format!("{}_{of}", self.run)
    }

    /// Publishes for all.
    async fn fill(&self, topic: &str, count: u64, customers: u64) {
        rows::fill(&*self.griot, topic, count, customers).await;
        for rival in self.rivals.iter().filter(|rival| rival.is_apart()) {
            rows::fill(&**rival, topic, count, customers).await;
        }
    }

    async fn measure(&self, row: &str, round: usize, place: usize) -> Measured {
        let rival = Arc::clone(&self.rivals[place]);
        let group = format!("round-{round}-{place}");
        match row {
            "publish" => rows::publish(rival, &self.topic(row)).await,
            "batches" => rows::publish_batches(&*rival, &self.topic(row)).await,
            "consume" => rows::consume(&*rival, &self.topic(row), group).await,
            _ => {
                let topic = format!("{}.{group}", self.topic(row));
                self.fill(&topic, 1, 1).await;
                rows::pass(rival, &topic, group).await
            }
        }
    }

    /// Measures everybody in turn, round after round.
    async fn row(&self, row: &str, choice: &Choice) -> Vec<Measured> {
        let backlog = if row == "consume" { BACKLOG } else { 1 };
        if row != "pass" {
            self.fill(&self.topic(row), backlog, CUSTOMERS).await;
        }
        let mut all = vec![Vec::new(); self.rivals.len()];
        for round in 0..ROUNDS {
            for turn in 0..self.rivals.len() {
                let place = (round + turn) % self.rivals.len();
                let rival = &self.rivals[place];
                let has_row = row != "batches" || rival.has_batches();
                if has_row && choice.takes(rival.name(), &CONTENDERS) {
                    all[place].push(self.measure(row, round, place).await);
                }
            }
        }
        all.into_iter().map(middle).collect()
    }

    /// Prints the row, and gives a line for each promise.
    async fn report(&self, row: &str, choice: &Choice) -> Vec<(bool, String)> {
        let measured = self.row(row, choice).await;
        for (rival, measured) in self.rivals.iter().zip(&measured) {
            let shown = |value: Option<f64>, digits| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            println!(
                "{:<10}{row:<10}{:<16}{:>12}{:>12}",
                self.broker,
                rival.name(),
                shown(measured.rate, 0),
                shown(measured.p99, 2)
            );
        }
        let Some(ours) = measured[0].rate else {
            return Vec::new();
        };
        let promised = self.rivals.iter().zip(&measured);
        let promised = promised.filter_map(|(rival, measured)| {
            let least = match rival.role() {
                Role::Client => SHARE_MIN,
                Role::Peer => AHEAD_MIN,
                Role::Ours | Role::Floor => return None,
            };
            let ratio = ours / measured.rate?;
            let title = format!("{} {row}, of {}", self.broker, rival.name());
            Some(verdict(&title, ratio, least))
        });
        promised.collect()
    }

    async fn report_lanes(&self) -> Vec<(bool, String)> {
        let topic = self.topic("lanes");
        rows::fill(&*self.griot, &topic, rows::SLOW, LANES).await;
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let rates = rows::lanes(&self.griot, &topic, &format!("round-{round}")).await;
            together.push(rates.0);
            alone.push(rates.1);
        }
        let (together, alone) = (median(together), median(alone));
        for (name, rate) in [("64 keys", together), ("one at a time", alone)] {
            println!(
                "{:<10}{:<10}{name:<16}{rate:>12.0}{:>12}",
                self.broker, "lanes", "-"
            );
        }
        let title = format!("{} lanes, of one at a time", self.broker);
        vec![verdict(&title, together / alone, LANES_MIN)]
    }
}

fn middle(rounds: Vec<Measured>) -> Measured {
    let of = |values: Vec<f64>| (!values.is_empty()).then(|| median(values));
    Measured {
        rate: of(rounds.iter().filter_map(|measured| measured.rate).collect()),
        p99: of(rounds.iter().filter_map(|measured| measured.p99).collect()),
    }
}

fn verdict(title: &str, ratio: f64, least: f64) -> (bool, String) {
    let passed = ratio >= least;
    let word = if passed { "PASS" } else { "FAIL" };
    let line = format!("{word}  {title:<34} {ratio:.2} times (target: at least {least})");
    (passed, line)
}

async fn embedded(directory: &std::path::Path) -> Field {
    let log = EmbeddedLog::open(directory.join("broker"), Options::default()).unwrap();
    let broker = EmbeddedBroker::open(Arc::new(log), EmbeddedOptions::default());
    let broker = Arc::new(broker.await.unwrap());
    let floor = LogFloor::new(directory.join("floor"));
    Field::new("embedded", broker, vec![Arc::new(floor)])
}

async fn nats(url: &str) -> Field {
    let broker = Arc::new(NatsBroker::connect(url).await.unwrap());
    let client = NatsClient::connect(url).await;
    let peer = RustStreamPeer::connect(url).await;
    Field::new("nats", broker, vec![Arc::new(client), Arc::new(peer)])
}

async fn kafka(url: &str) -> Field {
    let broker = Arc::new(KafkaBroker::connect(url).await.unwrap());
    let client = KafkaClient::new(url);
    Field::new("kafka", broker, vec![Arc::new(client)])
}

async fn rabbitmq(url: &str) -> Field {
    let broker = Arc::new(RabbitBroker::connect(url).await.unwrap());
    let client = RabbitClient::connect(url).await;
    Field::new("rabbitmq", broker, vec![Arc::new(client)])
}

/// The fields of the brokers that are chosen and run; says which do not run.
async fn fields(choice: &Choice, directory: &std::path::Path) -> Vec<Field> {
    let mut fields = Vec::new();
    for broker in BROKERS {
        let variable = format!("GRIOT_TEST_{}", broker.to_uppercase());
        match env::var(&variable) {
            _ if !choice.takes(broker, &BROKERS) => {}
            _ if broker == "embedded" => fields.push(embedded(directory).await),
            Err(_) => println!("left out: {broker}, since {variable} is not set"),
            Ok(url) => fields.push(match broker {
                "nats" => nats(&url).await,
                "kafka" => kafka(&url).await,
                _ => rabbitmq(&url).await,
            }),
        }
    }
    fields
}

/// What the program has, so that the layers do all their work.
fn watch() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(Duration::from_secs(5));
        loop {
            turns.tick().await;
            recorder.run_upkeep();
        }
    });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let fields = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        name => write!(writer, "{name}={value:?}"),
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .fmt_fields(fields.delimited(" "))
        .with_writer(std::io::sink)
        .init();
}

async fn run(choice: &Choice) -> Vec<(bool, String)> {
    watch();
    let directory = tempfile::tempdir().unwrap();
    let fields = fields(choice, directory.path()).await;
    println!(
        "{:<10}{:<10}{:<16}{:>12}{:>12}",
        "broker", "row", "", "messages/s", "p99, ms"
    );
    let mut verdicts = Vec::new();
    for field in &fields {
        for row in ROWS {
            if choice.takes(row, &ROWS) {
                verdicts.extend(match row {
                    "lanes" => field.report_lanes().await,
                    row => field.report(row, choice).await,
                });
            }
        }
    }
    for field in &fields {
        for row in ROWS {
            for topic in [field.topic(row), format!("{}.>", field.topic(row))] {
                for rival in &field.rivals {
                    rival.forget(&topic).await;
                }
            }
        }
    }
    verdicts
}

fn main() -> ExitCode {
    if !env::args().any(|argument| argument == "--bench") {
        // `cargo test` runs benches, too; there is nothing to test here.
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let verdicts = runtime.block_on(run(&Choice::from_arguments()));
    println!();
    for (_, line) in &verdicts {
        println!("{line}");
    }
    if verdicts.iter().all(|(passed, _)| *passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
