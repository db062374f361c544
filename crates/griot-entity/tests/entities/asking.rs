//! Commands, replies, reads and keys.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use griot_core::{EntityId, Seq};
use griot_entity::{AskError, Limits, Moment};
use griot_journal::{MemoryJournal, SeqRange};

use crate::gate::Gate;
use crate::ledger::{
    Add, Ledger, Overdrawn, SOON, Take, entities, ledger, limits, start, start_on,
};

#[tokio::test]
async fn a_command_is_answered_and_remembered() {
    let griot = start(entities()).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(alice.ask(Add(5)).await, Ok(5));
    assert_eq!(alice.ask(Add(-2)).await, Ok(3));
    assert_eq!(alice.ask(Add(-9)).await, Err(AskError::Rejected(Overdrawn)));
    assert_eq!(
        alice.read(|state, seq| (state.total, seq)).await,
        Ok((3, Seq(2)))
    );
    let history = griot
        .history::<Ledger>("alice", SeqRange::ALL)
        .await
        .unwrap();
    let names: Vec<_> = history
        .iter()
        .map(|event| (event.seq.get(), &*event.event.name))
        .collect();
    assert_eq!(names, [(1, "Added"), (2, "Added")]);
}

#[tokio::test]
async fn g2_a_hot_entity_answers_in_order_without_a_gap() {
    let griot = start(entities()).await;
    let hot = ledger(&griot, "hot");
    let answers = join_all((0..1_000).map(|_| hot.ask(Add(1)).into_future())).await;
    let answers: Vec<i64> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (1..=1_000).collect::<Vec<_>>());
    let history = griot.history::<Ledger>("hot", SeqRange::ALL).await.unwrap();
    assert!(history.iter().map(|event| event.seq.get()).eq(1..=1_000));
}

#[tokio::test]
async fn the_next_command_does_not_wait_for_the_last_ones_sync() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let hot = ledger(&griot, "hot");
    gate.shut();
    let asked: Vec<_> = (0..100)
        .map(|_| tokio::spawn(hot.ask(Add(1)).into_future()))
        .collect();
    gate.reached(1).await;
    gate.open();
    for (answer, expected) in join_all(asked).await.into_iter().zip(1..) {
        assert_eq!(answer.unwrap(), Ok(expected));
    }
    assert!(
        gate.batches().len() <= 3,
        "one on its way, the rest gathered: {:?}",
        gate.batches()
    );
}

#[tokio::test]
async fn who_is_answered_goes_with_those_who_gathered_meanwhile() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let hot = ledger(&griot, "hot");
    hot.ask(Add(1)).await.unwrap();
    gate.shut();
    let asks_twice = || {
        let hot = hot.clone();
        tokio::spawn(async move {
            hot.ask(Add(1)).await.unwrap();
            hot.ask(Add(1)).await.unwrap();
        })
    };
    let first = asks_twice();
    gate.reached(2).await;
    let second = asks_twice();
    tokio::task::yield_now().await;
    gate.open();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(gate.batches(), [1, 1, 2, 1]);
}

#[tokio::test]
async fn g1_neither_a_reply_nor_a_read_nor_a_rejection_shows_what_is_not_durable() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Add(1)).await.unwrap();
    gate.shut();
    let mut asked = tokio::spawn(alice.ask(Add(1)).into_future());
    gate.reached(2).await;
    let reader = alice.clone();
    let mut read = tokio::spawn(async move { reader.read(|state, _| state.total).await });
    let mut rejected = tokio::spawn(alice.ask(Add(-3)).into_future());
    // Another entity of the same shard answers meanwhile, so the shard has seen all three.
    let other = ledger(&griot, &crate::ledger::neighbours().1);
    other.read(|_, _| ()).await.unwrap();
    let moment = Duration::from_millis(50);
    assert!(tokio::time::timeout(moment, &mut asked).await.is_err());
    assert!(tokio::time::timeout(moment, &mut read).await.is_err());
    assert!(tokio::time::timeout(moment, &mut rejected).await.is_err());
    gate.open();
    assert_eq!(asked.await.unwrap(), Ok(2));
    assert_eq!(read.await.unwrap(), Ok(2));
    assert_eq!(rejected.await.unwrap(), Err(AskError::Rejected(Overdrawn)));
}

