//! How the runtime ends.

use std::sync::Arc;
use std::time::Duration;

use griot_entity::{AskError, CallContext, CallPolicy};
use tokio::sync::Notify;

use crate::gate::Gate;
use crate::ledger::{Add, Fetch, SOON, Want, entities, ledger, start_on};

#[tokio::test]
async fn g9_a_drain_finishes_what_was_accepted_and_turns_the_rest_away() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    gate.shut();
    let accepted = tokio::spawn(alice.ask(Add(1)).into_future());
    gate.reached(1).await;
    let draining = tokio::spawn({
        let griot = griot.clone();
        async move { griot.drain(SOON).await }
    });
    let turned_away = async {
        while alice.ask(Add(1)).deadline(Duration::from_millis(1)).await
            != Err(AskError::Unavailable)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, turned_away)
        .await
        .expect("intake stops at once");
    gate.open();
    assert_eq!(accepted.await.unwrap(), Ok(1));
    assert!(draining.await.unwrap().in_time);
}

#[tokio::test]
async fn g9_a_drain_lets_a_recovery_end_and_answers_what_waited_for_it() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    ledger(&griot, "alice").ask(Add(1)).await.unwrap();
    drop(griot);
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    gate.hold_reads_of(Some(alice.id().clone()));
    let accepted = tokio::spawn(alice.ask(Add(1)).into_future());
    gate.read_held_up().await;
    let draining = tokio::spawn({
        let griot = griot.clone();
        async move { griot.drain(SOON).await }
    });
    // There is one thread, so this lets the shards hear of it.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.hold_reads_of(None);
    assert_eq!(accepted.await.unwrap(), Ok(2));
    assert!(draining.await.unwrap().in_time);
}

#[tokio::test]
async fn g9_a_drain_ends_at_its_deadline_and_the_effect_goes_on_at_the_next_start() {
    let gate = Gate::new();
    let started = Arc::new(Notify::new());
    let told = Arc::clone(&started);
    let hanging = entities().call(CallPolicy::default(), move |_: Fetch, _: CallContext| {
        told.notify_one();
        std::future::pending()
    });
    let griot = start_on(Arc::clone(&gate) as _, hanging).await;
    ledger(&griot, "alice")
        .ask(Want::Fetch("x".into()))
        .await
        .unwrap();
    started.notified().await;
    let drained = griot.drain(Duration::from_millis(50)).await;
    assert!(!drained.in_time);
    assert_eq!(drained.effects_left, 1);
    let working = entities().call(
        CallPolicy::default(),
        |Fetch(what), _: CallContext| async move { Ok(what) },
    );
    let griot = start_on(gate, working).await;
    let outcomes = crate::ledger::outcomes(&ledger(&griot, "alice"), 1).await;
    assert_eq!(outcomes, ["\"x\""]);
}

#[tokio::test]
async fn the_last_reference_to_go_lets_the_journal_go() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    ledger(&griot, "alice").ask(Add(1)).await.unwrap();
    let journal = Arc::downgrade(&gate);
    drop((griot, gate));
    let freed = async {
        while journal.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, freed)
        .await
        .expect("nothing holds it any more");
}
