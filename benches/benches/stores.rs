//! Durable commands per second on each journal, against peers and a loop by hand on the same server.
//!
//! ```text
//! eval "$(scripts/services up postgres mysql cassandra)"
//! cargo bench -p griot-benches --bench stores
//! cargo bench -p griot-benches --bench stores -- 64        this many in flight only
//! ```
//!
//! It measures the embedded log, and each database whose URL stands in the environment
//! (`GRIOT_TEST_POSTGRES` and so on, as `scripts/services env` prints them); it names those it leaves out.
//! All contenders are measured in turn, round after round, on one runtime; each figure is the median of the
//! rounds. Take the ratios, not the absolutes. It exits with 1 where a promise is not kept.
//!
//! Everybody adds notes of 256 bytes to 10,000 notebooks, with so many commands in flight: a command reads
//! the notebook's state, decides, and counts when its event is durable. Each notebook has a note before the clock
//! starts: what is measured goes on for as long as a service runs, recovery of all that it knows does not. `cqrs-es` (0.5 with `postgres-es`)
//! has the pool that its guide has, of 10 connections; the loop by hand has as many. `eventually` is not
//! here: the last release of its store on PostgreSQL runs on tokio 0.2 only.
#![allow(missing_docs, unreachable_pub, reason = "nobody links to a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it stops at the first error"
)]
#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contender::Contender;
use griot::Ours;
use griot_benches::median;
use griot_cassandra::CassandraJournal;
use griot_journal::{EmbeddedLog, Options};
use griot_mysql::MysqlJournal;
use griot_postgres::{PostgresJournal, PostgresOptions};
use one_transaction::OneTransaction;
use peer::CqrsEs;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

#[path = "stores/contender.rs"]
mod contender;
#[path = "stores/griot.rs"]
mod griot;
#[path = "stores/one_transaction.rs"]
mod one_transaction;
#[path = "stores/peer.rs"]
mod peer;

/// As in the program `griot`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// How long they run before the clock starts.
const WARM_UP: Duration = Duration::from_millis(500);
const NOTEBOOKS: usize = 10_000;
/// How many commands are in flight while the notebooks are begun.
const FILLERS: usize = 64;
const IN_FLIGHT: [usize; 3] = [1, 64, 1_024];
/// Connections of the loop by hand, and of the pool in the guide of cqrs-es.
const CONNECTIONS: u32 = 10;

/// Of the commands of cqrs-es, from this many in flight on.
const AHEAD_MIN: f64 = 10.0;
const AHEAD_FROM: usize = 64;

/// Commands per second with so many in flight.
async fn measure(contender: &Arc<dyn Contender>, in_flight: usize) -> f64 {
    let (counting, stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let done = Arc::<AtomicU64>::default();
    let ask = |asker: usize| {
        let contender = Arc::clone(contender);
        let (counting, stop, done) = (Arc::clone(&counting), Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            let mut place = asker * 7_919;
            while !stop.load(Ordering::Relaxed) {
                place = (place + 104_729) % NOTEBOOKS;
                contender.note(place).await;
                done.fetch_add(
                    u64::from(counting.load(Ordering::Relaxed)),
                    Ordering::Relaxed,
                );
            }
        })
    };
    let askers: Vec<_> = (0..in_flight).map(ask).collect();
    tokio::time::sleep(WARM_UP).await;
    counting.store(true, Ordering::Relaxed);
    let began = Instant::now();
    tokio::time::sleep(ROUND).await;
    counting.store(false, Ordering::Relaxed);
    let took = began.elapsed();
    let commands = done.load(Ordering::Relaxed) as f64;
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.await.unwrap();
    }
    commands / took.as_secs_f64()
}

/// Adds a note to each notebook.
async fn fill(contender: &Arc<dyn Contender>) {
    let next = Arc::<AtomicUsize>::default();
    let mut askers = JoinSet::new();
    for _ in 0..FILLERS {
        let (contender, next) = (Arc::clone(contender), Arc::clone(&next));
        askers.spawn(async move {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= NOTEBOOKS {
                    return;
                }
                contender.note(place).await;
            }
        });
    }
    askers.join_all().await;
}

/// A schema of PostgreSQL that is dropped at the end.
struct Schema {
    name: String,
    pool: PgPool,
    /// Of the schema.
    url: String,
}

