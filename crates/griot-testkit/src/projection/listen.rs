//! Kill: a listener that is killed with kill -9, behind a write and anywhere else, again and again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::{Broker, Event, Failure, Router};
use griot_journal::Journal;
use griot_projection::{Listener, Projection, Tx};
use tokio::io::AsyncBufReadExt;
use tokio::time::timeout;

use super::ReadModelFactory;
use super::kill::{DIRECTORY, HOLDS, KILLS, open, other, run, say};
use super::stand::{LIMITS, SOON};
use super::topics::entry;
use crate::probe::{message_with_id, publish, until};

const TOPIC: &str = "ledger";
const KEYS: [&str; 3] = ["a", "b", "c"];
/// Messages of each key before each life.
const EACH: usize = 20;

/// The program runs itself again as the listener, by the name of this `test`; `factory` makes what opens the read model
/// in a directory, where the embedded broker's log is as well. Each life but the last ends by a kill: some while a handler hangs
/// behind its write, the others wherever they are, between a commit and its acknowledgements, too. In the end the table has one row for
/// each message, those of a key in order.
pub async fn g7_a_listener_killed_with_nine_anywhere_shows_each_message_once<F>(
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
    for life in 0..=KILLS {
        write(directory.path(), life).await;
        if life == KILLS {
            let hung = run(directory.path(), test, usize::MAX).await;
            assert!(!hung, "the last life ends by itself");
        } else if life % 2 == 0 {
            let hung = run(directory.path(), test, fastrand::usize(1..40)).await;
            assert!(hung, "it is killed behind a write");
        } else {
            run_a_while(directory.path(), test).await;
        }
    }
    let target = factory(directory.path()).open().await;
    let mut shown = BTreeMap::<String, Vec<i64>>::new();
    for entry in F::entries(&target).await {
        shown.entry(entry.entity).or_default().push(entry.seq);
    }
    let all: Vec<i64> = (0..).take(EACH * (KILLS + 1)).collect();
    assert_eq!(shown, KEYS.map(|key| (key.to_owned(), all.clone())).into());
}

async fn connect(journal: &Arc<dyn Journal>) -> Arc<dyn Broker> {
    let broker = EmbeddedBroker::open(Arc::clone(journal), EmbeddedOptions::default());
    Arc::new(broker.await.unwrap())
}

/// Publishes some more messages.
async fn write(directory: &Path, life: usize) {
    let journal = open(directory);
    let broker = connect(&journal).await;
    let numbers = life * EACH..(life + 1) * EACH;
    let all = numbers.flat_map(|number| KEYS.map(|key| (key, number)));
    let one = |(key, number)| message_with_id(TOPIC, key, number, &format!("{key}-{number}"));
    publish(&*broker, all.map(one).collect()).await;
    broker.close().await;
    journal.close().await;
}

/// Runs a life, and kills it some way after it began to listen.
async fn run_a_while(directory: &Path, test: &str) {
    let (mut child, mut said) = other(directory, test, usize::MAX);
    let mut line = String::new();
    let listens = async {
        while line.trim_end() != "listening" {
            line.clear();
            let read = said.read_line(&mut line).await.unwrap();
            assert!(read > 0, "it ended before it listened");
            eprint!("{line}");
        }
    };
    timeout(SOON, listens).await.expect("it listens");
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for _ in 0..fastrand::u32(0..60) {
        ticks.tick().await;
    }
    child.kill().await.unwrap();
}

/// What the other process does: it listens until all is shown.
async fn live<F: ReadModelFactory>(directory: &Path, factory: &F) {
    let holds: usize = env::var(HOLDS).unwrap().parse().unwrap();
    let begun = Arc::new(AtomicUsize::new(1));
    let enter = move |mut tx: Tx<F::Target>, event: Event| {
        let begun = Arc::clone(&begun);
        async move {
            F::insert(&mut tx, entry(&event))
                .await
                .map_err(Failure::from)?;
            if begun.fetch_add(1, Ordering::Relaxed) == holds {
                say("held");
                loop {
                    std::thread::park();
                }
            }
            Ok::<(), Failure>(())
        }
    };
    let projection = Projection::new(TOPIC, 1, Router::new().on(TOPIC, enter));
    let journal = open(directory);
    let broker = connect(&journal).await;
    let listener = Listener::new(Arc::clone(&broker), factory.open().await);
    let listening = listener
        .start(&projection.with_limits(LIMITS))
        .await
        .unwrap();
    say("listening");
    let all = (KEYS.len() * EACH * (KILLS + 1)) as u64;
    until("all is shown", || async {
        listening.standing().await.unwrap().events == all
    })
    .await;
    listening.drain(SOON).await.unwrap();
    broker.close().await;
    journal.close().await;
}
