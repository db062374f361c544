//! Tail: every event of every entity, in the order of their commits, none twice, none skipped.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::HashMap;
use std::sync::Arc;

use griot_core::{EntityId, Offset, Seq};
use griot_journal::{Filter, Journal, JournalError, RecordedEvent};

use super::{Writer, append_of, entity};
use crate::JournalFactory;

/// Reads on from `after` until the journal's end, page by page.
async fn drain(journal: &Arc<dyn Journal>, mut after: Offset, limit: usize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    loop {
        let page = journal
            .tail(after, &Filter::default(), limit)
            .await
            .unwrap();
        assert!(page.events.len() <= limit);
        if page.next == after {
            assert!(page.events.is_empty());
            return events;
        }
        after = page.next;
        events.extend(page.events);
    }
}

fn assert_gapless(events: &[RecordedEvent]) {
    let mut seqs: HashMap<EntityId, u64> = HashMap::new();
    for (expected, event) in (1..).zip(events) {
        assert_eq!(event.offset, Offset(expected));
        let seq = seqs.entry(event.entity.clone()).or_default();
        *seq += 1;
        assert_eq!(event.seq, Seq(*seq), "{} in its own order", event.entity);
    }
}

/// Offsets 1, 2, 3, …; an acknowledgement names the last of its batch.
pub async fn g7_the_tail_is_gapless_and_in_commit_order(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    assert!(drain(&journal, Offset::ZERO, 10).await.is_empty());
    let mut last = 0;
    for round in 0..50 {
        let batch = (0..5).map(|number| append_of(&entity(&format!("{number}")), round * 2, 2));
        let appended = writer.append(batch.collect()).await.unwrap();
        last += 10;
        assert_eq!(appended.last_offset, Offset(last));
    }
    for limit in [1, 7, 10, 1000] {
        let events = drain(&journal, Offset::ZERO, limit).await;
        assert_eq!(events.len(), 500);
        assert_gapless(&events);
    }
}

