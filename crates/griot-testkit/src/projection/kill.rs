//! Kill: a runner that is killed with kill -9 in the middle of a batch, and a rebuild anywhere, again and
//! again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a case panics where a promise is broken"
)]

use std::env;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use griot_core::Offset;
use griot_journal::{EmbeddedLog, Filter, Journal, Options, RecordedEvent};
use griot_projection::{Progress, Rebuild, Runner};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::stand::{SOON, fine, ledger};
use super::{Entry, ReadModelFactory};
use crate::journal::{Writer, append_of, entity};

/// What tells a process that it is the runner: the directory, and after how many events it hangs.
pub(super) const DIRECTORY: &str = "GRIOT_TEST_RUNNER_DIRECTORY";
pub(super) const HOLDS: &str = "GRIOT_TEST_RUNNER_HOLDS";

pub(super) const KILLS: usize = 8;
const IDS: [&str; 3] = ["a", "b", "c"];
/// Events of each entity in each life.
const EACH: u64 = 10;

/// The program runs itself again as the runner, by the name of this `test`; `factory` makes what opens the
/// read model in a directory. Each life but the last ends by a kill while a handler hangs behind its
/// write, in a place that differs. In the end the table has one row for each event, in order.
pub async fn g7_a_runner_killed_with_nine_in_the_middle_of_a_batch_shows_each_event_once<F>(
    factory: impl Fn(&Path) -> F,
    test: &str,
) where
    F: ReadModelFactory,
{
    if let Some(directory) = env::var_os(DIRECTORY) {
        let directory = Path::new(&directory);
        return live(directory, &factory(directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut held = 0;
    for life in 0..=KILLS {
        write(directory.path()).await;
        let holds = if life < KILLS {
            fastrand::usize(1..25)
        } else {
            usize::MAX
        };
        held += usize::from(run(directory.path(), test, holds).await);
    }
    assert_eq!(held, KILLS, "each kill came in the middle of a batch");
    let journal = open(directory.path());
    let everything = Filter::default();
    let page = journal.tail(Offset::ZERO, &everything, usize::MAX).await;
    let all: Vec<Entry> = page.unwrap().events.iter().map(Entry::of).collect();
    assert_eq!(
        all.len() as u64,
        IDS.len() as u64 * EACH * (KILLS as u64 + 1)
    );
    let target = factory(directory.path()).open().await;
    assert_eq!(F::entries(&target).await, all);
}

pub(super) fn open(directory: &Path) -> Arc<dyn Journal> {
    let log = EmbeddedLog::open(directory.join("log"), Options::default());
    Arc::new(log.unwrap())
}

/// Appends some more events.
async fn write(directory: &Path) {
    let journal = open(directory);
    let writer = Writer::claim(&journal).await.unwrap();
    for id in IDS {
        let entity = entity(id);
        let last = journal.last_seq(&entity).await.unwrap().get();
        let appends = (0..EACH).map(|number| append_of(&entity, last + number, 1));
        writer.append(appends.collect()).await.unwrap();
    }
    journal.close().await;
}

/// The program, running this test as the other process, and what it says.
pub(super) fn other(directory: &Path, test: &str, holds: usize) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, directory)
        .env(HOLDS, holds.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    (child, said)
}

/// Says a line to the process that began this one. Not by a macro: the test harness keeps what that prints.
pub(super) fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Runs a life, and kills it when it hangs; says whether it did.
pub(super) async fn run(directory: &Path, test: &str, holds: usize) -> bool {
    let (mut child, mut said) = other(directory, test, holds);
    let mut line = String::new();
    let hung = async {
        loop {
            line.clear();
            if said.read_line(&mut line).await.unwrap() == 0 {
                return false;
            }
            if line == "held\n" {
                return true;
            }
            eprint!("{line}");
        }
    };
    let hung = timeout(SOON, hung).await.expect("it hangs or ends");
    if hung {
        // SIGKILL, and wait.
        child.kill().await.unwrap();
    } else {
        let status = timeout(SOON, child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "the last life ends well: {status}");
    }
    let mut rest = String::new();
    said.read_to_string(&mut rest).await.unwrap();
    eprint!("{rest}");
    hung
}

/// What the other process does.
async fn live<F: ReadModelFactory>(directory: &Path, factory: &F) {
    let holds: usize = env::var(HOLDS).unwrap().parse().unwrap();
    let begun = Arc::new(AtomicUsize::new(1));
    let trouble = move |_: &RecordedEvent| {
        if begun.fetch_add(1, Ordering::Relaxed) == holds {
            say("held");
            loop {
                std::thread::park();
            }
        }
        Ok(())
    };
    let journal = open(directory);
    let runner = Runner::new(Arc::clone(&journal), factory.open().await);
    let running = runner.start(&ledger::<F>(trouble)).await.unwrap();
    for id in IDS {
        let entity = entity(id);
        let last = journal.last_seq(&entity).await.unwrap();
        let waiting = running.read_model().wait_for(&entity, last, SOON);
        waiting.await.unwrap();
    }
    running.drain().await.unwrap();
    journal.close().await;
}

/// The program runs itself again as one that rebuilds and swaps all the time. It is killed wherever it is; the
/// live tables have one row for each event all along, and in the end a swap still comes through.
pub async fn g7_a_rebuild_killed_with_nine_leaves_the_live_tables_whole<F>(
    factory: impl Fn(&Path) -> F,
    test: &str,
) where
    F: ReadModelFactory,
{
    if let Some(directory) = env::var_os(DIRECTORY) {
        let directory = Path::new(&directory);
        return rebuild(directory, &factory(directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    write(directory.path()).await;
    let journal = open(directory.path());
    let target = factory(directory.path()).open().await;
    let running = Runner::new(Arc::clone(&journal), target.clone());
    let running = running.start(&ledger::<F>(fine)).await.unwrap();
    for id in IDS {
        let (entity, last) = (entity(id), griot_core::Seq(EACH));
        let waiting = running.read_model().wait_for(&entity, last, SOON);
        waiting.await.unwrap();
    }
    running.drain().await.unwrap();
    let everything = Filter::default();
    let page = journal.tail(Offset::ZERO, &everything, usize::MAX).await;
    let all: Vec<Entry> = page.unwrap().events.iter().map(Entry::of).collect();
    assert_eq!(all.len() as u64, IDS.len() as u64 * EACH);
    journal.close().await;
    drop(journal);
    for life in 0..=KILLS {
        let (mut child, mut said) = other(directory.path(), test, 0);
        let marks = ["begun", "caught up", "compared", "swapped"];
        let mark = marks.get(life % marks.len()).unwrap();
        let mark = if life == KILLS { "swapped" } else { mark };
        let mut line = String::new();
        let seen = async {
            while line.trim_end() != mark {
                line.clear();
                let read = said.read_line(&mut line).await.unwrap();
                assert!(read > 0, "it ended by itself");
                eprint!("{line}");
            }
        };
        timeout(SOON, seen).await.expect("it comes so far");
        // Some way into what comes next.
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        for _ in 0..fastrand::u32(0..25) {
            ticks.tick().await;
        }
        child.kill().await.unwrap();
        assert_eq!(F::entries(&target).await, all, "in life {life}");
    }
}

/// What the other process does then. Where the database still undoes what the one before it left, it tries
/// again.
async fn rebuild<F: ReadModelFactory>(directory: &Path, factory: &F) {
    let journal = open(directory);
    let target = factory.open().await;
    loop {
        let projection = ledger::<F>(fine);
        let begun = Rebuild::begin(Arc::clone(&journal), target.clone(), projection).await;
        let Ok(mut rebuild) = begun else { continue };
        say("begun");
        if rebuild.catch_up(|_: Progress| ()).await.is_err() {
            continue;
        }
        say("caught up");
        if rebuild.compare().await.is_err() {
            continue;
        }
        say("compared");
        if rebuild.swap().await.is_ok() {
            say("swapped");
        }
    }
}
