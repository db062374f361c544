//! Durable commands per second through entities, against the floors of the same machine.
//!
//! `cargo bench -p griot-benches --bench entities` runs every contender in turn, five rounds, and
//! prints medians, the ratios that are promised, and whether they hold; it exits with 1 where one
//! does not. Absolute numbers mean little; the contenders of one run share their machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use griot_benches::median;
use griot_core::{Cx, Entity, Event, Handle, Never};
use griot_entity::{AskError, Entities, EntityRef, Griot, Limits};
use griot_journal::{EmbeddedLog, MemoryJournal, Options};
use serde::{Deserialize, Serialize};

/// As in the program `griot`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
/// How long the askers run before the clock starts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Between two contenders, so that the disk is done with the files of the one before.
const PAUSE: Duration = Duration::from_millis(500);
const ENTITIES: usize = 10_000;
const IN_FLIGHT: usize = 4_096;
const HOT_ASKERS: usize = 256;
const PAYLOAD_BYTES: usize = 256;
/// How much of the bare loop's file is zeroed ahead.
const FILE_BYTES: usize = 1 << 28;

#[derive(Default, Serialize, Deserialize)]
struct Notebook {
    notes: u64,
}

#[derive(Serialize, Deserialize)]
enum Noted {
    Noted { text: Cow<'static, str> },
}
impl Event for Noted {}

impl Entity for Notebook {
    const KIND: &'static str = "notebook";
    type Event = Noted;
    fn evolve(&mut self, _: &Noted) {
        self.notes += 1;
    }
}

struct Note(Cow<'static, str>);
impl Handle<Note> for Notebook {
    type Reply = u64;
    type Error = Never;
    fn decide(&self, Note(text): Note, cx: &mut Cx<Self>) -> Result<u64, Never> {
        cx.emit(Noted::Noted { text });
        Ok(self.notes + 1)
    }
}

/// A text that makes the event's payload `PAYLOAD_BYTES` long. It is the same for all, as it is for
/// the bare loop and for fjall: making texts is not what is measured.
fn text() -> Cow<'static, str> {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| "x".repeat(PAYLOAD_BYTES - r#"{"text":""}"#.len()));
    Cow::Borrowed(&TEXT)
}

struct System {
    griot: Griot,
    directory: tempfile::TempDir,
    journal: Arc<EmbeddedLog>,
}

async fn system() -> System {
    let directory = tempfile::tempdir().unwrap();
    let journal = EmbeddedLog::open(directory.path(), Options::default()).unwrap();
    let journal = Arc::new(journal);
    let limits = Limits {
        // On two cores one task that decides beside one that commits is best.
        shards: 1,
        snapshot_every: 0,
        ..Limits::default()
    };
    let griot = Griot::builder(Arc::clone(&journal) as _, Arc::new(MemoryJournal::new()))
        .entity(Entities::<Notebook>::new().limits(limits))
        .start()
        .await
        .unwrap();
    System {
        griot,
        directory,
        journal,
    }
}

/// Asks from `askers` tasks for one round; gives commands per second.
async fn ask(notebooks: Arc<Vec<EntityRef<Notebook>>>, askers: usize) -> f64 {
    let counting = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..askers)
        .map(|asker| {
            let (counting, stop) = (Arc::clone(&counting), Arc::clone(&stop));
            let (done, notebooks) = (Arc::clone(&done), Arc::clone(&notebooks));
            tokio::spawn(async move {
                let mut count = 0;
                let mut place = asker * 7_919;
                while !stop.load(Ordering::Relaxed) {
                    place = (place + 104_729) % notebooks.len();
                    match notebooks[place].ask(Note(text())).await {
                        Ok(_) => count += u64::from(counting.load(Ordering::Relaxed)),
                        Err(AskError::Busy) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                done.fetch_add(count, Ordering::Relaxed);
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    counting.store(true, Ordering::Relaxed);
    let began = Instant::now();
    tokio::time::sleep(ROUND).await;
    let elapsed = began.elapsed();
    counting.store(false, Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    done.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64()
}

/// Commands per second and bytes per command of many entities, or of one.
async fn entities(count: usize, askers: usize) -> (f64, f64) {
    let system = system().await;
    let references: Vec<_> = (0..count)
        .map(|n| system.griot.entity::<Notebook>(&format!("n{n}")).unwrap())
        .collect();
    let notebooks = Arc::new(references);
    // They are in memory before the clock starts.
    for some in notebooks.chunks(1_000) {
        let asks = some
            .iter()
            .map(|notebook| notebook.ask(Note(text())).into_future());
        futures_util::future::try_join_all(asks).await.unwrap();
    }
    let rate = ask(Arc::clone(&notebooks), askers).await;
    drop(notebooks);
    let bytes = bytes_per_command(&system);
    system.griot.drain(Duration::from_secs(10)).await;
    drop(system.directory);
    std::thread::sleep(PAUSE);
    (rate, bytes)
}

/// What one command costs in the log: the event, its name, the entity's, and all framing.
fn bytes_per_command(system: &System) -> f64 {
    let stats = system.journal.stats();
    stats.bytes as f64 / stats.events as f64
}

/// The floor: records of the same size, each with a checksum, written and synced by the batch.
fn bare_loop(directory: &Path, record_bytes: usize, zeroed: bool) -> f64 {
    let path = directory.join("bare");
    let mut file = File::create(&path).unwrap();
    if zeroed {
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES >> 20 {
            file.write_all(&zeros).unwrap();
        }
        file.sync_all().unwrap();
    }
    let payload = vec![b'x'; record_bytes - 8];
    let mut buffer = Vec::with_capacity(IN_FLIGHT * record_bytes);
    let mut at = 0;
    let mut count = 0_u64;
    let began = Instant::now();
    while began.elapsed() < ROUND {
        buffer.clear();
        for _ in 0..IN_FLIGHT {
            let checksum = crc32fast::hash(&payload);
            buffer.extend_from_slice(&checksum.to_le_bytes());
            buffer.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
            buffer.extend_from_slice(&payload);
        }
        file.write_all_at(&buffer, at).unwrap();
        file.sync_data().unwrap();
        at += buffer.len() as u64;
        if zeroed && at + buffer.len() as u64 > FILE_BYTES as u64 {
            at = 0;
        }
        count += IN_FLIGHT as u64;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path).unwrap();
    std::thread::sleep(PAUSE);
    rate
}

/// fjall alone: the same events, committed and synced by the batch of as many as are in flight.
fn fjall(directory: &Path) -> f64 {
    let database = fjall::Database::builder(directory.join("fjall"))
        .open()
        .unwrap();
    let events = database
        .keyspace("events", fjall::KeyspaceCreateOptions::default)
        .unwrap();
    let payload = vec![b'x'; PAYLOAD_BYTES];
    let mut seqs = vec![0_u64; ENTITIES];
    let mut place = 0;
    let mut count = 0_u64;
    let began = Instant::now();
    while began.elapsed() < ROUND {
        let mut batch = database
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        for _ in 0..IN_FLIGHT {
            place = (place + 104_729) % ENTITIES;
            seqs[place] += 1;
            let mut key = (place as u64).to_be_bytes().to_vec();
            key.extend_from_slice(&seqs[place].to_be_bytes());
            batch.insert(&events, key, payload.clone());
        }
        batch.commit().unwrap();
        count += IN_FLIGHT as u64;
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// One thread for the shard and its askers: the committer has the other of two cores, and commands
/// and answers need not go from one core's cache to the other's.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Only the many entities, for a profiler: `cargo bench -p griot-benches --bench entities profile`.
fn profile() -> ExitCode {
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let (rate, _) = runtime.block_on(entities(ENTITIES, IN_FLIGHT));
        println!("{rate:.0} commands per second");
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test` runs benches, too; there is nothing to test here.
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|argument| argument == "profile") {
        return profile();
    }
    let runtime = runtime();
    let names = [
        "bare loop, file zeroed ahead",
        "bare loop, growing file",
        "fjall alone",
        "10,000 entities, 4,096 in flight",
        "one hot entity, 256 askers",
        "one hot entity, one command per sync",
    ];
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for round in 0..ROUNDS {
        let scratch = tempfile::tempdir().unwrap();
        let (many, bytes) = runtime.block_on(entities(ENTITIES, IN_FLIGHT));
        let (hot, _) = runtime.block_on(entities(1, HOT_ASKERS));
        let (single, _) = runtime.block_on(entities(1, 1));
        let record_bytes = bytes as usize;
        let round_rates = [
            bare_loop(scratch.path(), record_bytes, true),
            bare_loop(scratch.path(), record_bytes, false),
            fjall(scratch.path()),
            many,
            hot,
            single,
        ];
        for (all, rate) in rates.iter_mut().zip(round_rates) {
            all.push(rate);
        }
        drop(scratch);
        std::thread::sleep(PAUSE);
        eprintln!("round {} of {ROUNDS}: {round_rates:.0?}", round + 1);
    }
    println!("{:<40} {:>12}", "median of 5 rounds", "per second");
    let medians: Vec<f64> = rates.into_iter().map(median).collect();
    for (name, rate) in names.iter().zip(&medians) {
        println!("{name:<40} {rate:>12.0}");
    }
    let [zeroed, growing, fjall, many, hot, single] = medians[..] else {
        return ExitCode::FAILURE;
    };
    let promises = [
        (
            "one hot entity, of one command per sync",
            hot / single,
            50.0,
        ),
        (
            "10,000 entities, of the bare loop on a growing file",
            many / growing,
            0.25,
        ),
        ("10,000 entities, of fjall alone", many / fjall, 1.5),
    ];
    println!(
        "     10,000 entities, of the bare loop on a file zeroed ahead: {:.2} times",
        many / zeroed
    );
    let mut kept = true;
    for (name, ratio, least) in promises {
        let verdict = if ratio >= least { "PASS" } else { "FAIL" };
        kept &= ratio >= least;
        println!("{verdict} {name}: {ratio:.2} times, at least {least}");
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
