//! What happens when an append fails, or its outcome is not known.

use std::sync::Arc;

use futures_util::future::join_all;
use griot_core::{Seq, Timestamp};
use griot_entity::AskError;
use griot_journal::{Append, Batch, EventRecord, Journal, SeqRange, ShardId};

use crate::gate::{Fault, Gate};
use crate::ledger::{Add, Curse, Ledger, entities, ledger, neighbours, start_on};

#[tokio::test]
async fn g5_a_command_whose_answer_was_lost_gets_its_true_answer_by_key() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Add(1)).await.unwrap();
    gate.fail_next(Fault::AnswerLost);
    assert_eq!(alice.ask(Add(5)).key("k").await, Ok(6));
    gate.fail_next(Fault::AnswerLost);
    assert_eq!(
        alice.ask(Add(5)).await,
        Err(AskError::Unknown),
        "without a key nobody can tell"
    );
    assert_eq!(
        alice.read(|state, _| state.total).await,
        Ok(11),
        "it was stored, and recovery found it"
    );
}

#[tokio::test]
async fn g2_everything_decided_on_top_of_a_lost_append_is_undone() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Add(1)).await.unwrap();
    gate.shut();
    gate.fail_next(Fault::AppendLost);
    let first = tokio::spawn(alice.ask(Add(10)).key("first").into_future());
    gate.reached(2).await;
    let on_top = join_all((0..5).map(|_| alice.ask(Add(100)).into_future()));
    let on_top = tokio::spawn(on_top);
    tokio::task::yield_now().await;
    gate.open();
    assert_eq!(first.await.unwrap(), Err(AskError::Unknown));
    let late: i64 = on_top
        .await
        .unwrap()
        .iter()
        .filter(|answer| answer.is_ok())
        .count()
        .try_into()
        .unwrap();
    assert_eq!(alice.read(|state, _| state.total).await, Ok(1 + 100 * late));
    assert_eq!(
        alice.ask(Add(10)).key("first").await,
        Ok(11 + 100 * late),
        "it can be asked again"
    );
    let history = griot
        .history::<Ledger>("alice", SeqRange::ALL)
        .await
        .unwrap();
    let seqs = history.iter().map(|event| event.seq.get());
    assert!(seqs.eq(1..=u64::try_from(history.len()).unwrap()));
}

#[tokio::test]
async fn g5_a_refused_append_is_answered_unavailable_and_leaves_nothing() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Add(1)).await.unwrap();
    gate.fail_next(Fault::Refused);
    assert_eq!(alice.ask(Add(5)).await, Err(AskError::Unavailable));
    assert!(griot.trouble().unwrap().contains("the test says so"));
    assert_eq!(alice.ask(Add(5)).await, Ok(6));
    assert_eq!(griot.trouble(), None);
}

#[tokio::test]
async fn g4_a_stale_owner_is_fenced_recovers_and_goes_on() {
    let gate = Gate::new();
    let journal: Arc<dyn Journal> = Arc::clone(&gate) as _;
    let old = start_on(Arc::clone(&journal), entities()).await;
    assert_eq!(ledger(&old, "alice").ask(Add(1)).await, Ok(1));
    let new = start_on(journal, entities()).await;
    assert_eq!(ledger(&new, "alice").ask(Add(2)).await, Ok(3));
    let stale = ledger(&old, "alice").ask(Add(10)).key("k").await;
    assert_eq!(
        stale,
        Err(AskError::Unknown),
        "its state was behind, so nothing is stored"
    );
    assert_eq!(
        ledger(&old, "alice").ask(Add(10)).key("k").await,
        Ok(13),
        "it claimed and recovered"
    );
    let history = old.history::<Ledger>("alice", SeqRange::ALL).await.unwrap();
    assert!(history.iter().map(|event| event.seq.get()).eq(1..=3));
}

#[tokio::test]
async fn g4_a_conflict_on_one_entity_spares_its_neighbours() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let (a, b) = neighbours();
    let (mine, other) = (ledger(&griot, &a), ledger(&griot, &b));
    mine.ask(Add(1)).await.unwrap();
    // Somebody writes behind the owner's back, under its own epoch.
    let shard = mine.id().shard(2);
    let intruder = Append {
        entity: mine.id().clone(),
        expected: Seq(1),
        at: Timestamp::from_micros(0),
        events: vec![EventRecord {
            name: "Added".into(),
            version: 1,
            tags: Vec::new(),
            payload: r#"{"amount":1000}"#.into(),
        }],
        effects: Vec::new(),
        settled: Vec::new(),
        answer: None,
        metadata: Vec::new(),
    };
    let batch = Batch {
        shard: ShardId {
            kind: "ledger".into(),
            number: shard,
        },
        epoch: griot_core::Epoch(1),
        appends: vec![intruder],
    };
    gate.inner.append(Arc::new(batch)).await.unwrap();
    gate.shut();
    let before = gate.batches().len();
    let blocker = tokio::spawn(other.ask(Add(1)).into_future());
    gate.reached(before + 1).await;
    let (conflicting, neighbour) = (
        mine.ask(Add(5)).into_future(),
        other.ask(Add(1)).into_future(),
    );
    gate.open();
    let (conflicting, neighbour) = tokio::join!(conflicting, neighbour);
    assert_eq!(blocker.await.unwrap(), Ok(1));
    assert_eq!(neighbour, Ok(2), "the neighbour's decision stands");
    assert_eq!(conflicting, Err(AskError::Unknown));
    assert_eq!(
        mine.ask(Add(5)).await,
        Ok(1006),
        "recovered, with what the other wrote"
    );
}

#[tokio::test]
async fn a_panic_in_decide_refuses_that_command_only() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Add(1)).await.unwrap();
    assert_eq!(alice.ask(Curse::Decide).await, Err(AskError::Unavailable));
    assert_eq!(alice.ask(Add(1)).await, Ok(2));
}

#[tokio::test]
async fn a_panic_where_an_event_is_written_refuses_that_command_only() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(alice.ask(Curse::Tags).await, Err(AskError::Unavailable));
    assert_eq!(alice.ask(Add(1)).await, Ok(1));
}

#[tokio::test]
async fn a_panic_in_evolve_refuses_the_command_and_keeps_what_was_decided_before() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let (a, b) = neighbours();
    let (alice, neighbour) = (ledger(&griot, &a), ledger(&griot, &b));
    alice.ask(Add(1)).await.unwrap();
    gate.shut();
    let before = tokio::spawn(alice.ask(Add(1)).into_future());
    gate.reached(2).await;
    assert_eq!(alice.ask(Curse::Evolve).await, Err(AskError::Unavailable));
    let after = tokio::spawn(alice.ask(Add(1)).into_future());
    let beside = tokio::spawn(neighbour.ask(Add(7)).into_future());
    gate.open();
    assert_eq!(before.await.unwrap(), Ok(2));
    assert_eq!(after.await.unwrap(), Ok(3));
    assert_eq!(beside.await.unwrap(), Ok(7));
}

#[tokio::test]
async fn an_entity_whose_events_were_all_deleted_can_be_written_again() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    for _ in 0..3 {
        alice.ask(Add(1)).await.unwrap();
    }
    Journal::delete(&*gate.inner, alice.id(), Seq(3))
        .await
        .unwrap();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(alice.ask(Add(1)).await, Ok(1));
    assert_eq!(alice.read(|_, seq| seq).await, Ok(Seq(4)));
}
