//! Effects: performed at least once, under a stable key, until they have an outcome.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use griot_core::Timestamp;
use griot_entity::{AskError, CallContext, CallError, CallPolicy, Clock, Griot, Limits};
use griot_journal::{Append, Batch, EventRecord, Journal, MemoryJournal, ShardId};
use tokio::sync::Semaphore;

use crate::gate::{Fault, Gate};
use crate::ledger::{
    Add, Fetch, SOON, Store, Want, entities, ledger, limits, outcomes, settled, start, start_on,
};

fn quick() -> CallPolicy {
    CallPolicy {
        first_backoff: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        ..CallPolicy::default()
    }
}

/// Every key a call was made under, and how often.
type Keys = Arc<Mutex<HashMap<String, usize>>>;

fn note(keys: &Keys, context: &CallContext) -> usize {
    let mut keys = keys.lock().unwrap();
    let count = keys.entry(context.key()).or_default();
    *count += 1;
    *count
}

#[tokio::test]
async fn a_call_runs_after_its_append_and_its_outcome_comes_back_as_a_command() {
    let gate = Gate::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let fetching = entities().call(quick(), move |Fetch(what), _: CallContext| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(format!("got {what}")) }
    });
    let griot = start_on(Arc::clone(&gate) as _, fetching).await;
    let alice = ledger(&griot, "alice");
    gate.shut();
    let asked = tokio::spawn(alice.ask(Want::Fetch("bread".into())).into_future());
    gate.reached(1).await;
    assert_eq!(ran.load(Ordering::SeqCst), 0, "not before it is durable");
    gate.open();
    asked.await.unwrap().unwrap();
    assert_eq!(outcomes(&alice, 1).await, ["\"got bread\""]);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    settled(&griot).await;
}

#[tokio::test]
async fn g6_a_failing_call_is_retried_under_one_key_until_it_has_an_outcome() {
    let keys = Keys::default();
    let seen = Arc::clone(&keys);
    let failing = entities().call(quick(), move |Fetch(_), context: CallContext| {
        let nth = note(&seen, &context);
        async move {
            match nth {
                1 => Err(CallError::retry("not yet")),
                2 => panic!("a function may panic"),
                _ => Ok(format!("attempt {}", context.attempt())),
            }
        }
    });
    let griot = start(failing).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("x".into())).await.unwrap();
    assert_eq!(outcomes(&alice, 1).await, ["\"attempt 3\""]);
    let keys: Vec<_> = keys.lock().unwrap().clone().into_iter().collect();
    assert_eq!(keys, [("ledger/alice:0:0".to_owned(), 3)]);
}

#[tokio::test]
async fn g6_after_a_crash_what_has_no_outcome_runs_again_and_what_has_one_never_does() {
    let journal = Arc::new(MemoryJournal::new());
    let keys = Keys::default();
    let seen = Arc::clone(&keys);
    let hanging = entities()
        .call(quick(), move |Fetch(what), context: CallContext| {
            note(&seen, &context);
            async move { Ok(what) }
        })
        .call(quick(), |_: Store, _: CallContext| std::future::pending());
    let griot = start_on(Arc::clone(&journal) as _, hanging).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("done".into())).await.unwrap();
    alice.ask(Want::Store("open".into())).await.unwrap();
    outcomes(&alice, 1).await;
    assert_eq!(griot.effects(), 1);
    drop((griot, alice));

    let seen = Arc::clone(&keys);
    let again = Arc::clone(&keys);
    let working = entities()
        .call(quick(), move |Fetch(what), context: CallContext| {
            note(&seen, &context);
            async move { Ok(what) }
        })
        .call(quick(), move |Store(what), context: CallContext| {
            note(&again, &context);
            async move { Ok(what) }
        });
    let griot = start_on(journal, working).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(outcomes(&alice, 2).await, ["\"done\"", "\"open\""]);
    assert!(
        keys.lock().unwrap().values().all(|count| *count == 1),
        "{keys:?}"
    );
}