/// Followed while they write; what was acknowledged is all there.
pub async fn g7_the_tail_never_skips_under_fifty_concurrent_writers(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writers = (0..50).map(|number| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            let writer = Writer::claim_shard(&journal, number).await.unwrap();
            let id = entity(&format!("{number}"));
            for expected in 0..20 {
                writer.write(&id, expected * 2, 2).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let events = follow(&journal, 50 * 20 * 2).await;
    for writer in writers {
        writer.await.unwrap();
    }
    assert_gapless(&events);
    assert_eq!(drain(&journal, Offset::ZERO, 333).await, events);
}

/// Follows the journal live until it has seen so many events.
async fn follow(journal: &Arc<dyn Journal>, count: usize) -> Vec<RecordedEvent> {
    let mut after = Offset::ZERO;
    let mut events = Vec::new();
    while events.len() < count {
        let known = journal.advanced(after).await.unwrap();
        assert!(known > after);
        let page = journal.tail(after, &Filter::default(), 64).await.unwrap();
        assert!(
            !page.events.is_empty(),
            "the journal said that there is more"
        );
        after = page.next;
        events.extend(page.events);
    }
    events
}

/// Its number, if it took one, leaves no gap.
pub async fn g7_a_rejected_batch_does_not_stall_the_tail(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for round in 0..10 {
        let good = append_of(&entity("a"), round, 1);
        let given = [
            journal.append(writer.batch(vec![
                append_of(&entity("b"), 0, 3),
                append_of(&entity("c"), 9, 1),
            ])),
            journal.append(writer.batch(vec![good])),
        ];
        let [bad, good] = given;
        assert!(bad.await.is_err());
        assert_eq!(good.await.unwrap().last_offset, Offset(round + 1));
    }
    let events = drain(&journal, Offset::ZERO, 3).await;
    assert_eq!(events.len(), 10);
    assert_gapless(&events);
}

/// A reader that begins late sees each event once, old or new.
pub async fn g7_catching_up_and_going_live_has_no_seam(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for expected in 0..200 {
        writer.write(&entity("a"), expected, 1).await.unwrap();
    }
    let live = tokio::spawn(async move {
        for expected in 200..400 {
            writer.write(&entity("a"), expected, 1).await.unwrap();
        }
    });
    let events = follow(&journal, 400).await;
    live.await.unwrap();
    assert_gapless(&events);
}

/// The order is that of commits, not of clocks.
pub async fn events_of_one_moment_are_paged_without_loss(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for number in 0..30 {
        writer
            .write(&entity(&format!("{number}")), 0, 3)
            .await
            .unwrap();
    }
    for limit in [1, 2, 4] {
        let events = drain(&journal, Offset::ZERO, limit).await;
        assert_eq!(events.len(), 90);
        assert_gapless(&events);
    }
}

/// A page may be empty; the next one goes on behind it.
pub async fn a_deleted_gap_wider_than_a_page_is_passed(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 2).await.unwrap();
    for expected in 0..100 {
        writer.write(&entity("gone"), expected, 1).await.unwrap();
    }
    writer.write(&entity("a"), 2, 2).await.unwrap();
    journal.delete(&entity("gone"), Seq(100)).await.unwrap();
    let events = drain(&journal, Offset::ZERO, 10).await;
    let offsets: Vec<_> = events.iter().map(|event| event.offset.get()).collect();
    assert_eq!(offsets, [1, 2, 103, 104]);
}

/// Also from one beyond the end.
pub async fn the_tail_resumes_from_any_offset(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for expected in 0..40 {
        writer.write(&entity("a"), expected * 3, 3).await.unwrap();
    }
    let all = drain(&journal, Offset::ZERO, 1000).await;
    for from in 0..=120_usize {
        let after = Offset(u64::try_from(from).unwrap());
        let events = drain(&journal, after, 50).await;
        assert_eq!(Some(events.as_slice()), all.get(from..));
    }
    let beyond = journal
        .tail(Offset(500), &Filter::default(), 10)
        .await
        .unwrap();
    assert_eq!((beyond.events.len(), beyond.next), (0, Offset(500)));
    let none = journal
        .tail(Offset(5), &Filter::default(), 0)
        .await
        .unwrap();
    assert_eq!((none.events.len(), none.next), (0, Offset(5)));
}

/// And both; `next` moves on over what they do not let through.
pub async fn the_tail_filters_by_kind_and_tag(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    for number in 0..12 {
        let kind = if number % 2 == 0 { "account" } else { "cart" };
        let mut append = append_of(&EntityId::new(kind, &format!("{number}")).unwrap(), 0, 1);
        if number % 3 == 0 {
            append.events.first_mut().unwrap().tags = vec!["red".to_owned(), "x".to_owned()];
        }
        writer.append(vec![append]).await.unwrap();
    }
    let offsets = async |kind: Option<&str>, tag: Option<&str>| -> Vec<u64> {
        let filter = Filter {
            kind: kind.map(str::to_owned),
            tag: tag.map(str::to_owned),
        };
        let page = journal.tail(Offset::ZERO, &filter, 100).await.unwrap();
        assert_eq!(page.next, Offset(12));
        page.events.iter().map(|event| event.offset.get()).collect()
    };
    assert_eq!(offsets(None, None).await.len(), 12);
    assert_eq!(offsets(Some("cart"), None).await, [2, 4, 6, 8, 10, 12]);
    assert_eq!(offsets(None, Some("red")).await, [1, 4, 7, 10]);
    assert_eq!(offsets(Some("cart"), Some("x")).await, [4, 10]);
    assert!(offsets(Some("none"), None).await.is_empty());
}

/// Rather than waiting for ever.
pub async fn a_wait_for_more_ends_when_the_journal_closes(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 1).await.unwrap();
    assert_eq!(journal.advanced(Offset::ZERO).await.unwrap(), Offset(1));
    let waiting = journal.advanced(Offset(1));
    journal.close().await;
    assert!(matches!(waiting.await, Err(JournalError::Closed)));
}