#[tokio::test]
async fn g3_a_repeated_command_has_one_effect_and_one_answer() {
    let journal = Arc::new(MemoryJournal::new());
    let griot = start_on(Arc::clone(&journal) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(alice.ask(Add(5)).key("k").await, Ok(5));
    assert_eq!(
        alice.ask(Add(-9)).key("no").await,
        Err(AskError::Rejected(Overdrawn))
    );
    alice.ask(Add(50)).await.unwrap();
    let both = join_all([
        alice.ask(Add(7)).key("twice").into_future(),
        alice.ask(Add(7)).key("twice").into_future(),
    ]);
    assert_eq!(both.await, [Ok(62), Ok(62)]);
    for griot in [griot, start_on(journal, entities()).await] {
        let alice = ledger(&griot, "alice");
        assert_eq!(alice.ask(Add(5)).key("k").await, Ok(5));
        assert_eq!(
            alice.ask(Add(-9)).key("no").await,
            Err(AskError::Rejected(Overdrawn))
        );
        assert_eq!(alice.ask(Add(7)).key("twice").await, Ok(62));
        assert_eq!(alice.ask(Add(6)).key("k").await, Err(AskError::KeyReused));
        assert_eq!(alice.ask(Take(5)).key("k").await, Err(AskError::KeyReused));
        assert_eq!(alice.read(|state, _| state.total).await, Ok(62));
    }
}

#[tokio::test]
async fn g10_a_full_mailbox_answers_busy() {
    let gate = Gate::new();
    let limits = Limits {
        shards: 1,
        mailbox_commands_max: 4,
        batch_appends_max: 4,
        ..limits()
    };
    let griot = start_on(Arc::clone(&gate) as _, entities().limits(limits)).await;
    gate.shut();
    let alice = ledger(&griot, "alice");
    let asked: Vec<_> = (0..100)
        .map(|_| tokio::spawn(alice.ask(Add(1)).into_future()))
        .collect();
    let reached = async {
        while asked.iter().filter(|ask| ask.is_finished()).count() < 100 - 4 * 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, reached)
        .await
        .expect("those that do not fit are told at once");
    gate.open();
    let answers: Vec<_> = join_all(asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(_) | Err(AskError::Busy)))
    );
    let total = alice.read(|state, _| state.total).await.unwrap();
    assert_eq!(
        usize::try_from(total).unwrap(),
        done,
        "busy means that nothing happened"
    );
}

#[tokio::test]
async fn g5_an_asker_whose_deadline_passes_is_told_unknown() {
    let gate = Gate::new();
    let griot = start_on(Arc::clone(&gate) as _, entities()).await;
    let alice = ledger(&griot, "alice");
    gate.shut();
    let asked = alice
        .ask(Add(5))
        .key("k")
        .deadline(Duration::from_millis(20));
    assert_eq!(asked.await, Err(AskError::Unknown));
    gate.open();
    assert_eq!(
        alice.ask(Add(5)).key("k").await,
        Ok(5),
        "asked again, the true answer"
    );
    assert_eq!(alice.read(|state, _| state.total).await, Ok(5));
}

#[tokio::test]
async fn a_wait_ends_with_the_state_it_waits_for_or_with_its_time() {
    let griot = start(entities()).await;
    let alice = ledger(&griot, "alice");
    let waiter = alice.clone();
    let waiting = tokio::spawn(async move {
        waiter
            .wait_until(SOON, |state, seq| {
                (state.total >= 3).then_some((state.total, seq))
            })
            .await
    });
    for _ in 0..5 {
        alice.ask(Add(1)).await.unwrap();
    }
    let (total, seq) = waiting.await.unwrap().unwrap().unwrap();
    assert!(total >= 3 && i64::try_from(seq.get()).unwrap() == total);
    let never = alice.wait_until(Duration::from_millis(20), |state, _| {
        (state.total > 100).then_some(())
    });
    assert_eq!(never.await, Ok(None));
}

