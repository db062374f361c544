//! Recovery, passivation, and what an entity must not do to its neighbours.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use griot_core::{Entity, Event, Seq, Upcast};
use griot_entity::{AskError, Entities, Limits, Moment};
use griot_journal::{EmbeddedLog, MemoryJournal, Options};

use crate::gate::Gate;
use crate::ledger::{Add, entities, ledger, limits, neighbours, start_on};

#[tokio::test]
async fn g1_a_restart_recovers_every_entity() {
    let journal = Arc::new(MemoryJournal::new());
    let griot = start_on(Arc::clone(&journal) as _, entities()).await;
    for n in 0..200_i64 {
        for _ in 0..3 {
            ledger(&griot, &format!("l{n}")).ask(Add(n)).await.unwrap();
        }
    }
    drop(griot);
    let griot = start_on(journal, entities()).await;
    for n in 0..200_i64 {
        let read = ledger(&griot, &format!("l{n}"))
            .read(|state, seq| (state.total, seq))
            .await;
        assert_eq!(read, Ok((3 * n, Seq(3))));
    }
}

#[tokio::test]
async fn a_slow_recovery_holds_up_nobody_else_and_its_commands_wait() {
    let gate = Gate::new();
    let (a, b) = neighbours();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    ledger(&griot, &a).ask(Add(1)).await.unwrap();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let (slow, quick) = (ledger(&griot, &a), ledger(&griot, &b));
    gate.hold_reads_of(Some(slow.id().clone()));
    let waiting: Vec<_> = (0..10)
        .map(|_| tokio::spawn(slow.ask(Add(1)).into_future()))
        .collect();
    for total in 1..=10 {
        assert_eq!(quick.ask(Add(1)).await, Ok(total));
    }
    assert!(waiting.iter().all(|asked| !asked.is_finished()));
    gate.hold_reads_of(None);
    for (answer, total) in join_all(waiting).await.into_iter().zip(2..) {
        assert_eq!(
            answer.unwrap(),
            Ok(total),
            "in the order in which they came"
        );
    }
}

#[tokio::test]
async fn g10_commands_that_wait_for_a_recovery_are_bounded() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    ledger(&griot, "a").ask(Add(1)).await.unwrap();
    let limits = Limits {
        recovery_commands_max: 3,
        ..limits()
    };
    let griot = start_on(Arc::clone(&gate) as _, entities().limits(limits)).await;
    let slow = ledger(&griot, "a");
    gate.hold_reads_of(Some(slow.id().clone()));
    let asked: Vec<_> = (0..10)
        .map(|_| tokio::spawn(slow.ask(Add(1)).into_future()))
        .collect();
    while asked.iter().filter(|asked| asked.is_finished()).count() < 7 {
        tokio::task::yield_now().await;
    }
    gate.hold_reads_of(None);
    let answers: Vec<_> = join_all(asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == Err(AskError::Busy))
            .count(),
        7
    );
    assert_eq!(slow.read(|state, _| state.total).await, Ok(4));
}