#[tokio::test]
async fn g6_an_outcome_whose_append_is_lost_is_brought_back_again() {
    for fault in [Fault::AppendLost, Fault::AnswerLost, Fault::Refused] {
        let gate = Gate::new();
        let go = Arc::new(Semaphore::new(0));
        let permit = Arc::clone(&go);
        let fetching = entities().call(quick(), move |Fetch(what), _: CallContext| {
            let permit = Arc::clone(&permit);
            async move {
                permit.acquire().await.unwrap().forget();
                Ok(what)
            }
        });
        let griot = start_on(Arc::clone(&gate) as _, fetching).await;
        let alice = ledger(&griot, "alice");
        alice.ask(Want::Fetch("x".into())).await.unwrap();
        gate.fail_next(fault);
        go.add_permits(1);
        assert_eq!(outcomes(&alice, 1).await, ["\"x\""], "{fault:?}");
        alice.ask(Add(1)).await.unwrap();
        assert_eq!(
            alice.read(|state, _| state.outcomes.len()).await,
            Ok(1),
            "{fault:?}"
        );
        settled(&griot).await;
    }
}

#[tokio::test]
async fn g6_an_effect_whose_recording_was_thought_lost_is_performed() {
    let gate = Gate::new();
    let fetching = entities().call(
        quick(),
        |Fetch(what), _: CallContext| async move { Ok(what) },
    );
    let griot = start_on(Arc::clone(&gate) as _, fetching).await;
    let alice = ledger(&griot, "alice");
    gate.fail_next(Fault::AnswerLost);
    assert_eq!(
        alice.ask(Want::Fetch("x".into())).await,
        Err(AskError::Unknown)
    );
    assert_eq!(outcomes(&alice, 1).await, ["\"x\""]);
}

#[tokio::test]
async fn a_refusal_and_a_spent_deadline_are_outcomes_too() {
    let policy = CallPolicy {
        give_up_after: Duration::from_millis(20),
        ..quick()
    };
    let failing = entities().call(policy, |Fetch(what), _: CallContext| async move {
        match what.as_str() {
            "no" => Err(CallError::fail("not here")),
            _ => Err(CallError::retry("still down")),
        }
    });
    let griot = start(failing).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("no".into())).await.unwrap();
    assert_eq!(outcomes(&alice, 1).await, ["refused: not here"]);
    alice.ask(Want::Fetch("down".into())).await.unwrap();
    let all = outcomes(&alice, 2).await;
    assert!(
        all[1].starts_with("gave up after") && all[1].ends_with("still down"),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_call_that_hangs_is_cut_off_at_its_timeout_and_tried_again() {
    let policy = CallPolicy {
        timeout: Duration::from_millis(20),
        ..quick()
    };
    let hanging = entities().call(policy, |Fetch(what), context: CallContext| async move {
        if context.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok(what)
    });
    let griot = start(hanging).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("x".into())).await.unwrap();
    assert_eq!(outcomes(&alice, 1).await, ["\"x\""]);
}

#[tokio::test]
async fn g10_calls_of_a_kind_are_bounded_and_a_failing_kind_holds_up_no_other() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let policy = CallPolicy {
        concurrency_max: 3,
        ..quick()
    };
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let bounded = entities()
        .call(policy, move |Store(what), _: CallContext| {
            let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(what)
            }
        })
        .call(policy, |_: Fetch, _: CallContext| async move {
            Err::<String, _>(CallError::retry("always down"))
        });
    let griot = start(bounded).await;
    let alice = ledger(&griot, "alice");
    for n in 0..20 {
        alice.ask(Want::Fetch(n.to_string())).await.unwrap();
    }
    for n in 0..20 {
        alice.ask(Want::Store(n.to_string())).await.unwrap();
    }
    assert_eq!(outcomes(&alice, 20).await.len(), 20);
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    assert_eq!(griot.effects(), 20, "the failing ones are still to be done");
}

#[tokio::test]
async fn g10_beyond_the_limit_on_effects_new_ones_are_busy_and_nothing_else_is() {
    let limits = Limits {
        effects_max: 3,
        ..limits()
    };
    let go = Arc::new(Semaphore::new(0));
    let permit = Arc::clone(&go);
    let holding = entities()
        .limits(limits)
        .call(quick(), move |Fetch(what), _: CallContext| {
            let permit = Arc::clone(&permit);
            async move {
                permit.acquire().await.unwrap().forget();
                Ok(what)
            }
        });
    let griot = start(holding).await;
    let alice = ledger(&griot, "alice");
    for n in 0..3 {
        alice.ask(Want::Fetch(n.to_string())).await.unwrap();
    }
    assert_eq!(
        alice.ask(Want::Fetch("more".into())).await,
        Err(AskError::Busy)
    );
    assert_eq!(alice.ask(Add(1)).await, Ok(1));
    go.add_permits(3);
    outcomes(&alice, 3).await;
}

