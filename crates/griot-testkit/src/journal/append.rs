//! Append: all or none, in order, once, and only for the owner.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

mod content;

pub use content::{
    a_sequence_near_the_maximum_is_answered, an_empty_batch_is_acknowledged,
    every_kind_of_effect_comes_back, long_and_unicode_ids_come_back_and_are_kept_apart,
    metadata_and_trace_context_come_back, payloads_of_no_bytes_and_of_sixteen_mebibytes_come_back,
};

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{EntityId, Seq};
use griot_journal::{Answer, Append, AppendError, SeqRange, ShardId};

use super::history::History;
use super::{Writer, append_of, entity, happened};
use crate::JournalFactory;

async fn seqs(writer: &Writer, entity: &EntityId) -> Vec<u64> {
    let events = writer.events(entity, SeqRange::ALL).await.unwrap();
    events.iter().map(|event| event.seq.get()).collect()
}

fn keyed(id: &str, expected: u64, key: &str, fingerprint: u64) -> Append {
    let reply = Bytes::from(format!("reply to {key} at {expected}"));
    let answer = Answer {
        key: key.to_owned(),
        fingerprint,
        reply,
    };
    Append {
        answer: Some(answer),
        ..append_of(&entity(id), expected, 1)
    }
}

/// A thousand events of one append.
pub async fn g2_many_events_are_stored_all_or_none(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let a = entity("a");
    writer.write(&a, 0, 1000).await.unwrap();
    assert_eq!(seqs(&writer, &a).await, (1..=1000).collect::<Vec<_>>());
    let refused = writer.write(&a, 999, 1000).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })));
    assert_eq!(journal.last_seq(&a).await.unwrap(), Seq(1000));
}

/// One append of a batch is wrong: nothing of the others is there either.
pub async fn g2_a_batch_of_many_entities_is_stored_all_or_none(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let ids: Vec<_> = (0..20).map(|number| entity(&format!("{number}"))).collect();
    let mut appends: Vec<_> = ids.iter().map(|id| append_of(id, 0, 2)).collect();
    appends.extend(ids.iter().map(|id| append_of(id, 2, 1)));
    let mut wrong = appends.clone();
    wrong.push(append_of(ids.first().unwrap(), 9, 1));
    let refused = writer.append(wrong).await;
    assert!(matches!(
        refused,
        Err(AppendError::Conflict { actual: Seq(3), .. })
    ));
    for id in &ids {
        assert_eq!(journal.last_seq(id).await.unwrap(), Seq::ZERO);
        assert!(seqs(&writer, id).await.is_empty());
    }
    assert!(journal.entities(None, None, 100).await.unwrap().is_empty());
    let appended = writer.append(appends).await.unwrap();
    assert_eq!(appended.last_offset.get(), 60);
    for id in &ids {
        assert_eq!(seqs(&writer, id).await, [1, 2, 3]);
    }
}

/// Of batches that one owner gives one after the other, without waiting.
pub async fn g2_acknowledgements_come_in_order(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let a = entity("a");
    let given: Vec<_> = (0..200)
        .map(|number| journal.append(writer.batch(vec![append_of(&a, number * 2, 2)])))
        .collect();
    for (number, appended) in (1..).zip(given) {
        assert_eq!(appended.await.unwrap().last_offset.get(), number * 2);
    }
    assert_eq!(seqs(&writer, &a).await, (1..=400).collect::<Vec<_>>());
}

/// It counts what was given before it was asked.
pub async fn g2_the_highest_sequence_waits_for_appends_under_way(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let a = entity("a");
    for number in 0..100 {
        let append = journal.append(writer.batch(vec![append_of(&a, number, 1)]));
        assert_eq!(journal.last_seq(&a).await.unwrap(), Seq(number + 1));
        append.await.unwrap();
    }
}

/// Clients append and read at will; each history can be explained by one order of events.
pub async fn g2_histories_of_concurrent_appends_and_reads_are_linearizable_per_entity(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    for seed in 0..20 {
        History::record(&journal, seed).await.check(&journal).await;
    }
}