#[tokio::test]
async fn g10_the_limit_on_entities_in_memory_holds_and_loses_nothing() {
    let limits = Limits {
        entities_in_memory_max: 20,
        ..limits()
    };
    let griot = start_on(Arc::new(MemoryJournal::new()), entities().limits(limits)).await;
    for round in 1..=3_i64 {
        for n in 0..300 {
            assert_eq!(
                ledger(&griot, &format!("l{n}")).ask(Add(1)).await,
                Ok(round)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_entity_leaves_memory_and_comes_back_as_it_was() {
    let gate = Gate::new();
    let limits = Limits {
        passivate_after: Duration::from_secs(10),
        ..limits()
    };
    let griot = start_on(Arc::clone(&gate) as _, entities().limits(limits)).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(alice.ask(Add(1)).key("k").await, Ok(1));
    tokio::time::advance(Duration::from_secs(5)).await;
    gate.hold_reads_of(Some(alice.id().clone()));
    assert_eq!(
        alice.ask(Add(1)).await,
        Ok(2),
        "still in memory: nothing is read"
    );
    for _ in 0..40 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let asked = tokio::spawn(alice.ask(Add(1)).into_future());
    gate.read_held_up().await;
    assert!(
        !asked.is_finished(),
        "it has left memory, so it must be read"
    );
    gate.hold_reads_of(None);
    assert_eq!(asked.await.unwrap(), Ok(3));
    assert_eq!(
        alice.ask(Add(1)).key("k").await,
        Ok(1),
        "its keys came back, too"
    );
}

#[tokio::test]
async fn g1_many_entities_recover_at_once_from_a_journal_that_bounds_its_reads() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    let open = || Arc::new(EmbeddedLog::open(directory.path(), options.clone()).unwrap());
    let griot = start_on(open(), entities()).await;
    let names: Vec<_> = (0..300).map(|n| format!("l{n}")).collect();
    for name in &names {
        ledger(&griot, name).ask(Add(1)).await.unwrap();
    }
    griot.drain(crate::ledger::SOON).await;
    drop(griot);

    let griot = start_on(open(), entities()).await;
    let asked = names
        .iter()
        .map(|name| ledger(&griot, name).ask(Add(1)).into_future());
    let answers = tokio::time::timeout(crate::ledger::SOON, join_all(asked)).await;
    assert!(
        answers
            .expect("all recover")
            .into_iter()
            .all(|answer| answer == Ok(2))
    );
}

/// A wallet as it was written first.
mod before {
    use griot_core::{Cx, Entity, Event, Handle, Never};
    use serde::{Deserialize, Serialize};

    #[derive(Default, Serialize, Deserialize)]
    pub(super) struct Wallet {}

    #[derive(Serialize, Deserialize)]
    pub(super) enum Moved {
        Put { euros: i64 },
    }
    impl Event for Moved {}

    impl Entity for Wallet {
        const KIND: &'static str = "wallet";
        type Event = Moved;
        fn evolve(&mut self, _: &Moved) {}
    }

    #[derive(Serialize)]
    pub(super) struct Put(pub(super) i64);
    impl Handle<Put> for Wallet {
        type Reply = ();
        type Error = Never;
        fn decide(&self, Put(euros): Put, cx: &mut Cx<Self>) -> Result<(), Never> {
            cx.emit(Moved::Put { euros });
            Ok(())
        }
    }
}

/// The same wallet, later: it counts cents.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Wallet {
    cents: i64,
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Moved {
    Added { cents: i64 },
}

impl Event for Moved {
    fn version(&self) -> u16 {
        2
    }

    fn upcast(event: Upcast<'_>) -> Upcast<'_> {
        match (event.name(), event.version()) {
            ("Put", 1) => event.renamed("Added", 1),
            ("Added", 1) => event.to(2, |added| {
                let euros = added["euros"].as_i64().unwrap_or_default();
                *added = serde_json::json!({ "cents": euros * 100 });
            }),
            _ => event,
        }
    }
}

impl Entity for Wallet {
    const KIND: &'static str = "wallet";
    type Event = Moved;
    fn evolve(&mut self, Moved::Added { cents }: &Moved) {
        self.cents += cents;
    }
}

#[tokio::test]
async fn what_was_recorded_in_an_older_shape_is_recovered_and_recited_in_todays() {
    let journal = Arc::new(MemoryJournal::new());
    let griot = start_on(Arc::clone(&journal) as _, Entities::<before::Wallet>::new()).await;
    let ann = griot.entity::<before::Wallet>("ann").unwrap();
    for euros in [1, 2] {
        ann.ask(before::Put(euros)).await.unwrap();
    }
    drop(griot);
    let griot = start_on(journal, Entities::<Wallet>::new()).await;
    let ann = griot.entity::<Wallet>("ann").unwrap();
    assert_eq!(ann.read(|wallet, _| wallet.cents).await, Ok(300));
    let past = griot.state_at::<Wallet>("ann", Moment::Seq(Seq(1))).await;
    assert_eq!(past.unwrap().unwrap().0.cents, 100);
}
