//! Our actors against kameo, ractor, actix, xtra and bare tokio channels, interleaved in one run.
//!
//! `cargo bench -p griot-benches --bench actors` prints a table and one line for each target, and
//! exits 1 if one fails. All run on one multi-thread runtime with two workers (actix has two
//! arbiter threads of its own), with messages of 8 bytes and bounded mailboxes of 1,024 where a peer
//! has them. Each figure is the median of the rounds; take the ratios, not the absolutes.
#![allow(missing_docs, unreachable_pub, reason = "nobody links to a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it stops at the first error"
)]
#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::time::Duration;

use griot_benches::median;

#[path = "actors/actix_peer.rs"]
mod actix_peer;
#[path = "actors/entity.rs"]
mod entity;
#[path = "actors/griot.rs"]
mod griot;
#[path = "actors/kameo_peer.rs"]
mod kameo_peer;
#[path = "actors/meter.rs"]
mod meter;
#[path = "actors/mpsc_floor.rs"]
mod mpsc_floor;
#[path = "actors/ractor_peer.rs"]
mod ractor_peer;
#[path = "actors/xtra_peer.rs"]
mod xtra_peer;

const CAPACITY: usize = 1024;
const ASKERS: u64 = 256;
const ROUNDS: usize = 7;
const IDLE_ACTORS: usize = 10_000;

/// An idle entity may take this share of the best peer's idle actor.
const IDLE_SHARE_MAX: f64 = 0.2;

/// What one of our idle entities takes: its slot in the shard, its name and its state of 8 bytes.
fn idle_entity_bytes() -> f64 {
    idle_bytes_of(IDLE_ENTITY)
}

/// The name under which `idle` makes entities.
const IDLE_ENTITY: &str = "entity";

/// Makes so many idle actors of a contender, which last as long as what is returned.
async fn idle(name: &str, count: usize) -> Box<dyn Any> {
    if name == IDLE_ENTITY {
        return entity::idle(count).await;
    }
    let contender = CONTENDERS.iter().find(|contender| contender.name == name);
    (contender.unwrap().idle)(count).await
}

type Run<T> = Pin<Box<dyn Future<Output = T>>>;

/// Who is measured, and how.
struct Contender {
    name: &'static str,
    role: Role,
    /// How many thousand messages a round takes: about a tenth of a second's work.
    kilo_messages: u64,
    tell: fn(u64, u64) -> Run<Duration>,
    pipeline: fn(u64) -> Run<Duration>,
    ask: fn(u64) -> Run<Duration>,
    idle: fn(usize) -> Run<Box<dyn Any>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Ours,
    Peer,
    /// A peer whose mailbox is not bounded in this use: shown, and no match for bounded rows.
    UnboundedPeer,
    Floor,
}

macro_rules! contender {
    ($name:literal, $role:ident, $kilo:literal, $module:ident) => {
        Contender {
            name: $name,
            role: Role::$role,
            kilo_messages: $kilo,
            tell: |producers, total| Box::pin($module::tell(producers, total)),
            pipeline: |total| Box::pin($module::pipeline(total)),
            ask: |total| Box::pin($module::ask(total)),
            idle: |count| Box::pin($module::idle(count)),
        }
    };
}

const CONTENDERS: [Contender; 6] = [
    contender!("griot", Ours, 2_560, griot),
    contender!("kameo", Peer, 256, kameo_peer),
    contender!("ractor", UnboundedPeer, 256, ractor_peer),
    contender!("actix", UnboundedPeer, 256, actix_peer),
    contender!("xtra", Peer, 256, xtra_peer),
    contender!("tokio mpsc", Floor, 1_024, mpsc_floor),
];

#[derive(Clone, Copy)]
enum Row {
    OneToOne,
    FourToOne,
    Pipeline,
    Ask,
}

struct Target {
    row: Row,
    title: &'static str,
    /// At least this many times the best peer.
    ratio: f64,
    against: Peers,
}

/// Which peers a target is measured against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peers {
    Bounded,
    All,
}

const TARGETS: [Target; 4] = [
    Target {
        row: Row::OneToOne,
        title: "tell, 1 to 1, bounded",
        ratio: 8.0,
        against: Peers::Bounded,
    },
    Target {
        row: Row::FourToOne,
        title: "tell, 4 to 1, bounded",
        ratio: 6.0,
        against: Peers::Bounded,
    },
    Target {
        row: Row::Pipeline,
        title: "pipeline of 3, bounded",
        ratio: 6.0,
        against: Peers::Bounded,
    },
    Target {
        row: Row::Ask,
        title: "ask, 256 in flight",
        ratio: 1.0,
        against: Peers::All,
    },
];