#[tokio::test]
async fn every_past_state_can_be_recited() {
    let griot = start(entities()).await;
    let alice = ledger(&griot, "alice");
    for amount in 1..=10 {
        alice.ask(Add(amount)).await.unwrap();
    }
    let at = |moment| griot.state_at::<Ledger>("alice", moment);
    assert_eq!(at(Moment::Seq(Seq(4))).await.unwrap().unwrap().0.total, 10);
    assert_eq!(
        at(Moment::Seq(Seq(99))).await.unwrap().unwrap(),
        (alice.read(|state, _| state.clone()).await.unwrap(), Seq(10))
    );
    assert!(at(Moment::Seq(Seq(0))).await.unwrap().is_none());
    let events = griot
        .history::<Ledger>("alice", SeqRange::ALL)
        .await
        .unwrap();
    let third = events
        .iter()
        .rfind(|event| event.at <= events[2].at)
        .unwrap();
    assert_eq!(
        at(Moment::At(events[2].at)).await.unwrap().unwrap().1,
        third.seq
    );
    assert!(
        griot
            .state_at::<Ledger>("nobody", Moment::Seq(Seq::MAX))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_name_that_no_entity_can_have_is_an_error() {
    let griot = start(entities()).await;
    assert!(griot.entity::<Ledger>("").is_err());
    assert!(
        griot
            .entity::<Ledger>(&"x".repeat(EntityId::ID_BYTES_MAX + 1))
            .is_err()
    );
}

#[tokio::test]
async fn g3_a_key_that_only_the_journal_remembers_gets_its_first_answer() {
    let limits = Limits {
        keys_max: 1,
        ..limits()
    };
    let griot = start(entities().limits(limits)).await;
    let alice = ledger(&griot, "alice");
    assert_eq!(alice.ask(Add(1)).key("old").await, Ok(1));
    assert_eq!(alice.ask(Add(1)).key("new").await, Ok(2));
    assert_eq!(alice.ask(Add(1)).key("old").await, Ok(1));
    assert_eq!(
        alice.ask(Take(1)).key("old").await,
        Err(AskError::KeyReused)
    );
    assert_eq!(alice.read(|state, _| state.total).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn g10_few_answers_may_wait_and_nobody_waits_for_more_than_the_journal() {
    let limits = Limits {
        shards: 1,
        held_answers_max: 4,
        ..limits()
    };
    let griot = start(entities().limits(limits)).await;
    let alice = ledger(&griot, "alice");
    let began = tokio::time::Instant::now();
    for round in 1..=4 {
        let asked = (0..32).map(|_| alice.ask(Add(1)).into_future());
        for answer in join_all(asked).await {
            answer.unwrap();
        }
        let reads = (0..32).map(|_| alice.read(|state, _| state.total));
        for total in join_all(reads).await {
            assert_eq!(total, Ok(round * 32));
        }
    }
    // The clock goes on only while everybody waits.
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn g10_a_batch_is_bounded_by_count_and_by_bytes() {
    let gate = Gate::new();
    let limits = Limits {
        shards: 1,
        batch_appends_max: 3,
        batch_bytes_max: 100,
        ..limits()
    };
    let griot = start_on(Arc::clone(&gate) as _, entities().limits(limits)).await;
    let alice = ledger(&griot, "alice");
    gate.shut();
    let asked: Vec<_> = (0..50)
        .map(|_| tokio::spawn(alice.ask(Add(1)).into_future()))
        .collect();
    gate.reached(1).await;
    gate.open();
    for answer in join_all(asked).await {
        answer.unwrap().unwrap();
    }
    assert!(
        gate.batches().iter().all(|appends| *appends <= 3),
        "{:?}",
        gate.batches()
    );
    let long = "x".repeat(200);
    let refused = alice.ask(crate::ledger::Want::Publish(long)).await;
    assert_eq!(
        refused,
        Err(AskError::Unavailable),
        "too large for any batch"
    );
    assert_eq!(alice.ask(Add(1)).await, Ok(51));
}