/// And has no second effect, whatever it expects.
pub async fn g3_a_repeated_key_gets_the_first_answer(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let first = keyed("a", 0, "k", 1);
    writer.append(vec![first.clone()]).await.unwrap();
    writer.append(vec![keyed("a", 1, "l", 1)]).await.unwrap();
    for expected in [0, 1, 2] {
        let repeated = writer.append(vec![keyed("a", expected, "k", 1)]).await;
        let Err(AppendError::Answered { entity, answer }) = repeated else {
            panic!("{repeated:?}");
        };
        assert_eq!(
            (&entity, Some(&answer)),
            (&first.entity, first.answer.as_ref())
        );
    }
    assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(2));
    writer.append(vec![keyed("b", 0, "k", 1)]).await.unwrap();
}

/// The first answer's fingerprint says so.
pub async fn g3_a_key_with_another_payload_is_told_apart(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.append(vec![keyed("a", 0, "k", 1)]).await.unwrap();
    let other = writer.append(vec![keyed("a", 1, "k", 2)]).await;
    let Err(AppendError::Answered { answer, .. }) = other else {
        panic!("{other:?}");
    };
    assert_eq!(answer.fingerprint, 1);
    assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(1));
}

/// The second does not race past the first.
pub async fn g3_a_key_repeated_while_the_first_is_under_way_gets_its_answer(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for round in 0..20 {
        let key = format!("k{round}");
        let batch = |expected| writer.batch(vec![keyed("a", expected, &key, 1)]);
        let first = journal.append(batch(round));
        let second = journal.append(batch(round + 1));
        let third = journal.append(batch(round));
        first.await.unwrap();
        for repeated in [second.await, third.await] {
            let Err(AppendError::Answered { answer, .. }) = repeated else {
                panic!("{repeated:?}");
            };
            assert_eq!(answer.reply, format!("reply to {key} at {round}"));
        }
    }
    assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(20));
}

/// Too low, too high, and for an unknown entity.
pub async fn g4_a_wrong_expected_sequence_is_rejected_and_nothing_is_stored(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 2).await.unwrap();
    for (id, wrong, right) in [("a", 0, 2), ("a", 1, 2), ("a", 3, 2), ("b", 1, 0)] {
        let refused = writer.write(&entity(id), wrong, 1).await;
        let Err(AppendError::Conflict {
            entity: whose,
            expected,
            actual,
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(
            (whose, expected, actual),
            (entity(id), Seq(wrong), Seq(right))
        );
    }
    assert_eq!(seqs(&writer, &entity("a")).await, [1, 2]);
    assert_eq!(journal.last_seq(&entity("b")).await.unwrap(), Seq::ZERO);
}

/// Both hold the epoch; one was faster.
pub async fn g4_a_duplicate_sequence_from_a_second_writer_is_rejected(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let second = writer.clone();
    writer.write(&entity("a"), 0, 1).await.unwrap();
    let mut other = append_of(&entity("a"), 0, 0);
    other.events = vec![happened("the second writer's")];
    let refused = second.append(vec![other]).await;
    assert!(matches!(
        refused,
        Err(AppendError::Conflict { actual: Seq(1), .. })
    ));
    let events = writer.events(&entity("a"), SeqRange::ALL).await.unwrap();
    assert_eq!(events.first().unwrap().event.payload, "a:1");
}

/// And so is one that was never given out.
pub async fn g4_a_stale_epoch_is_rejected_even_at_the_right_sequence(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let stale = Writer::claim(&journal).await.unwrap();
    stale.write(&entity("a"), 0, 1).await.unwrap();
    let owner = Writer::claim(&journal).await.unwrap();
    let refused = stale.write(&entity("a"), 1, 1).await;
    let Err(AppendError::Fenced { held, current, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((held, current), (stale.epoch(), owner.epoch()));
    let mut forged = (*owner.batch(vec![append_of(&entity("a"), 1, 1)])).clone();
    forged.epoch = owner.epoch().next();
    let refused = journal.append(Arc::new(forged)).await;
    assert!(matches!(refused, Err(AppendError::Fenced { .. })));
    owner.write(&entity("a"), 1, 1).await.unwrap();
}

/// Shards of another number or kind go on.
pub async fn g4_each_claim_gets_a_higher_epoch_for_its_shard_alone(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let first = Writer::claim_shard(&journal, 0).await.unwrap();
    let other = Writer::claim_shard(&journal, 1).await.unwrap();
    let mut last = first.epoch();
    for _ in 0..5 {
        let next = Writer::claim_shard(&journal, 0).await.unwrap().epoch();
        assert!(next > last);
        last = next;
    }
    let cart = ShardId {
        kind: "cart".into(),
        number: 0,
    };
    journal.claim(&cart).await.unwrap();
    other.write(&entity("b"), 0, 1).await.unwrap();
    assert!(first.write(&entity("a"), 0, 1).await.is_err());
}

/// Eight of them, for 50 sequences.
pub async fn g4_of_racing_writers_one_wins_each_sequence_and_no_success_is_lost(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let racers = (0..8).map(|racer| {
        let writer = writer.clone();
        tokio::spawn(async move {
            let mut won = Vec::new();
            while let Some(seq) = race(&writer, racer).await {
                won.push((seq, format!("racer {racer}")));
            }
            won
        })
    });
    let mut won = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        won.extend(racer.await.unwrap());
    }
    won.sort_unstable();
    let events = writer.events(&entity("a"), SeqRange::ALL).await.unwrap();
    let stored: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.seq.get(),
                String::from_utf8_lossy(&event.event.payload).into_owned(),
            )
        })
        .collect();
    assert_eq!(stored, won);
    assert_eq!(stored.len(), 50);
}

