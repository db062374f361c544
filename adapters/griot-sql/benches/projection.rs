//! Events per second from the embedded log into the tables of a projection.
//!
//! `cargo bench -p griot-sql --all-features` measures SQLite, and the servers that `GRIOT_TEST_POSTGRES`
//! and `GRIOT_TEST_MYSQL` name; each contender in turn, a few rounds, each into an empty place. It prints medians
//! and what is promised, and exits with 1 where a promise does not hold.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap
)]

#[path = "rig/items.rs"]
mod rig;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use griot_core::{Offset, Seq};
use griot_events::{Failure, Json, Key, Router};
use griot_journal::Journal;
use griot_projection::{Limits, Projection, Runner, Scope, Tx};
use griot_sql::SqlTarget;
use rig::{Added, ENTITIES, cart, empty, fill, many, place, tables};

const ROUNDS: usize = 3;
const EVENTS: u64 = 200_000;
/// One row, one statement.
async fn add_one(
    mut tx: Tx<SqlTarget>,
    Key(cart): Key<String>,
    Json(added): Json<Added>,
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO items (cart, name, price) VALUES (?, ?, ?)")
        .bind(cart)
        .bind(added.name)
        .bind(added.price)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

fn one() -> Router<Scope<SqlTarget>> {
    Router::new().on("cart", add_one)
}

/// What is measured, and what is promised of it.
struct Contender {
    name: &'static str,
    database: &'static str,
    router: fn() -> Router<Scope<SqlTarget>>,
    slices: u32,
    promised: f64,
}

const fn contender(
    name: &'static str,
    database: &'static str,
    router: fn() -> Router<Scope<SqlTarget>>,
    (slices, promised): (u32, f64),
) -> Contender {
    Contender {
        name,
        database,
        router,
        slices,
        promised,
    }
}

const CONTENDERS: [Contender; 8] = [
    contender("SQLite, batches", "sqlite", many, (1, 50_000.0)),
    contender("SQLite, one by one", "sqlite", one, (1, 0.0)),
    contender("PostgreSQL, batches", "postgres", many, (1, 20_000.0)),
    contender("PostgreSQL, batches, 4 slices", "postgres", many, (4, 0.0)),
    contender("PostgreSQL, one by one", "postgres", one, (1, 0.0)),
    contender("MySQL, batches", "mysql", many, (1, 0.0)),
    contender("MySQL, batches, 4 slices", "mysql", many, (4, 0.0)),
    contender("MySQL, one by one", "mysql", one, (1, 0.0)),
];

/// Events per second into an empty place.
async fn measure(journal: &Arc<dyn Journal>, contender: &Contender, url: &str) -> f64 {
    let target = SqlTarget::open(url, tables()).await.unwrap();
    let slices = NonZeroU32::new(contender.slices).unwrap();
    let projection = Projection::new("items", 1, (contender.router)()).with_slices(slices);
    let projection = projection.with_limits(Limits {
        // Each slice has its part of them.
        batch_events_max: 1_000 * usize::try_from(contender.slices).unwrap(),
        ..Limits::default()
    });
    let runner = Runner::new(Arc::clone(journal), target.clone());
    let begun = Instant::now();
    let running = runner.start(&projection).await.unwrap();
    let deadline = Duration::from_mins(5);
    for number in 0..ENTITIES {
        let cart = cart(number);
        let seen = running
            .read_model()
            .wait_for(&cart, Seq(EVENTS / ENTITIES), deadline);
        seen.await.unwrap();
        // All slices have come to the end.
        let standing = running.read_model().standing().await.unwrap();
        if standing.iter().all(|slice| slice.offset >= Offset(EVENTS)) {
            break;
        }
    }
    let elapsed = begun.elapsed();
    running.drain().await.unwrap();
    let mut reading = target.read().await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM items").fetch_one(&mut *reading);
    let count: i64 = count.await.unwrap();
    assert_eq!(count, EVENTS as i64);
    EVENTS as f64 / elapsed.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[tokio::main]
async fn main() -> ExitCode {
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let directory = tempfile::tempdir().unwrap();
    let journal = fill(&directory.path().join("log"), EVENTS).await;
    let mut all = vec![Vec::new(); CONTENDERS.len()];
    for _ in 0..ROUNDS {
        for (contender, rates) in CONTENDERS.iter().zip(&mut all) {
            let is_asked = only
                .as_ref()
                .is_none_or(|only| contender.name.contains(only));
            if let Some(url) = place(contender.database, directory.path()).filter(|_| is_asked) {
                empty(contender.database, &url).await;
                rates.push(measure(&journal, contender, &url).await);
            }
        }
    }
    let mut kept = true;
    println!(
        "{EVENTS} events of {ENTITIES} entities from the embedded log, events/s, median of {ROUNDS}"
    );
    for (contender, rates) in CONTENDERS.iter().zip(all) {
        if rates.is_empty() {
            println!("{:<32} {:>10}", contender.name, "left out");
            continue;
        }
        let rate = median(rates);
        let held = rate >= contender.promised;
        kept &= held;
        let promise = match contender.promised {
            0.0 => String::new(),
            promised => format!(
                "at least {promised:.0}: {}",
                if held { "held" } else { "NOT HELD" }
            ),
        };
        println!("{:<32} {rate:>10.0}  {promise}", contender.name);
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