impl Contender {
    /// Million messages a second.
    async fn rate(&self, row: Row) -> f64 {
        let mut total = self.kilo_messages * 1000;
        let elapsed = match row {
            Row::OneToOne => (self.tell)(1, total).await,
            Row::FourToOne => (self.tell)(4, total).await,
            Row::Pipeline => (self.pipeline)(total).await,
            Row::Ask => {
                total = 256_000;
                (self.ask)(total).await
            }
        };
        total as f64 / elapsed.as_secs_f64() / 1e6
    }

    fn competes(&self, peers: Peers) -> bool {
        self.role == Role::Peer || (self.role == Role::UnboundedPeer && peers == Peers::All)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--idle") {
        println!("{}", idle_bytes_here(&arguments[at + 1]));
        return ExitCode::SUCCESS;
    }
    let names: Vec<_> = CONTENDERS
        .iter()
        .map(|contender| contender.name.to_owned())
        .collect();
    print_row("million messages/s", &names);
    let runtime = runtime();
    let mut verdicts: Vec<_> = TARGETS
        .iter()
        .map(|target| rates_row(&runtime, target))
        .collect();
    tell_many_row(&runtime);
    verdicts.push(idle_row());
    println!();
    for (_, line) in &verdicts {
        println!("{line}");
    }
    let all_passed = verdicts.iter().all(|(passed, _)| *passed);
    if all_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print_row(title: &str, cells: &[String]) {
    print!("{title:<26}");
    for cell in cells {
        print!("{cell:>12}");
    }
    println!();
}

/// Measures every contender in turn, round after round.
fn rates_row(runtime: &tokio::runtime::Runtime, target: &Target) -> (bool, String) {
    let mut rates: Vec<Vec<f64>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (contender, rates) in CONTENDERS.iter().zip(&mut rates) {
            rates.push(runtime.block_on(contender.rate(target.row)));
        }
    }
    let medians: Vec<f64> = rates.into_iter().map(median).collect();
    let cells: Vec<_> = medians.iter().map(|rate| format!("{rate:.2}")).collect();
    print_row(target.title, &cells);
    verdict(target, &medians)
}

/// For the sake of knowing: no target rests on it.
fn tell_many_row(runtime: &tokio::runtime::Runtime) {
    let total = 2_560_000;
    let rates = (0..ROUNDS).map(|_| {
        let elapsed = runtime.block_on(griot::tell_many(1, total));
        total as f64 / elapsed.as_secs_f64() / 1e6
    });
    print_row(
        "tell_many, 1 to 1, by 100",
        &[format!("{:.2}", median(rates.collect()))],
    );
}

fn verdict(target: &Target, medians: &[f64]) -> (bool, String) {
    let best = CONTENDERS
        .iter()
        .zip(medians)
        .filter(|(contender, _)| contender.competes(target.against))
        .max_by(|one, other| one.1.total_cmp(other.1))
        .unwrap();
    let ratio = medians[0] / best.1;
    let passed = ratio >= target.ratio;
    let word = if passed { "PASS" } else { "FAIL" };
    let line = format!(
        "{word}  {:<24} {ratio:.1} times {} (target: at least {})",
        target.title, best.0.name, target.ratio
    );
    (passed, line)
}

fn idle_row() -> (bool, String) {
    let bytes: Vec<f64> = CONTENDERS
        .iter()
        .map(|contender| idle_bytes_of(contender.name))
        .collect();
    let cells: Vec<_> = bytes.iter().map(|bytes| format!("{bytes:.0}")).collect();
    print_row("bytes per idle actor", &cells);
    let peers = CONTENDERS
        .iter()
        .zip(bytes)
        .filter(|(peer, _)| peer.competes(Peers::All));
    let best_peer = peers.map(|(_, bytes)| bytes).fold(f64::INFINITY, f64::min);
    let bytes = idle_entity_bytes();
    let share = bytes / best_peer;
    let passed = share <= IDLE_SHARE_MAX;
    let word = if passed { "PASS" } else { "FAIL" };
    let line = format!(
        "{word}  idle entity              {bytes:.0} bytes, {share:.2} of the best peer's actor \
         (target: at most {IDLE_SHARE_MAX})"
    );
    (passed, line)
}

/// Measured in a process of its own, as resident memory: an allocator that counts would slow down
/// those contenders that allocate for each message.
fn idle_bytes_of(name: &str) -> f64 {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--idle", name]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn idle_bytes_here(name: &str) -> f64 {
    let runtime = runtime();
    // What the first actors need once, threads and tables, is not counted.
    let _warm = runtime.block_on(idle(name, 100));
    let before = resident_bytes();
    let _actors = runtime.block_on(idle(name, IDLE_ACTORS));
    (resident_bytes() - before) / IDLE_ACTORS as f64
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024.0
}
