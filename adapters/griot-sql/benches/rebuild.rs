//! A rebuild of 1,000,000 events: the tables made anew beside the live ones, compared and swapped.
//!
//! `cargo bench -p griot-sql --all-features --bench rebuild` fills a journal, has a projection keep its table live,
//! and rebuilds that, with a bar on the terminal: in SQLite, and on the servers that `GRIOT_TEST_POSTGRES` and
//! `GRIOT_TEST_MYSQL` name. It prints a table and what is promised, and exits with 1 where a promise does not hold. An
//! argument says which databases: `sqlite`, `postgres`, `mysql`.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_precision_loss)]

#[path = "rig/items.rs"]
mod rig;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use griot_core::Seq;
use griot_journal::Journal;
use griot_projection::{Comparison, Projection, Rebuild, Runner};
use griot_sql::SqlTarget;
use indicatif::{ProgressBar, ProgressStyle};
use rig::{ENTITIES, cart, empty, fill, many, place, tables};

const EVENTS: u64 = 1_000_000;

/// The databases, and how many events a second are promised at least.
const DATABASES: [(&str, f64); 3] = [("sqlite", 50_000.0), ("postgres", 20_000.0), ("mysql", 0.0)];

/// What came of a rebuild.
struct Outcome {
    /// Events a second of the live projection before, and of the rebuild.
    live: f64,
    rebuilt: f64,
    compared: Duration,
    swapped: Duration,
    tables: Vec<Comparison>,
}

async fn rebuild(journal: &Arc<dyn Journal>, url: &str) -> Outcome {
    let target = SqlTarget::open(url, tables()).await.unwrap();
    let projection = Projection::new("items", 1, many()).with_tables(["items"]);
    let begun = Instant::now();
    let runner = Runner::new(Arc::clone(journal), target.clone());
    let running = runner.start(&projection).await.unwrap();
    let last = cart(ENTITIES - 1);
    let seen =
        running
            .read_model()
            .wait_for(&last, Seq(EVENTS / ENTITIES), Duration::from_mins(10));
    seen.await.unwrap();
    let live = EVENTS as f64 / begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let rebuilding = Rebuild::begin(Arc::clone(journal), target.clone(), projection);
    let mut rebuilding = rebuilding.await.unwrap();
    let bar = ProgressBar::new(EVENTS);
    let style = "{bar:40} {pos}/{len} events, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap());
    let caught_up = rebuilding.catch_up(|progress| bar.set_position(progress.offset.get()));
    caught_up.await.unwrap();
    bar.finish_and_clear();
    let rebuilt = EVENTS as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let tables = rebuilding.compare().await.unwrap();
    let compared = begun.elapsed();
    let begun = Instant::now();
    rebuilding.swap().await.unwrap();
    let swapped = begun.elapsed();
    running.drain().await.unwrap();
    Outcome {
        live,
        rebuilt,
        compared,
        swapped,
        tables,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = std::env::args().skip(1);
    let asked: Vec<String> = arguments.filter(|word| !word.starts_with('-')).collect();
    let directory = tempfile::tempdir().unwrap();
    let journal = fill(&directory.path().join("log"), EVENTS).await;
    println!(
        "{EVENTS} events of {ENTITIES} entities from the embedded log, rebuilt beside the live table"
    );
    println!(
        "{:<10}{:>13}{:>12}{:>13}{:>17}{:>20}{:>10}{:>9}",
        "",
        "rows before",
        "rows after",
        "differences",
        "live, events/s",
        "rebuilt, events/s",
        "compared",
        "swapped"
    );
    let mut kept = true;
    for (database, promised) in DATABASES {
        let is_asked = asked.is_empty() || asked.iter().any(|name| name == database);
        let Some(url) = place(database, directory.path()).filter(|_| is_asked) else {
            println!("{database:<10}{:>13}", "left out");
            continue;
        };
        empty(database, &url).await;
        let Outcome {
            live,
            rebuilt,
            compared,
            swapped,
            tables,
        } = rebuild(&journal, &url).await;
        let sum = |of: fn(&Comparison) -> u64| tables.iter().map(of).sum::<u64>();
        let (before, after) = (sum(|table| table.live), sum(|table| table.rebuilt));
        let differences = sum(|table| table.only_live + table.only_rebuilt);
        let held = rebuilt >= promised && (before, after, differences) == (EVENTS, EVENTS, 0);
        kept &= held;
        let promise = match promised {
            0.0 => String::new(),
            _ if held => format!("  at least {promised:.0}: held"),
            _ => format!("  at least {promised:.0}: NOT HELD"),
        };
        let (compared, swapped) = (compared.as_secs_f64(), swapped.as_secs_f64());
        println!(
            "{database:<10}{before:>13}{after:>12}{differences:>13}{live:>17.0}{rebuilt:>20.0}{compared:>8.1} s{swapped:>7.1} s{promise}"
        );
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
