//! Reopen: what a journal that outlives its process remembers.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Seq};
use griot_journal::{Answer, AppendError, Filter, Journal, SeqRange};

use super::{Writer, append_of, entity};
use crate::JournalFactory;

/// Closes a journal and opens it again.
async fn again(factory: &impl JournalFactory, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
    journal.close().await;
    drop(journal);
    factory.open().await
}

/// Byte for byte.
pub async fn g1_events_commits_and_order_are_there_after_reopening(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for expected in 0..30 {
        let batch = ["a", "b", "c"].map(|id| append_of(&entity(id), expected * 2, 2));
        writer.append(batch.to_vec()).await.unwrap();
    }
    drop(writer);
    let events = journal.events(&entity("b"), SeqRange::ALL).await.unwrap();
    let commits = journal
        .commits(&entity("b"), Seq::ZERO, 0, 100)
        .await
        .unwrap();
    let tail = journal
        .tail(Offset::ZERO, &Filter::default(), 1000)
        .await
        .unwrap();
    let entities = journal.entities(None, None, 100).await.unwrap();
    let journal = again(factory, again(factory, journal).await).await;
    assert_eq!(
        journal.events(&entity("b"), SeqRange::ALL).await.unwrap(),
        events
    );
    assert_eq!(
        journal
            .commits(&entity("b"), Seq::ZERO, 0, 100)
            .await
            .unwrap(),
        commits
    );
    assert_eq!(
        journal
            .tail(Offset::ZERO, &Filter::default(), 1000)
            .await
            .unwrap(),
        tail
    );
    assert_eq!(journal.entities(None, None, 100).await.unwrap(), entities);
    assert_eq!(journal.advanced(Offset::ZERO).await.unwrap(), Offset(180));
}

/// An entity's, and the journal's.
pub async fn g2_sequences_go_on_after_reopening(factory: &impl JournalFactory) {
    let mut journal = factory.open().await;
    for round in 0..5 {
        let writer = Writer::claim(&journal).await.unwrap();
        assert!(writer.write(&entity("a"), round * 3 + 1, 1).await.is_err());
        let appended = writer.write(&entity("a"), round * 3, 3).await.unwrap();
        assert_eq!(appended.last_offset, Offset(round * 3 + 3));
        drop(writer);
        journal = again(factory, journal).await;
        assert_eq!(
            journal.last_seq(&entity("a")).await.unwrap(),
            Seq(round * 3 + 3)
        );
    }
}

/// With the first answer.
pub async fn g3_a_key_is_remembered_after_reopening(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let first = Answer {
        key: "k".to_owned(),
        fingerprint: 9,
        reply: Bytes::from_static(b"1"),
    };
    let mut append = append_of(&entity("a"), 0, 1);
    append.answer = Some(first.clone());
    writer.append(vec![append.clone()]).await.unwrap();
    drop(writer);
    let journal = again(factory, journal).await;
    let writer = Writer::claim(&journal).await.unwrap();
    append.expected = Seq(1);
    let repeated = writer.append(vec![append]).await;
    let Err(AppendError::Answered { answer, .. }) = repeated else {
        panic!("{repeated:?}");
    };
    assert_eq!(answer, first);
}

/// A claim outlives the process that made it.
pub async fn g4_an_epoch_of_before_is_stale_after_reopening(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let before = Writer::claim(&journal).await.unwrap();
    let batch = before.batch(vec![append_of(&entity("a"), 0, 1)]);
    let epoch = before.epoch();
    drop(before);
    let journal = again(factory, journal).await;
    let owner = Writer::claim(&journal).await.unwrap();
    assert!(owner.epoch() > epoch);
    let refused = journal.append(batch).await;
    assert!(matches!(refused, Err(AppendError::Fenced { .. })));
}

/// And those with one are not.
pub async fn g6_effects_without_an_outcome_are_there_after_reopening(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let mut append = append_of(&entity("a"), 0, 1);
    append.effects = (0..3)
        .map(|n| EffectRecord {
            id: EffectId { seq: Seq::ZERO, n },
            effect: Effect::Call {
                name: "charge".into(),
                payload: Bytes::from_static(b"1"),
            },
        })
        .collect();
    let mut outcome = append_of(&entity("a"), 1, 1);
    outcome.settled = vec![EffectId {
        seq: Seq::ZERO,
        n: 1,
    }];
    writer.append(vec![append, outcome]).await.unwrap();
    drop(writer);
    let unsettled = journal.unsettled("account", None, 10).await.unwrap();
    let left: Vec<_> = unsettled.iter().map(|one| one.record.id.n).collect();
    assert_eq!(left, [0, 2]);
    let journal = again(factory, journal).await;
    assert_eq!(
        journal.unsettled("account", None, 10).await.unwrap(),
        unsettled
    );
}

/// And the highest sequence stays known.
pub async fn deleted_events_stay_deleted_after_reopening(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for expected in 0..5 {
        writer.write(&entity("a"), expected, 1).await.unwrap();
    }
    journal.delete(&entity("a"), Seq(3)).await.unwrap();
    writer.write(&entity("b"), 0, 2).await.unwrap();
    journal.delete(&entity("b"), Seq::MAX).await.unwrap();
    writer.write(&entity("b"), 2, 1).await.unwrap();
    drop(writer);
    let journal = again(factory, journal).await;
    for (id, last, left) in [("a", 5, vec![4, 5]), ("b", 3, vec![3])] {
        assert_eq!(journal.last_seq(&entity(id)).await.unwrap(), Seq(last));
        let events = journal.events(&entity(id), SeqRange::ALL).await.unwrap();
        assert_eq!(
            events
                .iter()
                .map(|event| event.seq.get())
                .collect::<Vec<_>>(),
            left
        );
    }
}
