//! Kill: a consumer that is killed with kill -9 in the middle of a handler, again and again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use griot_events::{Answer, Event};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::bench::{Bench, SOON, number};
use crate::BrokerFactory;

/// What tells a process that it is the consumer: the names of the case, the life, the number of messages
/// after which it holds one, and the file for its notes.
const CASE: &str = "GRIOT_TEST_CONSUMER_CASE";
const LIFE: &str = "GRIOT_TEST_CONSUMER_LIFE";
const HOLDS: &str = "GRIOT_TEST_CONSUMER_HOLDS";
const NOTES: &str = "GRIOT_TEST_CONSUMER_NOTES";

const KILLS: usize = 6;
const KEYS: [&str; 4] = ["a", "b", "c", "d"];
/// Numbers that are published under each key in each life of the consumer.
const EACH: u64 = 20;
const IN_FLIGHT_MAX: usize = 20;

/// The program runs itself again as the consumer, by the name of this `test`. Each of its handlers
/// writes down, synced, that it began and that it is done, before its message is acknowledged; each life
/// but the last ends by a kill while one of them hangs. In the end every message was handled, first in
/// the order of its key; none twice in one life; and none is left when the last life has drained.
pub async fn g8_a_consumer_killed_with_nine_in_the_middle_of_a_handler_loses_none_and_keeps_the_order(
    factory: &impl BrokerFactory,
    test: &str,
) {
    if let Ok(case) = env::var(CASE) {
        return live(&Bench::join_case(factory, case).await).await;
    }
    let bench = Bench::open(factory).await;
    let notes = tempfile::NamedTempFile::new().unwrap();
    for life in 0..KILLS {
        let mut consumer =
            Consumer::spawn(test, &bench, life, fastrand::usize(1..40), notes.path());
        tokio::join!(publish(&bench, life), consumer.until("held"));
        // SIGKILL, and wait.
        consumer.child.kill().await.unwrap();
    }
    let mut last = Consumer::spawn(test, &bench, KILLS, usize::MAX, notes.path());
    publish(&bench, KILLS).await;
    while !is_complete(&read(notes.path())) {
        last.until("done").await;
    }
    last.drain().await;
    check(&read(notes.path()));
    let (_consuming, seen) = bench.watch("orders", "g").await;
    let end = EACH * (KILLS as u64 + 1);
    for key in KEYS {
        bench.publish("orders", key, [end]).await;
    }
    seen.until_different(KEYS.len()).await;
    let left: Vec<_> = seen.all();
    assert!(left.iter().all(|handled| handled.number == end), "{left:?}");
}

async fn publish(bench: &Bench, life: usize) {
    let start = EACH * life as u64;
    for key in KEYS {
        bench.publish("orders", key, start..start + EACH).await;
    }
}

/// Another process, in which the consumer lives.
struct Consumer {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Consumer {
    fn spawn(test: &str, bench: &Bench, life: usize, holds: usize, notes: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CASE, bench.case())
            .env(LIFE, life.to_string())
            .env(HOLDS, holds.to_string())
            .env(NOTES, notes)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits until it says so; what else it says is shown.
    async fn until(&mut self, word: &str) {
        let waiting = async {
            while let Some(line) = self.said.next_line().await.unwrap() {
                if line == word {
                    return;
                }
                if !matches!(line.as_str(), "held" | "done") {
                    eprintln!("{line}");
                }
            }
            panic!("the consumer ended by itself");
        };
        timeout(SOON, waiting).await.expect("the consumer gets on");
    }