#[tokio::test]
async fn a_call_nobody_registered_is_refused_when_it_is_decided() {
    let griot = start(entities()).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(
        alice.ask(Want::Fetch("x".into())).await,
        Err(AskError::Unavailable)
    );
    assert_eq!(alice.read(|_, seq| seq.get()).await, Ok(0));
}

#[tokio::test]
async fn g6_a_message_to_another_entity_arrives_once() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let (alice, bob) = (ledger(&griot, "alice"), ledger(&griot, "bob"));
    for n in 1..=5 {
        if n % 2 == 0 {
            gate.fail_next(Fault::AnswerLost);
        }
        let _ = alice
            .ask(Want::AddTo("bob".into(), 10))
            .key(format!("m{n}"))
            .await;
    }
    let arrived = bob.wait_until(SOON, |state, _| (state.total >= 50).then_some(()));
    arrived.await.unwrap().expect("all five arrive");
    settled(&griot).await;
    assert_eq!(bob.read(|state, _| state.total).await, Ok(50));
}

async fn timed(journal: &Arc<MemoryJournal>, start: Timestamp) -> Griot {
    Griot::builder(Arc::clone(journal) as _, Arc::clone(journal) as _)
        .clock(Clock::tokio(start))
        .entity(entities())
        .start()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn g6_a_timer_survives_a_restart_and_fires_once_when_its_time_has_come() {
    let journal = Arc::new(MemoryJournal::new());
    let day = Duration::from_hours(24);
    let began = Timestamp::from_micros(0);
    let griot = timed(&journal, began).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::AddLater(30 * day, 7)).await.unwrap();
    tokio::time::advance(10 * day).await;
    assert_eq!(alice.read(|state, _| state.total).await, Ok(0));
    drop((alice, griot));

    let griot = timed(&journal, began.after(10 * day)).await;
    let alice = ledger(&griot, "alice");
    tokio::time::advance((20 * day).saturating_sub(Duration::from_secs(5))).await;
    assert_eq!(
        alice.read(|state, _| state.total).await,
        Ok(0),
        "not before its time"
    );
    tokio::time::advance(Duration::from_secs(6)).await;
    let fired = alice.wait_until(SOON, |state, _| (state.total == 7).then_some(()));
    fired.await.unwrap().expect("it fires");
    drop((alice, griot));

    let griot = timed(&journal, began.after(60 * day)).await;
    assert_eq!(griot.effects(), 0);
    assert_eq!(
        ledger(&griot, "alice").read(|state, _| state.total).await,
        Ok(7)
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_never_fires() {
    let journal = Arc::new(MemoryJournal::new());
    let griot = timed(&journal, Timestamp::from_micros(0)).await;
    let alice = ledger(&griot, "alice");
    alice
        .ask(Want::AddLater(Duration::from_mins(1), 7))
        .await
        .unwrap();
    assert_eq!(griot.effects(), 1);
    alice.ask(Want::CancelTimer).await.unwrap();
    assert_eq!(griot.effects(), 0);
    tokio::time::advance(Duration::from_mins(2)).await;
    assert_eq!(alice.read(|state, _| state.total).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_timer_cancelled_before_it_is_durable_is_not_set() {
    let gate = Gate::new();
    let griot = Griot::builder(Arc::clone(&gate) as _, Arc::new(MemoryJournal::new()))
        .clock(Clock::tokio(Timestamp::from_micros(0)))
        .entity(entities())
        .start()
        .await
        .unwrap();
    let alice = ledger(&griot, "alice");
    gate.shut();
    let first = tokio::spawn(alice.ask(Add(1)).into_future());
    gate.reached(1).await;
    // Both are decided while the first is on its way, so they share a batch.
    let minute = Duration::from_mins(1);
    let set = tokio::spawn(alice.ask(Want::AddLater(minute, 7)).into_future());
    let cancel = tokio::spawn(alice.ask(Want::CancelTimer).into_future());
    tokio::task::yield_now().await;
    gate.open();
    first.await.unwrap().unwrap();
    set.await.unwrap().unwrap();
    cancel.await.unwrap().unwrap();
    assert_eq!(griot.effects(), 0);
    tokio::time::advance(2 * minute).await;
    assert_eq!(alice.read(|state, _| state.total).await, Ok(1));
}

#[tokio::test]
async fn g10_outcomes_that_cannot_be_recorded_yet_hold_up_no_other_call() {
    let journal = Arc::new(MemoryJournal::new());
    let hanging = entities().call(quick(), |_: Fetch, _: CallContext| std::future::pending());
    let griot = start_on(Arc::clone(&journal) as _, hanging).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("a".into())).await.unwrap();
    let (id, seq) = (alice.id().clone(), alice.read(|_, seq| seq).await.unwrap());
    drop((alice, griot));
    // From here on alice cannot be recovered, so her outcome can never be recorded.
    let shard = ShardId {
        kind: "ledger".into(),
        number: id.shard(2),
    };
    let cursed = EventRecord {
        name: "Cursed".into(),
        version: 1,
        tags: Vec::new(),
        payload: "null".into(),
    };
    let batch = Batch {
        epoch: journal.claim(&shard).await.unwrap(),
        shard,
        appends: vec![Append {
            entity: id,
            expected: seq,
            at: Timestamp::from_micros(0),
            events: vec![cursed],
            effects: Vec::new(),
            settled: Vec::new(),
            answer: None,
            metadata: Vec::new(),
        }],
    };
    journal.append(Arc::new(batch)).await.unwrap();

    let policy = CallPolicy {
        concurrency_max: 1,
        ..quick()
    };
    let working = entities().call(
        policy,
        |Fetch(what), _: CallContext| async move { Ok(what) },
    );
    let griot = start_on(journal, working).await;
    let bob = ledger(&griot, "bob");
    bob.ask(Want::Fetch("b".into())).await.unwrap();
    assert_eq!(outcomes(&bob, 1).await, ["\"b\""]);
    assert_eq!(griot.effects(), 1, "hers is still to be recorded");
}

#[tokio::test]
async fn g10_an_outcome_whose_entity_does_not_come_back_holds_up_no_other_call() {
    let gate = Gate::new();
    let hanging = entities().call(quick(), |_: Fetch, _: CallContext| std::future::pending());
    let griot = start_on(Arc::clone(&gate) as _, hanging).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("a".into())).await.unwrap();
    gate.hold_reads_of(Some(alice.id().clone()));
    drop((alice, griot));

    let policy = CallPolicy {
        concurrency_max: 1,
        ..quick()
    };
    let ran = Keys::default();
    let seen = Arc::clone(&ran);
    let working = entities().call(policy, move |Fetch(what), context: CallContext| {
        note(&seen, &context);
        async move { Ok(what) }
    });
    let griot = start_on(Arc::clone(&gate) as _, working).await;
    let (alice, bob) = (ledger(&griot, "alice"), ledger(&griot, "bob"));
    for n in 1..=3 {
        bob.ask(Want::Fetch(n.to_string())).await.unwrap();
        outcomes(&bob, n).await;
    }
    assert_eq!(griot.effects(), 1, "hers waits for her");
    gate.hold_reads_of(None);
    assert_eq!(outcomes(&alice, 1).await, ["\"a\""]);
    settled(&griot).await;
    assert!(ran.lock().unwrap().values().all(|count| *count == 1));
}

#[tokio::test]
async fn g6_an_effect_of_deleted_events_is_performed_once_and_never_at_a_later_start() {
    let journal = Arc::new(MemoryJournal::new());
    let hanging = entities().call(quick(), |_: Fetch, _: CallContext| std::future::pending());
    let griot = start_on(Arc::clone(&journal) as _, hanging).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Fetch("a".into())).await.unwrap();
    alice.ask(Add(1)).await.unwrap();
    let seq = alice.read(|_, seq| seq).await.unwrap();
    Journal::delete(&*journal, alice.id(), seq).await.unwrap();
    drop((alice, griot));

    let ran = Keys::default();
    for _ in 0..3 {
        let seen = Arc::clone(&ran);
        let working = entities().call(quick(), move |Fetch(what), context: CallContext| {
            note(&seen, &context);
            async move { Ok(what) }
        });
        let griot = start_on(Arc::clone(&journal) as _, working).await;
        settled(&griot).await;
        let left = journal.unsettled("ledger", None, 10).await.unwrap();
        assert_eq!(left, [], "settled in the journal, too");
        ledger(&griot, "alice").ask(Add(1)).await.unwrap();
    }
    let ran: Vec<_> = ran.lock().unwrap().values().copied().collect();
    assert_eq!(ran, [1]);
}
