//! Read: what an entity's events, commits and effects look like when they come back.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Publication, Seq, Timestamp};
use griot_journal::{Answer, AppendError, Filter, Journal, JournalError, SeqRange, Unsettled};

use super::{Writer, append_of, entity};
use crate::JournalFactory;

async fn five(factory: &impl JournalFactory) -> (Arc<dyn Journal>, Writer) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("other"), 0, 3).await.unwrap();
    for (expected, events) in [(0, 2), (2, 1), (3, 2)] {
        writer.write(&entity("a"), expected, events).await.unwrap();
    }
    (journal, writer)
}

async fn read(journal: &Arc<dyn Journal>, from: u64, to: u64, limit: usize) -> Vec<u64> {
    let range = SeqRange {
        from: Seq(from),
        to: Seq(to),
        limit,
    };
    let events = journal.events(&entity("a"), range).await.unwrap();
    for event in &events {
        assert_eq!(event.entity, entity("a"));
        assert_eq!(event.event.payload, format!("a:{}", event.seq));
    }
    events.iter().map(|event| event.seq.get()).collect()
}

macro_rules! ranges {
    ($($(#[$doc:meta])* $case:ident: $from:expr, $to:expr, $limit:expr => $expected:expr;)+) => {
        $(
            $(#[$doc])*
            pub async fn $case(factory: &impl JournalFactory) {
                let (journal, _) = five(factory).await;
                let expected: &[u64] = &$expected;
                assert_eq!(read(&journal, $from, $to, $limit).await, expected);
            }
        )+
    };
}

ranges! {
    /// 1 to 5.
    reads_all_events: 0, u64::MAX, usize::MAX => [1, 2, 3, 4, 5];
    /// From 2, in the middle of a commit.
    reads_from_a_lower_bound: 2, u64::MAX, usize::MAX => [2, 3, 4, 5];
    /// To 4, in the middle of a commit.
    reads_to_an_upper_bound: 0, 4, usize::MAX => [1, 2, 3, 4];
    /// The first three.
    reads_with_a_limit: 0, u64::MAX, 3 => [1, 2, 3];
    /// 2 to 4.
    reads_between_bounds: 2, 4, usize::MAX => [2, 3, 4];
    /// The first two of 2 to 5.
    reads_between_bounds_with_a_limit: 2, 5, 2 => [2, 3];
    /// 3 to 3.
    reads_one_event_where_the_bounds_are_equal: 3, 3, usize::MAX => [3];
    /// The first of 2 to 4.
    reads_one_event_with_a_limit_of_one: 2, 4, 1 => [2];
    /// None of 2 to 4.
    reads_nothing_with_a_limit_of_zero: 2, 4, 0 => [];
    /// 4 to 2.
    reads_nothing_where_lower_is_above_upper: 4, 2, usize::MAX => [];
}

/// Nothing, and no error.
pub async fn an_unknown_entity_has_no_events_and_sequence_zero(factory: &impl JournalFactory) {
    let (journal, _) = five(factory).await;
    let unknown = entity("unknown");
    assert_eq!(journal.events(&unknown, SeqRange::ALL).await.unwrap(), []);
    assert_eq!(
        journal.commits(&unknown, Seq::ZERO, 0, 10).await.unwrap(),
        []
    );
    assert_eq!(journal.last_seq(&unknown).await.unwrap(), Seq::ZERO);
    journal.delete(&unknown, Seq::MAX).await.unwrap();
    assert_eq!(journal.last_seq(&unknown).await.unwrap(), Seq::ZERO);
}

/// From the entity's stream and from the tail; others keep theirs.
pub async fn deleted_events_are_absent(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    journal.delete(&entity("a"), Seq(2)).await.unwrap();
    assert_eq!(read(&journal, 0, u64::MAX, usize::MAX).await, [3, 4, 5]);
    let page = journal
        .tail(Offset::ZERO, &Filter::default(), 100)
        .await
        .unwrap();
    assert_eq!(page.events.len(), 6);
    assert_eq!(
        writer
            .events(&entity("other"), SeqRange::ALL)
            .await
            .unwrap()
            .len(),
        3
    );
}

/// The next append goes on behind it.
pub async fn the_highest_sequence_is_kept_after_deletion(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    journal.delete(&entity("a"), Seq(3)).await.unwrap();
    assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(5));
    writer.write(&entity("a"), 5, 1).await.unwrap();
    assert_eq!(read(&journal, 0, u64::MAX, usize::MAX).await, [4, 5, 6]);
}

/// Also where a deletion names a sequence that was not reached yet.
pub async fn the_highest_sequence_is_kept_after_total_deletion(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    journal.delete(&entity("a"), Seq::MAX).await.unwrap();
    assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(5));
    assert!(read(&journal, 0, u64::MAX, usize::MAX).await.is_empty());
    let refused = writer.write(&entity("a"), 0, 1).await;
    assert!(matches!(
        refused,
        Err(AppendError::Conflict { actual: Seq(5), .. })
    ));
    writer.write(&entity("a"), 5, 2).await.unwrap();
    assert_eq!(read(&journal, 0, u64::MAX, usize::MAX).await, [6, 7]);
}

/// From 3 gives 4 and 5; to 2 gives none; to 3 gives none; from 4 gives 4 and 5.
pub async fn after_deleting_three_of_five_each_range_gives_what_is_left(
    factory: &impl JournalFactory,
) {
    let (journal, _) = five(factory).await;
    journal.delete(&entity("a"), Seq(3)).await.unwrap();
    assert_eq!(read(&journal, 3, u64::MAX, usize::MAX).await, [4, 5]);
    assert!(read(&journal, 0, 2, usize::MAX).await.is_empty());
    assert!(read(&journal, 0, 3, usize::MAX).await.is_empty());
    assert_eq!(read(&journal, 4, u64::MAX, usize::MAX).await, [4, 5]);
    journal.delete(&entity("a"), Seq(1)).await.unwrap();
    assert_eq!(
        read(&journal, 0, u64::MAX, usize::MAX).await,
        [4, 5],
        "less was deleted before"
    );
}

/// Everything of them, with the offset of their first event, or of the last one before them.
pub async fn commits_come_back_as_they_were_given(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    let mut plain = append_of(&entity("b"), 0, 2);
    plain.metadata = vec![("traceparent".to_owned(), "00-1".to_owned())];
    let mut silent = append_of(&entity("b"), 2, 0);
    silent.answer = Some(Answer {
        key: "k".to_owned(),
        fingerprint: u64::MAX,
        reply: Bytes::from_static(b"done"),
    });
    silent.settled = vec![EffectId { seq: Seq(1), n: 7 }];
    let given = vec![plain, silent];
    let appended = writer.append(given.clone()).await.unwrap();
    assert_eq!(appended.last_offset, Offset(10));
    let commits = journal
        .commits(&entity("b"), Seq::ZERO, 0, 10)
        .await
        .unwrap();
    let offsets: Vec<_> = commits.iter().map(|commit| commit.offset.get()).collect();
    assert_eq!(offsets, [9, 10]);
    let appends: Vec<_> = commits.into_iter().map(|commit| commit.append).collect();
    assert_eq!(appends, given);
}

/// Then goes on page by page, commits without events included.
pub async fn commits_begin_with_the_one_that_reached_a_sequence(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    writer.write(&entity("a"), 5, 0).await.unwrap();
    writer.write(&entity("a"), 5, 1).await.unwrap();
    let from = async |from: u64, skip: usize, limit: usize| -> Vec<u64> {
        let commits = journal
            .commits(&entity("a"), Seq(from), skip, limit)
            .await
            .unwrap();
        commits
            .iter()
            .map(|commit| commit.last_seq().get())
            .collect()
    };
    assert_eq!(from(0, 0, 10).await, [2, 3, 5, 5, 6]);
    assert_eq!(from(1, 0, 10).await, [2, 3, 5, 5, 6]);
    assert_eq!(from(3, 0, 10).await, [3, 5, 5, 6]);
    assert_eq!(from(5, 0, 10).await, [5, 5, 6]);
    assert_eq!(from(5, 1, 1).await, [5]);
    assert_eq!(from(0, 2, 2).await, [5, 5]);
    assert!(from(0, 5, 10).await.is_empty());
    assert!(from(7, 0, 10).await.is_empty());
    assert!(from(0, 0, 0).await.is_empty());
}

/// A commit of which a part is deleted begins behind that part.
pub async fn commits_after_a_deletion_hold_what_is_left(factory: &impl JournalFactory) {
    let (journal, _) = five(factory).await;
    journal.delete(&entity("a"), Seq(4)).await.unwrap();
    let commits = journal
        .commits(&entity("a"), Seq::ZERO, 0, 10)
        .await
        .unwrap();
    assert_eq!(commits.len(), 1);
    let commit = commits.first().unwrap();
    assert_eq!(
        (commit.append.expected, commit.last_seq()),
        (Seq(4), Seq(5))
    );
    assert_eq!(commit.offset, Offset(8));
}

fn call(seq: u64, n: u32) -> EffectRecord {
    let payload = Bytes::from(format!("{seq}:{n}"));
    let effect = Effect::Call {
        name: "charge".into(),
        payload,
    };
    EffectRecord {
        id: EffectId { seq: Seq(seq), n },
        effect,
    }
}

/// In a stable order, publications among them, until they are settled.
pub async fn effects_without_an_outcome_are_found_page_by_page(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let due = Timestamp::from_micros(5);
    for id in ["a", "b", "c"] {
        let mut append = append_of(&entity(id), 0, 1);
        append.effects = vec![call(0, 0), call(0, 1)];
        append.effects.push(EffectRecord {
            id: EffectId { seq: Seq(0), n: 2 },
            effect: Effect::Publication(Publication {
                topic: "t".to_owned(),
                key: None,
                headers: Vec::new(),
                payload: Bytes::new(),
            }),
        });
        let timer = Effect::Timer {
            due,
            name: "close".into(),
            payload: Bytes::new(),
        };
        append.effects.push(EffectRecord {
            id: EffectId { seq: Seq(0), n: 3 },
            effect: timer,
        });
        writer.append(vec![append]).await.unwrap();
    }
    let all = journal.unsettled("account", None, 100).await.unwrap();
    assert_eq!(all.len(), 12);
    let mut paged: Vec<Unsettled> = Vec::new();
    loop {
        let page = journal.unsettled("account", paged.last(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(journal.unsettled("other", None, 100).await.unwrap(), []);
    let mut settle = append_of(&entity("b"), 1, 0);
    settle.settled = vec![
        EffectId { seq: Seq(0), n: 0 },
        EffectId { seq: Seq(0), n: 2 },
        EffectId { seq: Seq(0), n: 3 },
    ];
    writer.append(vec![settle]).await.unwrap();
    let left = journal.unsettled("account", None, 100).await.unwrap();
    let of_b: Vec<_> = left
        .iter()
        .filter(|one| one.entity == entity("b"))
        .collect();
    assert_eq!(left.len(), 9);
    assert_eq!(
        of_b.iter()
            .map(|one| one.record.clone())
            .collect::<Vec<_>>(),
        [call(0, 1)]
    );
}

/// Of one kind or of all.
pub async fn entities_are_named_in_order_page_by_page(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    for id in ["z", "m", "0"] {
        writer.write(&entity(id), 0, 1).await.unwrap();
    }
    let refused = writer.write(&entity("never"), 7, 1).await;
    assert!(refused.is_err());
    let names = async |kind, after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(entity);
        let ids = journal.entities(kind, after.as_ref(), limit).await.unwrap();
        ids.iter().map(|id| id.id().to_owned()).collect()
    };
    assert_eq!(names(None, None, 10).await, ["0", "a", "m", "other", "z"]);
    assert_eq!(names(Some("account"), None, 2).await, ["0", "a"]);
    assert_eq!(names(Some("account"), Some("a"), 2).await, ["m", "other"]);
    assert_eq!(names(None, Some("other"), 2).await, ["z"]);
    assert!(names(Some("cart"), None, 10).await.is_empty());
    assert!(names(None, None, 0).await.is_empty());
}

/// Every call, and nothing is lost by it.
pub async fn a_closed_journal_says_so(factory: &impl JournalFactory) {
    let (journal, writer) = five(factory).await;
    journal.close().await;
    let refused = writer.write(&entity("a"), 5, 1).await;
    assert!(matches!(
        refused,
        Err(AppendError::Refused(JournalError::Closed))
    ));
    let id = entity("a");
    assert!(matches!(
        journal.events(&id, SeqRange::ALL).await,
        Err(JournalError::Closed)
    ));
    assert!(matches!(
        journal.last_seq(&id).await,
        Err(JournalError::Closed)
    ));
    assert!(matches!(
        journal.delete(&id, Seq(1)).await,
        Err(JournalError::Closed)
    ));
    assert!(matches!(
        Writer::claim(&journal).await,
        Err(JournalError::Closed)
    ));
    journal.close().await;
}