/// Tries for the next sequence until it is won; `None` once all 50 are.
async fn race(writer: &Writer, racer: usize) -> Option<u64> {
    let mut expected = 0;
    while expected < 50 {
        let mut append = append_of(&entity("a"), expected, 0);
        append.events = vec![happened(format!("racer {racer}"))];
        match writer.append(vec![append]).await {
            Ok(_) => return Some(expected + 1),
            Err(AppendError::Conflict { actual, .. }) => expected = actual.get(),
            Err(other) => panic!("{other}"),
        }
    }
    None
}

/// A batch that continues what one before it began, and is refused, takes only its own part back:
/// also where neither was durable yet.
pub async fn g2_a_rejected_batch_leaves_what_one_before_it_began(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let (busy, other) = (entity("busy"), entity("other"));
    for round in 0..20 {
        let id = entity(&format!("{round}"));
        let give = |appends| journal.append(writer.batch(appends));
        let first = give(vec![append_of(&busy, round * 100, 100)]);
        let began = give(vec![append_of(&id, 0, 1)]);
        let refused = give(vec![append_of(&id, 1, 1), append_of(&other, 77, 1)]);
        let beside = give(vec![append_of(&entity(&format!("beside {round}")), 0, 1)]);
        first.await.unwrap();
        began.await.unwrap();
        assert!(matches!(
            refused.await,
            Err(AppendError::Conflict {
                expected: Seq(77),
                ..
            })
        ));
        beside.await.unwrap();
        assert_eq!(seqs(&writer, &id).await, [1]);
        writer.append(vec![append_of(&id, 1, 1)]).await.unwrap();
        assert_eq!(seqs(&writer, &id).await, [1, 2]);
    }
}

/// Good and bad batches, all under way at once.
pub async fn g5_a_rejected_batch_does_not_disturb_those_beside_it(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let mut given = Vec::new();
    for number in 0..100 {
        let wrong = if number % 3 == 0 { 7 } else { 0 };
        let good = append_of(&entity(&format!("good {number}")), 0, 1);
        let second = append_of(&entity(&format!("second {number}")), wrong, 1);
        given.push((wrong, journal.append(writer.batch(vec![good, second]))));
    }
    for (wrong, outcome) in given {
        match outcome.await {
            Ok(_) => assert_eq!(wrong, 0),
            Err(AppendError::Conflict { .. }) => assert_eq!(wrong, 7),
            Err(other) => panic!("{other}"),
        }
    }
    let entities = journal.entities(None, None, 1000).await.unwrap();
    assert_eq!(entities.len(), 66 * 2);
}