impl Schema {
    async fn make(url: &str) -> Self {
        let name = format!("bench{}", Uuid::now_v7().simple());
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.options([("search_path", &name)]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.connect_with(options).await.unwrap();
        let create = AssertSqlSafe(format!("create schema {name}"));
        sqlx::raw_sql(create).execute(&pool).await.unwrap();
        let mark = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{mark}options=-csearch_path%3D{name}");
        Self { name, pool, url }
    }

    async fn drop(self) {
        let drop = AssertSqlSafe(format!("drop schema {} cascade", self.name));
        sqlx::raw_sql(drop).execute(&self.pool).await.unwrap();
    }
}

async fn run(in_flights: &[usize]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(directory.path(), Options::default()).unwrap();
    let mut contenders: Vec<Arc<dyn Contender>> =
        vec![Arc::new(Ours::on("the embedded log", Arc::new(log)).await)];
    let (mut schemas, mut ours, mut peer) = (Vec::new(), None, None);
    if let Ok(url) = std::env::var("GRIOT_TEST_POSTGRES") {
        let schema = Schema::make(&url).await;
        let mut options: PostgresOptions = url.parse().unwrap();
        options.schema.clone_from(&schema.name);
        let journal = PostgresJournal::open(&options).await.unwrap();
        ours = Some(contenders.len());
        contenders.push(Arc::new(Ours::on("PostgreSQL", Arc::new(journal)).await));
        let peers = Schema::make(&url).await;
        peer = Some(contenders.len());
        contenders.push(Arc::new(CqrsEs::connect(&peers.url, &peers.pool).await));
        contenders.push(Arc::new(OneTransaction::connect(peers.pool.clone()).await));
        schemas.extend([schema, peers]);
    } else {
        println!("left out: PostgreSQL, since GRIOT_TEST_POSTGRES is not set");
    }
    if let Ok(url) = std::env::var("GRIOT_TEST_MYSQL") {
        let (server, _) = url.rsplit_once('/').unwrap();
        let own = format!("{server}/bench{}", Uuid::now_v7().simple());
        let journal = MysqlJournal::connect(&own).await.unwrap();
        contenders.push(Arc::new(Ours::on("MariaDB", Arc::new(journal)).await));
    } else {
        println!("left out: MariaDB, since GRIOT_TEST_MYSQL is not set");
    }
    if let Ok(url) = std::env::var("GRIOT_TEST_CASSANDRA") {
        let own = format!("{url}?journal=bench{}", Uuid::now_v7().simple());
        let journal = CassandraJournal::connect(&own).await.unwrap();
        contenders.push(Arc::new(Ours::on("Cassandra", Arc::new(journal)).await));
    } else {
        println!("left out: Cassandra, since GRIOT_TEST_CASSANDRA is not set");
    }
    for contender in &contenders {
        fill(contender).await;
    }
    let mut kept = true;
    println!("{:>9}  {:<28}{:>12}", "in flight", "", "commands/s");
    for &in_flight in in_flights {
        let mut rates = vec![Vec::new(); contenders.len()];
        for _ in 0..ROUNDS {
            for (contender, rates) in contenders.iter().zip(&mut rates) {
                rates.push(measure(contender, in_flight).await);
            }
        }
        let rates: Vec<f64> = rates.into_iter().map(median).collect();
        for (contender, rate) in contenders.iter().zip(&rates) {
            println!("{in_flight:>9}  {:<28}{rate:>12.0}", contender.name());
        }
        if let (Some(ours), Some(peer)) = (ours, peer)
            && in_flight >= AHEAD_FROM
        {
            let ratio = rates[ours] / rates[peer];
            let is_kept = ratio >= AHEAD_MIN;
            let word = if is_kept { "PASS" } else { "FAIL" };
            println!(
                "{word}  {in_flight} in flight on PostgreSQL, of cqrs-es: {ratio:.1} times (target: at least {AHEAD_MIN})"
            );
            kept &= is_kept;
        }
    }
    drop(contenders);
    for schema in schemas {
        schema.drop().await;
    }
    kept
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs this without it, to see that it starts.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<usize> = arguments
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    let in_flights = if chosen.is_empty() {
        IN_FLIGHT.to_vec()
    } else {
        chosen
    };
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    if runtime.block_on(run(&in_flights)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
