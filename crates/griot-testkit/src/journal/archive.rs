//! The Archive suite: everything that a journal holds can be read, whole and in order.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test has nowhere else to go"
)]

use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Seq};
use griot_journal::{Answer, Append, Archive, Journal, Kept, Mark};

use super::{Writer, append_of, entity};
use crate::ArchiveFactory;

/// Three entities: with events and without, with effects, settled ones and answers, alone and in batches.
fn given() -> Vec<Vec<Append>> {
    let id = EffectId { seq: Seq(0), n: 0 };
    let effect = Effect::Call {
        name: "charge".into(),
        payload: Bytes::from_static(b"7"),
    };
    let mut first = append_of(&entity("a"), 0, 2);
    first.effects = vec![EffectRecord { id, effect }];
    first.metadata = vec![("traceparent".to_owned(), "00-1".to_owned())];
    let mut answered = append_of(&entity("b"), 0, 0);
    answered.answer = Some(Answer {
        key: "k".to_owned(),
        fingerprint: u64::MAX,
        reply: Bytes::from_static(b"\"no\""),
    });
    let mut settling = append_of(&entity("a"), 2, 0);
    settling.settled = vec![id];
    vec![
        vec![append_of(&entity("c"), 0, 1)],
        vec![first, answered],
        vec![append_of(&entity("b"), 0, 0), settling],
        vec![append_of(&entity("a"), 2, 3)],
        vec![append_of(&entity("b"), 0, 0)],
    ]
}

async fn filled(factory: &impl ArchiveFactory) -> Arc<dyn Archive> {
    let archive = factory.open().await;
    let journal: Arc<dyn Journal> = Arc::clone(&archive) as _;
    let writer = Writer::claim(&journal).await.unwrap();
    for batch in given() {
        writer.append(batch).await.unwrap();
    }
    archive
}

async fn paged(archive: &dyn Archive, page: usize) -> Vec<Kept> {
    let mut all = Vec::new();
    let mut mark = Mark::default();
    loop {
        let some = archive.appends(mark, page).await.unwrap();
        if some.is_empty() {
            return all;
        }
        for kept in &some {
            mark.pass(kept.offset);
        }
        all.extend(some);
    }
}

/// With all that was given, page by page, wherever a page ends.
pub async fn everything_appended_comes_back_whole_in_order(factory: &impl ArchiveFactory) {
    let archive = filled(factory).await;
    for page in [1, 2, 3, 100] {
        let found = paged(&*archive, page).await;
        let appends: Vec<_> = found.iter().map(|kept| kept.append.clone()).collect();
        assert_eq!(appends, given().concat(), "{page} at a time");
        let offsets: Vec<_> = found.iter().map(|kept| kept.offset.get()).collect();
        assert_eq!(offsets, [1, 2, 3, 3, 3, 4, 6]);
        assert!(found.iter().all(|kept| kept.deleted == 0));
    }
    let none = archive.appends(Mark::default(), 0).await.unwrap();
    assert_eq!(none, []);
    let beyond = Mark {
        offset: Offset(7),
        appends: 0,
    };
    assert_eq!(archive.appends(beyond, 9).await.unwrap(), []);
}

/// What is left of an append keeps its place, and says how much is gone.
pub async fn what_is_deleted_is_told(factory: &impl ArchiveFactory) {
    let archive = filled(factory).await;
    assert_eq!(archive.deletions(None, 9).await.unwrap(), []);
    archive.delete(&entity("a"), Seq(3)).await.unwrap();
    archive.delete(&entity("c"), Seq(1)).await.unwrap();
    let (a, c) = ((entity("a"), Seq(3)), (entity("c"), Seq(1)));
    assert_eq!(
        archive.deletions(None, 9).await.unwrap(),
        [a.clone(), c.clone()]
    );
    let first = archive.deletions(None, 1).await.unwrap();
    assert_eq!(first.first(), Some(&a));
    assert_eq!(archive.deletions(Some(&a.0), 9).await.unwrap(), [c]);
    let found = paged(&*archive, 2).await;
    let partly = found.iter().find(|kept| kept.append.events.len() == 2);
    let partly = partly.unwrap();
    assert_eq!((partly.append.expected, partly.offset), (Seq(2), Offset(4)));
    assert_eq!((partly.deleted, partly.events()), (1, 3));
    // The last of an entity stays where all is deleted.
    let last = found.iter().find(|kept| kept.append.entity == entity("c"));
    let last = last.unwrap();
    assert_eq!((last.append.events.len(), last.deleted), (0, 1));
    assert_eq!(found[0].offset, Offset(1));
}

/// Whose each shard is.
pub async fn shards_are_told_with_their_epochs(factory: &impl ArchiveFactory) {
    let archive = factory.open().await;
    assert_eq!(archive.shards().await.unwrap(), []);
    let journal: Arc<dyn Journal> = Arc::clone(&archive) as _;
    for number in [3, 7, 3] {
        Writer::claim_shard(&journal, number).await.unwrap();
    }
    let mut shards = archive.shards().await.unwrap();
    shards.sort();
    let shown: Vec<_> = shards
        .iter()
        .map(|(shard, epoch)| (shard.number, epoch.get()))
        .collect();
    assert_eq!(shown, [(3, 2), (7, 1)]);
}