    /// Asks it to drain, and waits until it has.
    async fn drain(mut self) {
        drop(self.child.stdin.take());
        let draining = async {
            while let Some(line) = self.said.next_line().await.unwrap() {
                eprintln!("{line}");
            }
            self.child.wait().await.unwrap()
        };
        let status = timeout(SOON, draining).await.unwrap();
        assert!(status.success(), "the consumer drains: {status}");
    }
}

/// What the other process does, until its input ends.
async fn live(bench: &Bench) {
    let holds: usize = env::var(HOLDS).unwrap().parse().unwrap();
    let (notes, begun) = (Arc::new(Notes::open()), Arc::new(AtomicUsize::new(1)));
    let mut subscription = bench.subscription("orders", "g");
    subscription.in_flight_max = IN_FLIGHT_MAX;
    let handler = move |event: Event| {
        let notes = Arc::clone(&notes);
        let held = begun.fetch_add(1, Ordering::Relaxed) == holds;
        async move {
            notes.write("begun", &event);
            if held {
                say("held");
                std::future::pending::<()>().await;
            }
            notes.write("done", &event);
            say("done");
            Answer::Ack
        }
    };
    let consuming = bench.consume(subscription, handler).await;
    let input_ends = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(input_ends)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(consuming.drain(SOON).await, 0);
    bench.broker.close().await;
}

/// Tells the parent. Not by a macro: the test harness keeps what that prints.
fn say(word: &str) {
    std::io::stderr()
        .write_all(format!("{word}\n").as_bytes())
        .unwrap();
}

/// The file, and lines in it.
struct Notes {
    life: String,
    file: Mutex<File>,
}

impl Notes {
    fn open() -> Self {
        let path = env::var_os(NOTES).unwrap();
        let file = OpenOptions::new().append(true).open(path).unwrap();
        Self {
            life: env::var(LIFE).unwrap(),
            file: Mutex::new(file),
        }
    }

    /// Writes it down, synced.
    fn write(&self, what: &str, event: &Event) {
        let key = String::from_utf8_lossy(event.key().unwrap()).into_owned();
        let line = format!("{} {what} {key} {}\n", self.life, number(event));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).unwrap();
        file.sync_data().unwrap();
    }
}

/// A line of the notes.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    life: usize,
    done: bool,
    key: String,
    number: u64,
}

fn read(path: &Path) -> Vec<Note> {
    let text = std::fs::read_to_string(path).unwrap();
    // What comes behind the last newline is being written.
    let whole = text
        .rfind('\n')
        .map_or("", |end| text.get(..end).unwrap_or_default());
    let note = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("four words");
        Note {
            life: word().parse().unwrap(),
            done: word() == "done",
            key: word().to_owned(),
            number: word().parse().unwrap(),
        }
    };
    whole.lines().map(note).collect()
}

fn is_complete(notes: &[Note]) -> bool {
    let done = notes.iter().filter(|note| note.done);
    let done: BTreeSet<_> = done.map(|note| (&note.key, note.number)).collect();
    done.len() as u64 == KEYS.len() as u64 * EACH * (KILLS as u64 + 1)
}

fn check(notes: &[Note]) {
    let mut held = 0;
    for key in KEYS {
        let of_key = || notes.iter().filter(move |note| note.key == key);
        let mut firsts = Vec::new();
        for note in of_key().filter(|note| !note.done) {
            if !firsts.contains(&note.number) {
                firsts.push(note.number);
            }
        }
        let all: Vec<u64> = (0..EACH * (KILLS as u64 + 1)).collect();
        assert_eq!(firsts, all, "{key} was begun in this order");
        let mut lives: BTreeMap<usize, Vec<&Note>> = BTreeMap::new();
        for note in of_key() {
            lives.entry(note.life).or_default().push(note);
        }
        for notes in lives.values() {
            for pair in notes.chunks(2) {
                match pair {
                    [begun, done] => assert_eq!(
                        (begun.done, done.done, begun.number),
                        (false, true, done.number),
                        "one after the other: {notes:?}"
                    ),
                    _ => held += 1,
                }
            }
            let in_order = notes.is_sorted_by_key(|note| (note.number, note.done));
            assert!(in_order, "each once in a life, in order: {notes:?}");
        }
    }
    assert!(held >= KILLS, "each kill came in the middle of a handler");
}
